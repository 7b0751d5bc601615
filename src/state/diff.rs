//! From what is to what should be: a plan whose size is that of the change.
//!
//! The order is what makes every prefix of a plan safe:
//!
//! 1. Addresses and published ports that go, go first: the next one to get them must not inherit
//!    anything.
//! 2. Records, then the addresses and ports that lead to them. A record without identity lets
//!    nothing pass.
//! 3. If an address, a port or a record changed, everything is judged again.
//! 4. A new policy: lists, then the slot that does not judge, then one store that publishes it. All
//!    limits were checked before the first write.
//! 5. Programs come last, to a policy that is there; records go when no program leads to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::actual::{Actual, Capacity, KernelEndpoint, ListPlace, SubjectPlaces};
use super::desired::{Desired, LiveInventory, ManagementKey, PolicyImage};
use super::lists::Placement;
use super::networks::{NoRoom, Placed};
use super::numbers::{EndpointNumber, IdentityNumber, PeerKind};
use super::plan::{Operation, Plan, PlanError, Table};
use super::steps::StepList;

/// The longest list of steps that the kernel searches (`STEP_LIST_MAX` in `abi.h`).
pub const STEP_LIST_MAX: usize = 131_071;

/// How to get from what is to what should be. Empty if it is so already.
///
/// # Errors
/// What should be does not fit; nothing is to be done then.
pub fn plan(actual: &Actual, desired: &Desired) -> Result<Plan, PlanError> {
    check_live(actual, &desired.live)?;
    let mut operations = live(actual, desired);
    if !will_be_judged_by(actual, &operations, desired) {
        check_policy(actual, &desired.policy)?;
        let mut after = actual.clone();
        for operation in &operations {
            after.apply(operation);
        }
        operations.extend(policy(&after, desired)?);
    }
    operations.extend(attachments(actual, &desired.live));
    operations.extend(xdp(actual, &desired.live));
    let gone: Vec<EndpointNumber> = actual
        .endpoints
        .keys()
        .filter(|number| !desired.live.endpoints.contains_key(number))
        .copied()
        .collect();
    push(&mut operations, gone, Operation::ClearEndpoints);
    Ok(Plan { operations })
}

/// Adds an operation on several things, if there are any.
fn push<T>(operations: &mut Vec<Operation>, things: Vec<T>, make: impl Fn(Vec<T>) -> Operation) {
    if !things.is_empty() {
        operations.push(make(things));
    }
}

/// Addresses, records, and who may always get in: what is allowed first, so that nobody is locked out by
/// what follows.
fn live(actual: &Actual, desired: &Desired) -> Vec<Operation> {
    let live = &desired.live;
    let gone: Vec<_> = actual
        .addresses
        .keys()
        .filter(|key| !live.addresses.contains_key(key))
        .copied()
        .collect();
    let owned: Vec<_> = live
        .addresses
        .iter()
        .filter(|(key, owner)| actual.addresses.get(key) != Some(owner))
        .map(|(&key, &owner)| (key, owner))
        .collect();
    let (closed, opened) = difference(&actual.published, &live.published);
    let policy_holds = holds(actual, &desired.policy);
    let records: Vec<_> = live
        .endpoints
        .iter()
        .filter_map(|(&number, &record)| {
            let before = actual
                .endpoints
                .get(&number)
                .filter(|before| before.record.ifindex == record.ifindex);
            let mut identity = before.map_or([IdentityNumber::NONE; 2], |before| before.identity);
            // Whoever was nobody may become somebody at once; nothing was judged by it yet.
            let judging = &mut identity[actual.active.slot.index()];
            if policy_holds && *judging == IdentityNumber::NONE {
                *judging = wanted_identity(&desired.policy, number);
            }
            let wanted = KernelEndpoint { identity, record };
            (actual.endpoints.get(&number) != Some(&wanted)).then_some((number, wanted))
        })
        .collect();
    let known_changed = records
        .iter()
        .any(|(number, _)| actual.endpoints.contains_key(number));
    let judge_again =
        known_changed || [gone.len(), owned.len(), closed.len(), opened.len()] != [0; 4];

    let managers = |these: &BTreeSet<ManagementKey>, others: &BTreeSet<ManagementKey>| {
        these.difference(others).copied().collect::<Vec<_>>()
    };
    let admitted = managers(&live.management, &actual.management);
    let dismissed = managers(&actual.management, &live.management);

    let mut operations = Vec::new();
    push(&mut operations, admitted, Operation::SetManagement);
    push(&mut operations, dismissed, Operation::RemoveManagement);
    push(&mut operations, closed, Operation::RemovePublished);
    push(&mut operations, gone, Operation::RemoveAddresses);
    push(&mut operations, records, Operation::SetEndpoints);
    push(&mut operations, owned, Operation::SetAddresses);
    push(&mut operations, opened, Operation::SetPublished);
    if judge_again && actual.active.generation > 0 {
        operations.push(Operation::Publish {
            generation: actual.active.generation + 1,
            slot: actual.active.slot,
        });
    }
    operations
}

fn wanted_identity(policy: &PolicyImage, number: EndpointNumber) -> IdentityNumber {
    policy
        .endpoints
        .get(&number)
        .copied()
        .unwrap_or(IdentityNumber::NONE)
}

/// Whether what judges is what should, for every endpoint, when the inventory has been written.
fn will_be_judged_by(actual: &Actual, inventory: &[Operation], desired: &Desired) -> bool {
    let written: BTreeMap<EndpointNumber, IdentityNumber> = inventory
        .iter()
        .filter_map(|operation| match operation {
            Operation::SetEndpoints(records) => Some(records),
            _ => None,
        })
        .flatten()
        .map(|(number, record)| (*number, record.identity[actual.active.slot.index()]))
        .collect();
    let identity = |number| match written.get(&number) {
        Some(identity) => *identity,
        None => actual.identity(number),
    };
    holds(actual, &desired.policy)
        && desired
            .live
            .endpoints
            .keys()
            .all(|&number| identity(number) == wanted_identity(&desired.policy, number))
}

/// Whether the judging slot holds this policy, leaving aside which endpoint has which identity.
fn holds(actual: &Actual, policy: &PolicyImage) -> bool {
    let known = actual.judging_policy.as_ref();
    if actual.active.generation > 0 && known.is_some_and(|known| known.shares_all(policy)) {
        return true;
    }
    let slot = actual.judging();
    let same = |place: &ListPlace, list: &Arc<StepList>| {
        actual
            .lists
            .get(place)
            .is_some_and(|known| Arc::ptr_eq(known, list) || known == list)
    };
    actual.active.generation > 0
        && slot.subjects.len() == policy.subjects.len()
        && slot.pairs.len() == policy.pairs.len()
        && slot.denials == policy.denials
        && slot.networks.holds(&policy.networks)
        && policy.subjects.iter().all(|(number, subject)| {
            slot.subjects.get(number).is_some_and(|places| {
                places
                    .iter()
                    .flatten()
                    .zip(subject.generic.iter().flatten())
                    .all(|(place, list)| same(place, list))
            })
        })
        && policy
            .pairs
            .iter()
            .all(|(key, list)| slot.pairs.get(key).is_some_and(|place| same(place, list)))
}

/// A new policy: into the slot that does not judge, and then it does.
fn policy(actual: &Actual, desired: &Desired) -> Result<Vec<Operation>, PlanError> {
    let policy = &desired.policy;
    let slot = actual.active.slot.other();
    let standby = actual.standby();
    let placement = Placement::find(actual, policy)?;

    let mut operations = Vec::new();
    if !actual.standby_is_idle {
        operations.push(Operation::AwaitReaders);
    }
    let lists: Vec<_> = placement
        .new
        .iter()
        .map(|(&place, list)| (place, Arc::clone(list)))
        .collect();
    push(&mut operations, lists, Operation::WriteLists);

    let places: BTreeMap<IdentityNumber, SubjectPlaces> = policy
        .subjects
        .iter()
        .map(|(&number, subject)| {
            let place = |list: &Arc<StepList>| placement.of(list);
            (
                number,
                subject
                    .generic
                    .each_ref()
                    .map(|kinds| kinds.each_ref().map(place)),
            )
        })
        .collect();
    let (gone, changed) = difference(&standby.subjects, &places);
    let subjects: Vec<_> = gone
        .into_iter()
        .map(|number| (number, None))
        .chain(
            changed
                .into_iter()
                .map(|(number, places)| (number, Some(places))),
        )
        .collect();
    push(&mut operations, subjects, |subjects| {
        Operation::SetSubjects(slot, subjects)
    });

    let places = policy
        .pairs
        .iter()
        .map(|(&key, list)| (key, placement.of(list)))
        .collect();
    let (gone, changed) = difference(&standby.pairs, &places);
    push(&mut operations, gone, |keys| {
        Operation::RemovePairs(slot, keys)
    });
    push(&mut operations, changed, |pairs| {
        Operation::SetPairs(slot, pairs)
    });

    if !standby.networks.holds(&policy.networks) {
        let fit = |room| {
            let judging = &actual.judging().networks;
            Placed::change(judging, &standby.networks, &policy.networks, room)
        };
        let change = match fit(actual.capacity.network_nodes) {
            Ok(change) => change,
            Err(NoRoom { needed }) => {
                let larger = larger_table(needed, actual.capacity);
                let change = fit(larger).map_err(|NoRoom { needed }| PlanError::DoesNotFit {
                    table: Table::NetworkNodes,
                    needed,
                    available: actual.capacity.most_network_nodes as usize,
                })?;
                operations.push(Operation::GrowNetworks(larger));
                change
            }
        };
        operations.push(Operation::ChangeNetworks(slot, change));
    }

    let (gone, changed) = difference(&standby.denials, &policy.denials);
    let gone = gone.into_iter().map(|number| (number, None));
    let changed = changed
        .into_iter()
        .map(|(number, denial)| (number, Some(denial)));
    push(&mut operations, gone.chain(changed).collect(), |denials| {
        Operation::SetDenials(slot, denials)
    });

    let identities: Vec<_> = actual
        .endpoints
        .iter()
        .filter_map(|(&number, before)| {
            let mut wanted = *before;
            wanted.identity[slot.index()] = wanted_identity(policy, number);
            (wanted != *before).then_some((number, wanted))
        })
        .collect();
    push(&mut operations, identities, Operation::SetEndpoints);

    operations.push(Operation::Publish {
        generation: actual.active.generation + 1,
        slot,
    });
    Ok(operations)
}

/// What goes, and what comes or changes.
fn difference<K: Ord + Copy, V: PartialEq + Copy>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> (Vec<K>, Vec<(K, V)>) {
    let gone = before
        .keys()
        .filter(|key| !after.contains_key(key))
        .copied()
        .collect();
    let changed = after
        .iter()
        .filter(|(key, value)| before.get(key) != Some(value))
        .map(|(&key, &value)| (key, value))
        .collect();
    (gone, changed)
}

/// Blocks by which the networks' table grows: 4 MB.
const GROWTH: u32 = 1 << 16;

/// How large a table to make for so many blocks: with room for a successor that has half of them anew, so
/// that it need not grow with every change.
fn larger_table(needed: usize, capacity: Capacity) -> u32 {
    let needed = u32::try_from(needed).unwrap_or(u32::MAX);
    let wanted = needed.max(capacity.network_nodes);
    let wanted = wanted.saturating_add(wanted / 2);
    let most = capacity.most_network_nodes;
    wanted
        .checked_next_multiple_of(GROWTH)
        .unwrap_or(most)
        .min(most)
}

/// XDP programs come after the others, which do the same later.
fn xdp(actual: &Actual, live: &LiveInventory) -> Vec<Operation> {
    let attach = live
        .xdp
        .iter()
        .filter(|(ifindex, wanted)| {
            !actual
                .xdp
                .get(ifindex)
                .is_some_and(|found| found.sound && wanted.mode.allows(found.generic))
        })
        .map(|(&ifindex, wanted)| Operation::AttachXdp(ifindex, wanted.clone()));
    let detach = actual
        .xdp
        .keys()
        .filter(|ifindex| !live.xdp.contains_key(ifindex))
        .map(|&ifindex| Operation::DetachXdp(ifindex));
    attach.chain(detach).collect()
}

/// Programs: who has none of the right ones, and who should have none.
fn attachments(actual: &Actual, live: &LiveInventory) -> Vec<Operation> {
    let attach = live
        .attachments
        .iter()
        .filter(|(ifindex, wanted)| {
            !actual.attachments.get(ifindex).is_some_and(|attached| {
                attached.sound && attached.constants.as_ref() == Some(&wanted.constants)
            })
        })
        .map(|(&ifindex, wanted)| Operation::Attach(ifindex, wanted.clone()));
    let detach = actual
        .attachments
        .keys()
        .filter(|ifindex| !live.attachments.contains_key(ifindex))
        .map(|&ifindex| Operation::Detach(ifindex));
    attach.chain(detach).collect()
}

fn check(table: Table, needed: usize, available: usize) -> Result<(), PlanError> {
    if needed > available {
        return Err(PlanError::DoesNotFit {
            table,
            needed,
            available,
        });
    }
    Ok(())
}

/// How many entries a number needs, of those that count from 0.
fn slots_for(last: Option<u32>) -> usize {
    last.map_or(0, |last| last as usize + 1)
}

fn check_live(actual: &Actual, live: &LiveInventory) -> Result<(), PlanError> {
    let capacity = &actual.capacity;
    check(
        Table::Addresses,
        live.addresses.len(),
        capacity.addresses as usize,
    )?;
    check(
        Table::Published,
        live.published.len(),
        capacity.published as usize,
    )?;
    check(
        Table::Management,
        live.management.len(),
        capacity.management as usize,
    )?;
    let last = live.endpoints.keys().next_back().map(|number| number.0);
    check(
        Table::Endpoints,
        slots_for(last),
        capacity.endpoints.min(EndpointNumber::LAST.0 + 1) as usize,
    )
}

fn check_policy(actual: &Actual, policy: &PolicyImage) -> Result<(), PlanError> {
    let capacity = &actual.capacity;
    let judging = actual.judging();
    let beside = |ours: usize, judging: usize| ours + judging;
    check(
        Table::Identities,
        policy
            .subjects
            .keys()
            .filter(|number| number.kind() == PeerKind::Endpoint)
            .map(|number| number.0 as usize)
            .max()
            .unwrap_or(0),
        IdentityNumber::LAST_ENDPOINT.0 as usize,
    )?;
    check(
        Table::Pairs,
        beside(policy.pairs.len(), judging.pairs.len()),
        capacity.pairs as usize,
    )?;
    let lists: BTreeSet<&Arc<StepList>> = policy.lists().collect();
    let steps = || lists.iter().flat_map(|list| list.steps());
    if let Some(length) = lists
        .iter()
        .map(|list| list.steps().len())
        .find(|&length| length > STEP_LIST_MAX)
    {
        return Err(PlanError::ListTooLong {
            length,
            maximum: STEP_LIST_MAX,
        });
    }
    check(
        Table::Rules,
        slots_for(steps().map(|step| step.rule.0).max()),
        capacity.rules as usize,
    )
}

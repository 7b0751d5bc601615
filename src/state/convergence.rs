//! Random desired states converge: plans are run against a [`Machine`], and the machine is asked
//! what it holds. And some that are not random, by what their plans consist of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;

use super::actual::{Actual, Mechanism};
use super::denial::Denial;
use super::desired::{
    AddressKey, AddressOwner, Attachment, Desired, EndpointRecord, LiveInventory, ManagementKey,
    PolicyImage, PublishedKey, PublishedTarget, Sender, TemplateConstants, XdpAttachment, XdpMode,
};
use super::diff::plan;
use super::machine::{CAPACITY, Machine};
use super::networks::Networks;
use super::numbers::{EndpointNumber, IdentityNumber, PairKey, RuleNumber, Slot};
use super::plan::{Operation, PlanError, Table};
use super::steps::{Step, StepList, Verdict};
use crate::compile::compiled::Subject;
use crate::inventory::model::MacAddress;
use crate::policy::model::Side;
use crate::policy::traffic::Selector;

fn step_list() -> impl Strategy<Value = Arc<StepList>> {
    // Few different ones, so that policies share some.
    (0..4_u32, 1..4_u32).prop_map(|(seed, length)| {
        let steps = (0..length)
            .map(|n| Step {
                from: Selector::from_raw(n * 100).expect("on the line"),
                verdict: if n % 2 == 0 {
                    Verdict::Drop
                } else {
                    Verdict::Allow
                },
                rule: RuleNumber(seed + n),
                log: false,
            })
            .collect();
        Arc::new(StepList::new(steps))
    })
}

fn policy_image() -> impl Strategy<Value = PolicyImage> {
    let subject = proptest::collection::vec(step_list(), 8).prop_map(|lists| Subject {
        generic: std::array::from_fn(|side| {
            std::array::from_fn(|kind| Arc::clone(&lists[side * 4 + kind]))
        }),
    });
    let pair = (any::<bool>(), 1..4_u32, 1..4_u32).prop_map(|(egress, subject, peer)| PairKey {
        side: if egress { Side::Egress } else { Side::Ingress },
        subject: IdentityNumber(subject),
        peer: IdentityNumber(peer),
    });
    let denial = (1..4_u32, any::<bool>()).prop_map(|(rule, both_ways)| Denial {
        rule: RuleNumber(rule),
        both_ways,
    });
    let prefix = (0..12_u8).prop_map(|n| {
        IpNet::new(Ipv4Addr::new(10, n, 0, 0).into(), 16).expect("16 bits are few enough")
    });
    (
        proptest::collection::btree_map((1..5_u32).prop_map(IdentityNumber), subject, 0..3),
        proptest::collection::btree_map(pair, step_list(), 0..14),
        proptest::collection::btree_map(prefix, (0..3_u32).prop_map(IdentityNumber::lan), 0..13),
        proptest::collection::btree_map((0..3_u32).prop_map(IdentityNumber::lan), denial, 0..3),
        proptest::collection::vec(proptest::option::of(2..5_u32), 7),
    )
        .prop_map(
            |(subjects, pairs, networks, denials, endpoints)| PolicyImage {
                subjects: Arc::new(subjects),
                pairs: Arc::new(pairs),
                networks: Arc::new(Networks::new(&networks)),
                denials,
                endpoints: (1..)
                    .zip(endpoints)
                    .filter_map(|(number, identity)| {
                        Some((EndpointNumber(number), IdentityNumber(identity?)))
                    })
                    .collect(),
            },
        )
}

fn live_inventory() -> impl Strategy<Value = LiveInventory> {
    // The host's port, of few, that leads to it.
    let endpoint = (100..104_u32, any::<bool>(), 1..6_u8, 8000..8003_u16);
    proptest::collection::btree_map(1..8_u32, endpoint, 0..6).prop_map(|endpoints| {
        let mut live = LiveInventory::default();
        live.addresses.insert(
            AddressKey::new(IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1)), 7),
            AddressOwner::Host,
        );
        for (number, (ifindex, named, last, host_port)) in endpoints {
            let number = EndpointNumber(number);
            // Numbers meet other interfaces and other addresses, as after a restart.
            let ifindex = ifindex + number.0 * 2;
            let address = Ipv4Addr::new(172, 17, 0, 1 + last);
            live.endpoints.insert(
                number,
                EndpointRecord {
                    ifindex,
                    bridge: Some(7),
                },
            );
            let sender = named.then(|| Sender {
                mac: MacAddress([2, 0, 0, 0, 0, last]),
                ipv4: BTreeSet::from([address]),
                ipv6: BTreeSet::new(),
            });
            if named {
                let key = PublishedKey {
                    address: Ipv4Addr::UNSPECIFIED.into(),
                    protocol: 6,
                    port: host_port,
                };
                let target = PublishedTarget {
                    endpoint: number,
                    port: 80 + u16::from(last),
                };
                live.published.insert(key, target);
                live.addresses.insert(
                    AddressKey::new(IpAddr::V4(address), 7),
                    AddressOwner::Endpoint(number),
                );
            }
            // One endpoint an interface: the one with the greater number is the later one.
            live.attachments.insert(
                ifindex,
                Attachment {
                    interface: format!("veth{ifindex}"),
                    constants: TemplateConstants { number, sender },
                },
            );
        }
        live
    })
}

/// Uplinks, and who may always get in.
fn edge() -> impl Strategy<Value = (BTreeSet<ManagementKey>, BTreeMap<u32, XdpAttachment>)> {
    let manager = (0..4_u8, 22..24_u16).prop_map(|(last, port)| ManagementKey {
        network: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)).into(),
        port,
    });
    let uplink = prop_oneof![Just(XdpMode::Native), Just(XdpMode::Generic)];
    (
        proptest::collection::btree_set(manager, 0..4),
        proptest::collection::btree_map(2..5_u32, uplink, 0..3),
    )
        .prop_map(|(managers, uplinks)| {
            let attach = |(ifindex, mode)| {
                let interface = format!("eth{ifindex}");
                (ifindex, XdpAttachment { interface, mode })
            };
            (managers, uplinks.into_iter().map(attach).collect())
        })
}

fn desired() -> impl Strategy<Value = Desired> {
    (policy_image(), live_inventory(), edge()).prop_map(|(mut policy, mut live, edge)| {
        (live.management, live.xdp) = edge;
        policy
            .endpoints
            .retain(|number, _| live.endpoints.contains_key(number));
        Desired { policy, live }
    })
}

/// As [`Machine::judging_policy`] tells it: nobody is an identity there.
fn with_nobodies(desired: &Desired) -> PolicyImage {
    let mut policy = desired.policy.clone();
    for number in desired.live.endpoints.keys() {
        policy
            .endpoints
            .entry(*number)
            .or_insert(IdentityNumber::NONE);
    }
    policy
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn random_desired_states_converge(
        wishes in proptest::collection::vec((desired(), proptest::option::of(0..12_usize)), 1..8)
    ) {
        let mut machine = Machine::new();
        let mut actual = machine.observe();
        for (desired, cut) in wishes {
            let plan = match plan(&actual, &desired) {
                Ok(plan) => plan,
                Err(PlanError::DoesNotFit { needed, available, .. }) => {
                    prop_assert!(needed > 0 && available > 0);
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let done = cut.unwrap_or(plan.operations.len()).min(plan.operations.len());
            for operation in &plan.operations[..done] {
                machine.run(operation);
                actual.apply(operation);
            }
            if done < plan.operations.len() {
                // The daemon died: all it has is what it reads.
                actual = machine.observe();
                continue;
            }
            prop_assert_eq!(machine.judging_policy(), with_nobodies(&desired));
            prop_assert_eq!(machine.live(), desired.live.clone());
            prop_assert_eq!(&machine.foreign, &BTreeSet::from([101, 999]));

            let observed = machine.observe();
            prop_assert_eq!(&observed.slots, &actual.slots);
            prop_assert_eq!(&observed.endpoints, &actual.endpoints);
            prop_assert_eq!(&observed.addresses, &actual.addresses);
            prop_assert_eq!(&observed.published, &actual.published);
            prop_assert_eq!(&observed.management, &actual.management);
            prop_assert_eq!(&observed.xdp, &actual.xdp);
            prop_assert_eq!(&observed.attachments, &actual.attachments);
            prop_assert_eq!(observed.active, actual.active);
            for (place, list) in &observed.lists {
                prop_assert_eq!(actual.lists.get(place), Some(list));
            }
            for known in [&observed, &actual] {
                let again = super::diff::plan(known, &desired).expect("what fits once fits twice");
                prop_assert!(again.is_empty(), "a second pass finds {again:?}");
            }
        }
    }
}

fn list(rule: u32) -> Arc<StepList> {
    Arc::new(StepList::new(vec![Step {
        from: Selector::FIRST,
        verdict: Verdict::Drop,
        rule: RuleNumber(rule),
        log: false,
    }]))
}

fn small() -> Desired {
    let number = EndpointNumber(1);
    let mut desired = Desired::default();
    Arc::make_mut(&mut desired.policy.subjects).insert(
        IdentityNumber(2),
        Subject {
            generic: std::array::from_fn(|_| std::array::from_fn(|_| list(0))),
        },
    );
    desired.policy.endpoints.insert(number, IdentityNumber(2));
    desired.live = inventory(&[(1, 2)]);
    desired
}

/// Endpoints by number and last byte of their address.
fn inventory(endpoints: &[(u32, u8)]) -> LiveInventory {
    let mut live = LiveInventory::default();
    for &(number, last) in endpoints {
        let number = EndpointNumber(number);
        let address = Ipv4Addr::new(172, 17, 0, last);
        live.endpoints.insert(
            number,
            EndpointRecord {
                ifindex: 100 + number.0,
                bridge: Some(7),
            },
        );
        live.addresses.insert(
            AddressKey::new(address.into(), 7),
            AddressOwner::Endpoint(number),
        );
        live.attachments.insert(
            100 + number.0,
            Attachment {
                interface: format!("veth{}", number.0),
                constants: TemplateConstants {
                    number,
                    sender: Some(Sender {
                        mac: MacAddress([2, 0, 0, 0, 0, last]),
                        ipv4: BTreeSet::from([address]),
                        ipv6: BTreeSet::new(),
                    }),
                },
            },
        );
    }
    live
}

/// Brings a new machine to a state, and returns what it holds.
fn settled(desired: &Desired) -> Actual {
    let mut actual = Actual::empty(CAPACITY, Mechanism::Tcx);
    for operation in plan(&actual, desired).expect("it fits").operations {
        actual.apply(&operation);
    }
    actual
}

#[test]
fn a_container_of_a_known_identity_costs_a_record_an_address_and_an_attachment() {
    let mut desired = small();
    let actual = settled(&desired);
    desired.live = inventory(&[(1, 2), (2, 3)]);
    desired
        .policy
        .endpoints
        .insert(EndpointNumber(2), IdentityNumber(2));
    let operations = plan(&actual, &desired).expect("it fits").operations;
    assert!(
        matches!(
            &operations[..],
            [
                Operation::SetEndpoints(records),
                Operation::SetAddresses(addresses),
                Operation::Publish { generation: 2, slot: Slot::B },
                Operation::Attach(102, _),
            ] if records.len() == 1 && addresses.len() == 1
        ),
        "{operations:?}"
    );
}

#[test]
fn a_port_that_leads_elsewhere_is_judged_anew_and_nobody_inherits_it() {
    let mut desired = small();
    let key = PublishedKey {
        address: Ipv4Addr::UNSPECIFIED.into(),
        protocol: 6,
        port: 8080,
    };
    let target = |port| PublishedTarget {
        endpoint: EndpointNumber(1),
        port,
    };
    desired.live.published.insert(key, target(80));
    let actual = settled(&desired);
    desired.live.published.insert(key, target(81));
    let operations = plan(&actual, &desired).expect("it fits").operations;
    let expected = [
        Operation::SetPublished(vec![(key, target(81))]),
        Operation::Publish {
            generation: 2,
            slot: Slot::B,
        },
    ];
    assert_eq!(operations, expected);

    desired.live.published.clear();
    let operations = plan(&actual, &desired).expect("it fits").operations;
    assert_eq!(operations[0], Operation::RemovePublished(vec![key]));
    assert!(matches!(operations[1..], [Operation::Publish { .. }]));
}

#[test]
fn a_removed_container_s_address_goes_first_and_its_record_last() {
    let mut desired = small();
    let actual = settled(&desired);
    desired.live = LiveInventory::default();
    desired.policy.endpoints.clear();
    let operations = plan(&actual, &desired).expect("it fits").operations;
    assert!(
        matches!(
            &operations[..],
            [
                Operation::RemoveAddresses(_),
                Operation::Publish { slot: Slot::B, .. },
                Operation::Detach(101),
                Operation::ClearEndpoints(_),
            ]
        ),
        "{operations:?}"
    );
}

#[test]
fn an_edited_rule_writes_the_entries_of_that_rule_only() {
    let mut desired = small();
    for peer in 2..6 {
        let key = PairKey {
            side: Side::Ingress,
            subject: IdentityNumber(2),
            peer: IdentityNumber(peer),
        };
        Arc::make_mut(&mut desired.policy.pairs).insert(key, list(peer));
    }
    let mut actual = settled(&desired);
    // Both slots know the policy after it was published twice.
    for rule in [6, 7] {
        let key = *desired.policy.pairs.keys().next().expect("there are four");
        Arc::make_mut(&mut desired.policy.pairs).insert(key, list(rule));
        let operations = plan(&actual, &desired).expect("it fits").operations;
        for operation in &operations {
            actual.apply(operation);
        }
        if rule == 7 {
            assert!(
                matches!(
                    &operations[..],
                    [
                        Operation::AwaitReaders,
                        Operation::WriteLists(lists),
                        Operation::SetPairs(_, pairs),
                        Operation::Publish { .. },
                    ] if lists.len() == 1 && pairs.len() == 1
                ),
                "{operations:?}"
            );
        }
    }
}

#[test]
fn a_policy_that_does_not_fit_is_refused_before_anything_is_written() {
    let mut desired = small();
    let actual = settled(&desired);
    for peer in 0..CAPACITY.pairs + 1 {
        let key = PairKey {
            side: Side::Ingress,
            subject: IdentityNumber(2),
            peer: IdentityNumber::internet(peer),
        };
        Arc::make_mut(&mut desired.policy.pairs).insert(key, list(1));
    }
    assert!(matches!(
        plan(&actual, &desired),
        Err(PlanError::DoesNotFit {
            table: Table::Pairs,
            needed: 25,
            available: 24
        })
    ));
}

#[test]
fn lists_that_only_the_standby_slot_refers_to_make_room_when_there_is_no_other() {
    let long = |rule: u32| {
        Arc::new(StepList::new(
            (0..8)
                .map(|n| Step {
                    from: Selector::from_raw(n).expect("on the line"),
                    verdict: Verdict::Drop,
                    rule: RuleNumber((rule + n) % 8),
                    log: n % 3 == rule,
                })
                .collect(),
        ))
    };
    let mut desired = small();
    let key = PairKey {
        side: Side::Ingress,
        subject: IdentityNumber(2),
        peer: IdentityNumber(2),
    };
    let mut machine = Machine::new();
    let mut actual = machine.observe();
    for rule in 0..6 {
        Arc::make_mut(&mut desired.policy.pairs).insert(key, long(rule % 3));
        for operation in plan(&actual, &desired)
            .expect("two fit at a time")
            .operations
        {
            machine.run(&operation);
            actual.apply(&operation);
        }
        assert_eq!(machine.judging_policy(), with_nobodies(&desired));
    }
}

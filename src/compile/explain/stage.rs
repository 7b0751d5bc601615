//! Everybody who can be asked about: what runs, the world, and endpoints that could run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Member;
use super::families::Families;
use super::who::Who;
use crate::compile::compiled::Compiled;
use crate::compile::limits::{LimitErrors, Limits};
use crate::compile::lists::{self, Actors};
use crate::compile::membership::EndpointSet;
use crate::compile::names;
use crate::policy::model::{IdentityId, Peer, Policy, TestPeer};
use crate::state::numbers::{IdentityNumber, PeerKind, RuleNumber};

/// The project of the hypothetical endpoints that a question about `same-project` is put to.
const SOME_PROJECT: &str = "some project";

/// A compiled policy, beside it the hypothetical endpoints compiled by the same compiler. Made once
/// for any number of questions.
pub struct Stage<'a> {
    pub(super) policy: &'a Policy,
    pub(super) compiled: &'a Compiled,
    /// Judges the hypothetical endpoints too; holds nothing but lists.
    pub(super) judges: Compiled,
    /// What runs, and, beyond the numbers that the kernel can have, what could run.
    pub(super) sets: BTreeMap<IdentityNumber, EndpointSet>,
    families: BTreeMap<IdentityNumber, Families>,
}

impl<'a> Stage<'a> {
    /// Adds an endpoint of every identity, and an unidentified one, to what runs.
    ///
    /// # Errors
    /// The policy has a list too long for the kernel.
    pub fn new(policy: &'a Policy, compiled: &'a Compiled) -> Result<Self, LimitErrors> {
        let mut sets = BTreeMap::new();
        let mut world = BTreeMap::new();
        for (&number, info) in compiled.identities.iter() {
            match number.kind() {
                PeerKind::Host => {}
                PeerKind::Endpoint => {
                    let set = EndpointSet {
                        identities: info.identities.clone(),
                        project: info.project.clone(),
                    };
                    sets.insert(number, set);
                }
                PeerKind::Lan | PeerKind::Internet => {
                    world.insert(number, info.networks.clone());
                }
            }
        }
        let running: BTreeSet<EndpointSet> = sets.values().cloned().collect();
        let could_run = hypothetical(policy).filter(|set| !running.contains(set));
        let numbers = IdentityNumber::LAST_ENDPOINT.0 + 1..;
        sets.extend(numbers.map(IdentityNumber).zip(could_run));

        let mut rules = vec![RuleNumber::DEFAULT; policy.rules.len()];
        for (&number, info) in compiled.rules.iter() {
            if let Some(rule) = rules.get_mut(info.index) {
                *rule = number;
            }
        }
        let actors = Actors {
            policy,
            rules: &rules,
            endpoints: sets,
            world,
        };
        // None of it goes to the kernel.
        let unlimited = Limits {
            steps: usize::MAX,
            pairs: usize::MAX,
            ..Limits::default()
        };
        let lists = lists::build(&actors, &unlimited)?;
        let judges = Compiled {
            subjects: Arc::new(lists.subjects),
            pairs: Arc::new(lists.pairs),
            ..Compiled::default()
        };
        Ok(Self {
            policy,
            compiled,
            judges,
            sets: actors.endpoints,
            families: families(compiled),
        })
    }

    /// Everybody whom a question is about, as pairs. Connections within the world or within the
    /// host are nobody's to judge, and left out.
    pub(super) fn pairs(&self, from: &Who, to: &Who) -> Vec<(IdentityNumber, IdentityNumber)> {
        let (same_from, same_to) = (from.is_same_project(), to.is_same_project());
        if same_from || same_to {
            let everybody = Who::Asked(TestPeer::Peer(Peer::Containers));
            let openers = self.members(if same_from { &everybody } else { from }, true);
            let targets = self.members(if same_to { &everybody } else { to }, true);
            let project = |number: IdentityNumber| {
                self.sets.get(&number).and_then(|set| set.project.as_ref())
            };
            return cross(&openers, &targets)
                .filter(|&(opener, target)| {
                    project(opener).is_some() && project(opener) == project(target)
                })
                .collect();
        }
        let judged = |number: IdentityNumber| match number.kind() {
            PeerKind::Host => 0,
            PeerKind::Endpoint => 1,
            PeerKind::Lan | PeerKind::Internet => 2,
        };
        cross(&self.members(from, false), &self.members(to, false))
            .filter(|&(opener, target)| {
                judged(opener) != judged(target) || opener.kind() == PeerKind::Endpoint
            })
            .collect()
    }

    /// The numbers of everybody in `who`; of the hypothetical endpoints those with a project, or
    /// those without.
    fn members(&self, who: &Who, with_project: bool) -> Vec<IdentityNumber> {
        let peer = match who {
            Who::Endpoints { endpoints, .. } => {
                let numbers: BTreeSet<_> = endpoints
                    .iter()
                    .filter_map(|endpoint| self.compiled.endpoints.get(endpoint))
                    .copied()
                    .collect();
                return numbers.into_iter().collect();
            }
            Who::Asked(TestPeer::Address(address)) => {
                return self.compiled.network(*address).into_iter().collect();
            }
            Who::Asked(TestPeer::Peer(peer)) => peer,
        };
        let in_world = |wanted: &dyn Fn(IdentityNumber) -> bool| -> Vec<IdentityNumber> {
            let world = self.families.keys().copied();
            world.filter(|&number| wanted(number)).collect()
        };
        match peer {
            Peer::Any => [Peer::Host, Peer::Containers, Peer::World]
                .into_iter()
                .flat_map(|peer| self.members(&Who::Asked(TestPeer::Peer(peer)), with_project))
                .collect(),
            Peer::Host => vec![IdentityNumber::HOST],
            Peer::Containers | Peer::SameProject => self.endpoints(None, with_project),
            Peer::Identity(id) => self.endpoints(Some(*id), with_project),
            Peer::World => in_world(&|_| true),
            Peer::Lan => in_world(&|number| number.kind() == PeerKind::Lan),
            Peer::Internet => in_world(&|number| number.kind() == PeerKind::Internet),
            Peer::Network(_) => in_world(&|number| {
                let info = self.compiled.identities.get(&number);
                info.is_some_and(|info| info.networks.contains(peer))
            }),
            Peer::Cidr(cidr) => self.compiled.numbers_in(*cidr).into_iter().collect(),
        }
    }

    /// Endpoints, all or those of one identity: of the hypothetical ones only that which has no other.
    fn endpoints(&self, identity: Option<IdentityId>, with_project: bool) -> Vec<IdentityNumber> {
        let wanted = |(number, set): (&IdentityNumber, &EndpointSet)| {
            let belongs = identity.is_none_or(|id| set.identities.contains(&id));
            let fits = !is_hypothetical(*number) || set.project.is_some() == with_project;
            (belongs && fits).then_some(*number)
        };
        self.sets.iter().filter_map(wanted).collect()
    }

    pub(super) fn families(&self, number: IdentityNumber) -> Families {
        self.families
            .get(&number)
            .copied()
            .unwrap_or(Families::BOTH)
    }

    pub(super) fn member(&self, number: IdentityNumber) -> Member {
        let name = match self.compiled.identities.get(&number) {
            Some(info) => info.name.clone(),
            None => self
                .sets
                .get(&number)
                .map(|set| names::endpoint_set(self.policy, set))
                .unwrap_or_default(),
        };
        Member {
            name,
            hypothetical: is_hypothetical(number),
        }
    }
}

fn is_hypothetical(number: IdentityNumber) -> bool {
    number.kind() == PeerKind::Endpoint && number > IdentityNumber::LAST_ENDPOINT
}

fn hypothetical(policy: &Policy) -> impl Iterator<Item = EndpointSet> {
    let each = (0..policy.identities.len()).map(|index| vec![IdentityId(index)]);
    let sets: Vec<_> = each.chain([Vec::new()]).collect();
    [None, Some(SOME_PROJECT)]
        .into_iter()
        .flat_map(move |project| {
            let sets = sets.clone();
            sets.into_iter().map(move |identities| EndpointSet {
                identities,
                project: project.map(str::to_owned),
            })
        })
}

fn cross(
    openers: &[IdentityNumber],
    targets: &[IdentityNumber],
) -> impl Iterator<Item = (IdentityNumber, IdentityNumber)> {
    openers
        .iter()
        .flat_map(|&opener| targets.iter().map(move |&target| (opener, target)))
}

/// In which families a number of the world has addresses.
fn families(compiled: &Compiled) -> BTreeMap<IdentityNumber, Families> {
    let mut families: BTreeMap<_, Families> = BTreeMap::new();
    for (prefix, &number) in compiled.networks.iter() {
        let of_number = families.entry(number).or_default();
        *of_number = of_number.either(Families::of(prefix));
    }
    families
}

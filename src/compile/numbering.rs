//! Numbers that stay: what is the same after a reload or a restart keeps its number, and the number
//! of what has gone is given again only when no slot can still speak of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::membership::EndpointSet;
use super::world::Region;
use crate::policy::model::{Action, Peer, Policy, Rule, Side};

/// The numbers in use and those that may not be used again yet. Keep it with the state on disk.
///
/// Each [`compile`](super::compile) that succeeds counts as one generation. Give it a copy and keep
/// that copy once the result is published: then "the last two generations" are what the two slots
/// hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbering {
    generation: u64,
    pub(super) endpoints: Numbers<EndpointKey>,
    pub(super) worlds: Numbers<WorldKey>,
    pub(super) rules: Numbers<RuleKey>,
}

impl Numbering {
    /// Begins a generation.
    pub(super) fn advance(&mut self) {
        self.generation += 1;
        let oldest = self.generation.saturating_sub(2);
        self.endpoints.forget_before(oldest);
        self.worlds.forget_before(oldest);
        self.rules.forget_before(oldest);
    }

    pub(super) fn of_endpoints(
        &mut self,
        keys: BTreeSet<EndpointKey>,
        range: RangeInclusive<u32>,
    ) -> Result<BTreeMap<EndpointKey, u32>, Exhausted> {
        self.endpoints.assign(keys, self.generation, range)
    }

    pub(super) fn of_worlds(
        &mut self,
        keys: BTreeSet<WorldKey>,
        range: RangeInclusive<u32>,
    ) -> Result<BTreeMap<WorldKey, u32>, Exhausted> {
        self.worlds.assign(keys, self.generation, range)
    }

    /// A rule number names a rule in counters and events, and decides nothing. So where a policy of
    /// nearly all the rules there may be is replaced by another one, numbers of the last one are
    /// given again at once rather than the policy refused.
    pub(super) fn of_rules(
        &mut self,
        keys: BTreeSet<RuleKey>,
        range: RangeInclusive<u32>,
    ) -> Result<BTreeMap<RuleKey, u32>, Exhausted> {
        let generation = self.generation;
        self.rules
            .assign(keys.clone(), generation, range.clone())
            .or_else(|_| {
                self.rules.held.retain(|key, _| keys.contains(key));
                self.rules.assign(keys, generation, range)
            })
    }
}

/// There are not enough numbers: so many were needed, those that cannot be given again yet included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted(pub usize);

/// The numbers of one kind of thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "Vec<Entry<K>>",
    into = "Vec<Entry<K>>",
    bound(
        serialize = "K: Clone + Serialize",
        deserialize = "K: Ord + Deserialize<'de>"
    )
)]
pub(super) struct Numbers<K> {
    held: BTreeMap<K, Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    number: u32,
    /// The last generation that used it.
    used: u64,
}

impl<K> Default for Numbers<K> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
        }
    }
}

impl<K: Clone + Ord> Numbers<K> {
    fn forget_before(&mut self, generation: u64) {
        self.held.retain(|_, held| held.used >= generation);
    }

    /// Known keys keep their numbers; new ones get the smallest that are free, in order.
    fn assign(
        &mut self,
        keys: BTreeSet<K>,
        generation: u64,
        range: RangeInclusive<u32>,
    ) -> Result<BTreeMap<K, u32>, Exhausted> {
        // Numbers beyond a limit that was lowered since are given up.
        self.held.retain(|_, held| range.contains(&held.number));
        let taken: HashSet<u32> = self.held.values().map(|held| held.number).collect();
        let mut free = range.clone().filter(|number| !taken.contains(number));
        let mut assigned = BTreeMap::new();
        let mut missing = 0;
        for key in keys {
            let known = self.held.get(&key).map(|held| held.number);
            match known.or_else(|| free.next()) {
                Some(number) => {
                    assigned.insert(key, number);
                }
                None => missing += 1,
            }
        }
        if missing > 0 {
            // None is free: all of the range is held.
            return Err(Exhausted(self.held.len().max(taken.len()) + missing));
        }
        for (key, &number) in &assigned {
            let held = Held {
                number,
                used: generation,
            };
            self.held.insert(key.clone(), held);
        }
        Ok(assigned)
    }
}

/// One number as it is kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry<K> {
    number: u32,
    used: u64,
    key: K,
}

impl<K> From<Numbers<K>> for Vec<Entry<K>> {
    fn from(numbers: Numbers<K>) -> Self {
        let entry = |(key, held): (K, Held)| Entry {
            number: held.number,
            used: held.used,
            key,
        };
        numbers.held.into_iter().map(entry).collect()
    }
}

/// Saved numbers that contradict themselves.
#[derive(Debug, thiserror::Error)]
#[error(
    "the saved numbers are damaged: number {0} or its key is there twice; remove the saved state"
)]
struct NumberTwice(u32);

impl<K: Ord> TryFrom<Vec<Entry<K>>> for Numbers<K> {
    type Error = NumberTwice;

    fn try_from(entries: Vec<Entry<K>>) -> Result<Self, Self::Error> {
        let mut numbers = HashSet::new();
        let mut held = BTreeMap::new();
        for Entry { number, used, key } in entries {
            let known = held.insert(key, Held { number, used });
            if !numbers.insert(number) || known.is_some() {
                return Err(NumberTwice(number));
            }
        }
        Ok(Self { held })
    }
}

/// What an endpoint's identity number stands for, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct EndpointKey {
    identities: Vec<String>,
    project: Option<String>,
}

impl EndpointKey {
    pub(super) fn new(policy: &Policy, set: &EndpointSet) -> Self {
        let name = |id: &crate::policy::model::IdentityId| policy.identities[id.0].name.clone();
        let mut identities: Vec<_> = set.identities.iter().map(name).collect();
        identities.sort_unstable();
        Self {
            identities,
            project: set.project.clone(),
        }
    }
}

/// The set of networks that a number of the world stands for. Its local and its public part share
/// the number, and differ in a bit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct WorldKey(Vec<PeerKey>);

impl WorldKey {
    pub(super) fn new(policy: &Policy, region: &Region) -> Self {
        Self(peer_keys(policy, &region.networks))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a rule says, however it is written and wherever it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct RuleKey {
    deny: bool,
    name: Option<String>,
    from: Vec<PeerKey>,
    to: Vec<PeerKey>,
    traffic: Vec<(u32, u32)>,
    /// `Some(true)`: only egress; `Some(false)`: only ingress.
    egress: Option<bool>,
    log: bool,
    /// How many rules that say the very same stand before it.
    repeats: usize,
}

impl RuleKey {
    /// The keys of all rules, in the rules' order; all different.
    pub(super) fn all(policy: &Policy) -> Vec<Self> {
        let mut seen: BTreeMap<Self, usize> = BTreeMap::new();
        let key = |rule: &Rule| {
            let mut key = Self::new(policy, rule);
            let repeats = seen.entry(key.clone()).or_default();
            key.repeats = *repeats;
            *repeats += 1;
            key
        };
        policy.rules.iter().map(key).collect()
    }

    fn new(policy: &Policy, rule: &Rule) -> Self {
        let intervals = rule.traffic.intervals().iter();
        Self {
            deny: rule.action == Action::Deny,
            name: rule.name.clone(),
            from: peer_keys(policy, &rule.from),
            to: peer_keys(policy, &rule.to),
            traffic: intervals
                .map(|interval| (interval.first().raw(), interval.last().raw()))
                .collect(),
            egress: rule.side.map(|side| side == Side::Egress),
            log: rule.log,
            repeats: 0,
        }
    }
}

/// A peer by name, so that its place among the policy's definitions does not matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PeerKey {
    Any,
    Host,
    Containers,
    World,
    Lan,
    Internet,
    SameProject,
    Identity(String),
    Network(String),
    Cidr(IpNet),
}

/// Sorted, without duplicates.
fn peer_keys(policy: &Policy, peers: &[Peer]) -> Vec<PeerKey> {
    let key = |peer: &Peer| match peer {
        Peer::Any => PeerKey::Any,
        Peer::Host => PeerKey::Host,
        Peer::Containers => PeerKey::Containers,
        Peer::World => PeerKey::World,
        Peer::Lan => PeerKey::Lan,
        Peer::Internet => PeerKey::Internet,
        Peer::SameProject => PeerKey::SameProject,
        Peer::Identity(id) => PeerKey::Identity(policy.identities[id.0].name.clone()),
        Peer::Network(id) => PeerKey::Network(policy.networks[id.0].name.clone()),
        Peer::Cidr(cidr) => PeerKey::Cidr(*cidr),
    };
    let keys: BTreeSet<_> = peers.iter().map(key).collect();
    keys.into_iter().collect()
}

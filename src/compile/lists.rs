//! What every subject does with every peer: generic lists for each kind of peer, and lists of their
//! own only for peers that a rule names more specifically.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::compiled::Subject;
use super::limits::{LONGEST_LIST, LimitErrors, Limits, Need, Resource};
use super::membership::EndpointSet;
use super::settings::{Settings, SubjectKind};
use super::sweep::{Ground, ListId, ListStore};
use crate::policy::model::{Peer, Policy, Rule, Side};
use crate::state::numbers::{IdentityNumber, PairKey, PeerKind, RuleNumber};
use crate::state::steps::StepList;

/// How far beyond a limit the need is still counted, so that a refusal can say it exactly, before
/// memory runs out.
const COUNT_ON: usize = 8;

/// Everybody that has a number.
pub(super) struct Actors<'a> {
    pub(super) policy: &'a Policy,
    /// By the rules' index.
    pub(super) rules: &'a [RuleNumber],
    pub(super) endpoints: BTreeMap<IdentityNumber, EndpointSet>,
    /// The networks and CIDRs that each number of the world is in.
    pub(super) world: BTreeMap<IdentityNumber, Vec<Peer>>,
}

/// What becomes of `Compiled::subjects` and `Compiled::pairs`.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) subjects: BTreeMap<IdentityNumber, Subject>,
    pub(super) pairs: BTreeMap<PairKey, Arc<StepList>>,
}

/// Compiles all rules for all actors.
///
/// # Errors
/// The lists or the pairs are many times more than the limits allow, or one list is too long.
pub(super) fn build(actors: &Actors<'_>, limits: &Limits) -> Result<Lists, LimitErrors> {
    let mut builder = Builder {
        members: Members::new(actors),
        sides: [
            SideRules::new(actors.policy, Side::Egress),
            SideRules::new(actors.policy, Side::Ingress),
        ],
        store: ListStore::new(actors.policy, actors.rules),
        pairs: BTreeMap::new(),
        actors,
        limits,
    };
    let mut subjects = BTreeMap::new();
    let host = builder.subject(IdentityNumber::HOST, SubjectKind::Host)?;
    subjects.insert(IdentityNumber::HOST, host);
    for (&number, set) in &actors.endpoints {
        let subject = builder.subject(number, SubjectKind::Endpoint(set))?;
        subjects.insert(number, subject);
    }
    Ok(Lists {
        subjects,
        pairs: builder.pairs,
    })
}

struct Builder<'a> {
    actors: &'a Actors<'a>,
    members: Members<'a>,
    sides: [SideRules<'a>; 2],
    store: ListStore<'a>,
    pairs: BTreeMap<PairKey, Arc<StepList>>,
    limits: &'a Limits,
}

impl<'a> Builder<'a> {
    fn subject(
        &mut self,
        number: IdentityNumber,
        kind: SubjectKind<'_>,
    ) -> Result<Subject, LimitErrors> {
        let egress = self.side(number, kind, Side::Egress)?;
        let ingress = self.side(number, kind, Side::Ingress)?;
        Ok(Subject {
            generic: [egress, ingress],
        })
    }

    fn side(
        &mut self,
        subject: IdentityNumber,
        kind: SubjectKind<'_>,
        side: Side,
    ) -> Result<[Arc<StepList>; 4], LimitErrors> {
        let ground = Ground::from(Settings::of(self.actors.policy, kind, side));
        let spoken = self.sides[side as usize].of_subject(kind, &self.members);
        let mut ids = Vec::with_capacity(4);
        for rules in spoken.generic {
            ids.push(self.list(None, ground, rules)?);
        }
        for (peer, rules) in spoken.specific {
            let generic = ids[peer.kind() as usize];
            let own = self.list(Some(generic), ground, rules)?;
            let list = self.store.get(own);
            if !Arc::ptr_eq(list, self.store.get(generic)) {
                let list = Arc::clone(list);
                let key = PairKey {
                    side,
                    subject,
                    peer,
                };
                self.pairs.insert(key, list);
            }
        }
        self.stop_beyond(Resource::Pairs, self.pairs.len(), self.limits.pairs)?;
        Ok(PeerKind::ALL.map(|kind| Arc::clone(self.store.get(ids[kind as usize]))))
    }

    fn list(
        &mut self,
        base: Option<ListId>,
        ground: Ground,
        rules: Vec<usize>,
    ) -> Result<ListId, LimitErrors> {
        let id = self.store.list(base, ground, rules);
        let length = self.store.get(id).steps().len();
        if length > LONGEST_LIST {
            let need = Need::Exactly(length);
            return Err(LimitErrors::one(Resource::ListSteps, need, LONGEST_LIST));
        }
        self.stop_beyond(Resource::Steps, self.store.steps(), self.limits.steps)?;
        Ok(id)
    }

    fn stop_beyond(
        &self,
        resource: Resource,
        need: usize,
        limit: usize,
    ) -> Result<(), LimitErrors> {
        if need <= limit.saturating_mul(COUNT_ON) {
            return Ok(());
        }
        Err(LimitErrors::one(resource, Need::MoreThan(need), limit))
    }
}

/// Which numbers a specific peer stands for.
struct Members<'a> {
    identities: Vec<Vec<IdentityNumber>>,
    world: HashMap<&'a Peer, Vec<IdentityNumber>>,
    projects: HashMap<&'a str, Vec<IdentityNumber>>,
    sets: &'a BTreeMap<IdentityNumber, EndpointSet>,
}

impl<'a> Members<'a> {
    fn new(actors: &'a Actors<'_>) -> Self {
        let mut identities = vec![Vec::new(); actors.policy.identities.len()];
        let mut projects: HashMap<&str, Vec<_>> = HashMap::new();
        for (&number, set) in &actors.endpoints {
            for id in &set.identities {
                identities[id.0].push(number);
            }
            if let Some(project) = &set.project {
                projects.entry(project).or_default().push(number);
            }
        }
        let mut world: HashMap<&Peer, Vec<_>> = HashMap::new();
        for (&number, networks) in &actors.world {
            for network in networks {
                world.entry(network).or_default().push(number);
            }
        }
        Self {
            identities,
            world,
            projects,
            sets: &actors.endpoints,
        }
    }

    fn of(&self, peer: &Peer) -> &[IdentityNumber] {
        match peer {
            Peer::Identity(id) => &self.identities[id.0],
            Peer::Network(_) | Peer::Cidr(_) => self.world.get(peer).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    fn of_project(&self, subject: SubjectKind<'_>) -> &[IdentityNumber] {
        match subject {
            SubjectKind::Endpoint(EndpointSet {
                project: Some(project),
                ..
            }) => self
                .projects
                .get(project.as_str())
                .map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }
}

/// The peers that a rule names on one side of it.
struct Peers<'a> {
    /// By [`PeerKind`]: all of the kind.
    kinds: [bool; 4],
    /// Identities, networks and CIDRs.
    specific: Vec<&'a Peer>,
    same_project: bool,
}

impl<'a> Peers<'a> {
    fn new(peers: &'a [Peer]) -> Self {
        let mut new = Self {
            kinds: [false; 4],
            specific: Vec::new(),
            same_project: false,
        };
        for peer in peers {
            let kinds: &[PeerKind] = match peer {
                Peer::Any => &PeerKind::ALL,
                Peer::Host => &[PeerKind::Host],
                Peer::Containers => &[PeerKind::Endpoint],
                Peer::World => &[PeerKind::Lan, PeerKind::Internet],
                Peer::Lan => &[PeerKind::Lan],
                Peer::Internet => &[PeerKind::Internet],
                Peer::SameProject => {
                    new.same_project = true;
                    &[]
                }
                Peer::Identity(_) | Peer::Network(_) | Peer::Cidr(_) => {
                    new.specific.push(peer);
                    &[]
                }
            };
            for &kind in kinds {
                new.kinds[kind as usize] = true;
            }
        }
        new
    }

    /// Whether an endpoint is among them whatever its project.
    fn has_endpoint(&self, set: &EndpointSet) -> bool {
        self.kinds[PeerKind::Endpoint as usize]
            || self.specific.iter().any(
                |peer| matches!(peer, Peer::Identity(id) if set.identities.binary_search(id).is_ok()),
            )
    }
}

/// The rules that speak on one side of connections, found by the subject they speak of.
struct SideRules<'a> {
    /// The other end's peers, by rule.
    others: Vec<Peers<'a>>,
    host: Vec<usize>,
    endpoints: Vec<usize>,
    identities: Vec<Vec<usize>>,
    same_project: Vec<usize>,
}

/// The rules that speak of one side of one subject.
#[derive(Default)]
struct Spoken {
    /// By [`PeerKind`]; sorted.
    generic: [Vec<usize>; 4],
    /// What is said of single peers beyond that; sorted.
    specific: BTreeMap<IdentityNumber, Vec<usize>>,
}

impl Spoken {
    fn add(&mut self, peer: IdentityNumber, rule: usize) {
        let rules = self.specific.entry(peer).or_default();
        if rules.last() != Some(&rule) {
            rules.push(rule);
        }
    }
}

impl<'a> SideRules<'a> {
    fn new(policy: &'a Policy, side: Side) -> Self {
        let ends = |rule: &'a Rule| match side {
            Side::Egress => (&rule.from, &rule.to),
            Side::Ingress => (&rule.to, &rule.from),
        };
        let mut new = Self {
            others: Vec::with_capacity(policy.rules.len()),
            host: Vec::new(),
            endpoints: Vec::new(),
            identities: vec![Vec::new(); policy.identities.len()],
            same_project: Vec::new(),
        };
        for (index, rule) in policy.rules.iter().enumerate() {
            let (own, other) = ends(rule);
            new.others.push(Peers::new(other));
            if rule.side.is_some_and(|only| only != side) {
                continue;
            }
            let own = Peers::new(own);
            if own.kinds[PeerKind::Host as usize] {
                new.host.push(index);
            }
            if own.kinds[PeerKind::Endpoint as usize] {
                new.endpoints.push(index);
            }
            for peer in own.specific {
                if let Peer::Identity(id) = peer {
                    new.identities[id.0].push(index);
                }
            }
            if own.same_project {
                new.same_project.push(index);
            }
        }
        new
    }

    fn of_subject(&self, subject: SubjectKind<'_>, members: &Members<'_>) -> Spoken {
        let project = members.of_project(subject);
        // In the order of the rules; `true`: only towards peers of the subject's own project.
        let mut rules: Vec<(usize, bool)> = match subject {
            SubjectKind::Host => self.host.iter().map(|&rule| (rule, false)).collect(),
            SubjectKind::Endpoint(set) => {
                let named = set.identities.iter().flat_map(|id| &self.identities[id.0]);
                self.endpoints
                    .iter()
                    .chain(named)
                    .map(|&rule| (rule, false))
                    .collect()
            }
        };
        if !project.is_empty() {
            rules.extend(self.same_project.iter().map(|&rule| (rule, true)));
        }
        rules.sort_unstable();
        // What holds towards all peers holds towards those of the project too.
        rules.dedup_by_key(|(rule, _)| *rule);

        let mut spoken = Spoken::default();
        for (rule, within_project) in rules {
            let others = &self.others[rule];
            if within_project {
                for &peer in project {
                    let among = others.same_project
                        || members
                            .sets
                            .get(&peer)
                            .is_some_and(|set| others.has_endpoint(set));
                    if among {
                        spoken.add(peer, rule);
                    }
                }
                continue;
            }
            for kind in PeerKind::ALL {
                if others.kinds[kind as usize] {
                    spoken.generic[kind as usize].push(rule);
                }
            }
            let specific = others.specific.iter().flat_map(|peer| members.of(peer));
            let of_project = if others.same_project { project } else { &[] };
            for &peer in specific.chain(of_project) {
                if !others.kinds[peer.kind() as usize] {
                    spoken.add(peer, rule);
                }
            }
        }
        spoken
    }
}

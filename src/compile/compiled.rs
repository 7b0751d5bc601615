//! The compiled policy: a plain value that says what the kernel's maps of one slot should hold, and
//! that judges just as the kernel does, so that `explain` and `[[test]]` cannot disagree with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::division::Division;
use super::kinds::Kinds;
use super::world::size;
use crate::policy::model::{Action, IdentityId, Location, Peer, Side};
use crate::policy::traffic::Selector;
use crate::state::denial::Denial;
use crate::state::networks::Networks;
use crate::state::numbers::{EndpointNumber, IdentityNumber, PairKey, PeerKind, RuleNumber};
use crate::state::steps::{Step, StepList, Verdict};

/// One complete policy for one inventory. All but who has which number is shared: a copy for another
/// inventory costs nothing, and equal pointers tell that nothing else has changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compiled {
    /// What every subject (the host, and each identity number in use) does with peers that `pairs`
    /// does not name.
    pub subjects: Arc<BTreeMap<IdentityNumber, Subject>>,
    /// What a subject does with a particular peer. Equal lists are one allocation.
    pub pairs: Arc<BTreeMap<PairKey, Arc<StepList>>>,
    /// The world outside by longest prefix; both families' default routes are always in it.
    pub networks: Arc<BTreeMap<IpNet, IdentityNumber>>,
    /// The same as the kernel searches it, and how it came about.
    pub world: Division,
    /// Who of the world is denied whatever he opens, whoever it is to.
    pub denials: BTreeMap<IdentityNumber, Denial>,
    /// Which identity number each endpoint has.
    pub endpoints: BTreeMap<EndpointNumber, IdentityNumber>,
    /// What the numbers mean, for people.
    pub identities: Arc<BTreeMap<IdentityNumber, IdentityInfo>>,
    /// How the kind of an endpoint that comes is found.
    pub kinds: Arc<Kinds>,
    /// What the rules' numbers mean, for people.
    pub rules: Arc<BTreeMap<RuleNumber, RuleInfo>>,
}

/// A subject's lists for each kind of peer, `[side][kind]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Indexed by [`Side`] and [`PeerKind`].
    pub generic: [[Arc<StepList>; 4]; 2],
}

/// What an identity number stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityInfo {
    /// The identities whose intersection it is; nothing for the host, the world and unidentified
    /// endpoints.
    pub identities: Vec<IdentityId>,
    /// The compose project, for endpoints, where the policy asks for `same-project`.
    pub project: Option<String>,
    /// For the world: the networks and inline CIDRs that contain its addresses.
    pub networks: Vec<Peer>,
    /// For people: `db+web`, `host`, `unidentified`, `internet`, `office`.
    pub name: String,
}

/// What a rule number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// Index into the policy's rules.
    pub index: usize,
    /// Allow or deny.
    pub action: Action,
    /// Its name, or a short form of what it says: `allow web -> db 3306/tcp`.
    pub name: String,
    /// Where it stands.
    pub location: Location,
}

/// What becomes of a new connection, and who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// The greater of the two sides' verdicts.
    pub verdict: Verdict,
    /// The side that decided: the one with the greater verdict, egress if they are equal.
    pub side: Side,
    /// What the opener's egress says, where it has one.
    pub egress: Option<Step>,
    /// What the target's ingress says, where it has one.
    pub ingress: Option<Step>,
}

impl Compiled {
    /// Judges a new connection as the kernel does.
    ///
    /// `None`: an identity number is in no map; the kernel drops for that.
    #[must_use]
    pub fn judge(
        &self,
        opener: IdentityNumber,
        target: IdentityNumber,
        selector: Selector,
    ) -> Option<Judgement> {
        let one = |side, subject: IdentityNumber, peer| {
            if matches!(subject.kind(), PeerKind::Lan | PeerKind::Internet) {
                return Some(None);
            }
            Some(Some(self.list(side, subject, peer)?.find(selector)))
        };
        let egress = one(Side::Egress, opener, target)?;
        let ingress = one(Side::Ingress, target, opener)?;
        let verdict = |step: &Option<Step>| step.map_or(Verdict::Allow, |step| step.verdict);
        let side = if verdict(&egress) >= verdict(&ingress) {
            Side::Egress
        } else {
            Side::Ingress
        };
        Some(Judgement {
            verdict: verdict(&egress).max(verdict(&ingress)),
            side,
            egress,
            ingress,
        })
    }

    /// The list by which a subject judges a peer, found as the kernel finds it.
    #[must_use]
    pub fn list(
        &self,
        side: Side,
        subject: IdentityNumber,
        peer: IdentityNumber,
    ) -> Option<&Arc<StepList>> {
        let key = PairKey {
            side,
            subject,
            peer,
        };
        self.pairs.get(&key).or_else(|| {
            let subject = self.subjects.get(&subject)?;
            Some(&subject.generic[side as usize][peer.kind() as usize])
        })
    }

    /// The world outside as the kernel searches it.
    #[must_use]
    pub fn trees(&self) -> &Arc<Networks> {
        &self.world.trees
    }

    /// Whether the host's own policy may refuse or report anything between it and the world. If not, there
    /// is nothing to do on its uplinks.
    #[must_use]
    pub fn judges_host(&self) -> bool {
        let says_something = |list: &StepList| {
            let mut steps = list.steps().iter();
            steps.any(|step| step.verdict != Verdict::Allow || step.log)
        };
        let is_world = |kind| matches!(kind, PeerKind::Lan | PeerKind::Internet);
        let generic = self
            .subjects
            .get(&IdentityNumber::HOST)
            .is_some_and(|host| {
                host.generic.iter().any(|kinds| {
                    [PeerKind::Lan, PeerKind::Internet]
                        .iter()
                        .any(|&kind| says_something(&kinds[kind as usize]))
                })
            });
        generic
            || self.pairs.iter().any(|(key, list)| {
                key.subject == IdentityNumber::HOST
                    && is_world(key.peer.kind())
                    && says_something(list)
            })
    }

    /// Whether a rule denies everything to some of the world's senders.
    #[must_use]
    pub fn condemns_senders(&self) -> bool {
        !self.denials.is_empty()
    }

    /// The number of an address of the world, by longest prefix.
    #[must_use]
    pub fn network(&self, address: IpAddr) -> Option<IdentityNumber> {
        self.covering(IpNet::from(address))
    }

    /// The numbers that the addresses of a prefix can have.
    #[must_use]
    pub fn numbers_in(&self, prefix: IpNet) -> BTreeSet<IdentityNumber> {
        let prefix = prefix.trunc();
        let mut numbers = BTreeSet::new();
        let mut covered: Option<u128> = None;
        let mut outermost: Option<IpNet> = None;
        let below = self.networks.range(prefix..);
        for (&entry, &number) in below.take_while(|(entry, _)| prefix.contains(*entry)) {
            numbers.insert(number);
            if outermost.is_none_or(|outer| !outer.contains(&entry)) {
                outermost = Some(entry);
                covered = Some(covered.unwrap_or(0).wrapping_add(size(&entry)));
            }
        }
        if covered != Some(size(&prefix)) {
            numbers.extend(self.covering(prefix));
        }
        numbers
    }

    /// The entry that covers all of a prefix with the fewest addresses.
    fn covering(&self, prefix: IpNet) -> Option<IdentityNumber> {
        std::iter::successors(Some(prefix), IpNet::supernet)
            .find_map(|prefix| self.networks.get(&prefix).copied())
    }
}

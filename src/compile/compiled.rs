//! The compiled policy: a plain value that says what the kernel's maps of one slot should hold, and
//! that judges just as the kernel does, so that `explain` and `[[test]]` cannot disagree with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use crate::policy::model::{Action, IdentityId, Location, Side};
use crate::policy::traffic::Selector;
use crate::state::numbers::{EndpointNumber, IdentityNumber, PairKey, PeerKind, RuleNumber};
use crate::state::steps::{Step, StepList, Verdict};

/// One complete policy for one inventory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compiled {
    /// What every subject (the host, and each identity number in use) does with peers that `pairs`
    /// does not name.
    pub subjects: BTreeMap<IdentityNumber, Subject>,
    /// What a subject does with a particular peer. Equal lists are one allocation.
    pub pairs: BTreeMap<PairKey, Arc<StepList>>,
    /// The world outside by longest prefix; both families' default routes are always in it.
    pub networks: BTreeMap<IpNet, IdentityNumber>,
    /// Which identity number each endpoint has.
    pub endpoints: BTreeMap<EndpointNumber, IdentityNumber>,
    /// What the numbers mean, for people.
    pub identities: BTreeMap<IdentityNumber, IdentityInfo>,
    /// What the rules' numbers mean, for people.
    pub rules: BTreeMap<RuleNumber, RuleInfo>,
}

/// A subject's lists for each kind of peer, `[side][kind]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Indexed by [`Side`] and [`PeerKind`].
    pub generic: [[Arc<StepList>; 4]; 2],
}

/// What an identity number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityInfo {
    /// The identities whose intersection it is, or, for the world, nothing.
    pub identities: Vec<IdentityId>,
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
        let one = |side, subject: IdentityNumber, peer: IdentityNumber| {
            if matches!(subject.kind(), PeerKind::Lan | PeerKind::Internet) {
                return Some(None);
            }
            let list = match self.pairs.get(&PairKey {
                side,
                subject,
                peer,
            }) {
                Some(list) => list,
                None => &self.subjects.get(&subject)?.generic[side as usize][peer.kind() as usize],
            };
            Some(Some(list.find(selector)))
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
}

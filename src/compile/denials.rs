//! Which deny rules can be judged by the sender alone, before the receiver is known: those that deny
//! everything from a part of the world to everybody.
//!
//! It must not matter that the receiver is looked at no more. So a rule counts if its `to` leaves nobody
//! out and its traffic nothing; and none at all does while the ingress of anybody is in audit mode, for
//! what comes from there may be meant for him. What answers a connection passes whatever a rule says of
//! its direction: only where nobody may open a connection to there either, nothing can be an answer.

use std::collections::BTreeMap;

use super::lists::Actors;
use super::settings::{Settings, SubjectKind};
use crate::policy::model::{Action, Mode, Peer, Rule, Side};
use crate::policy::traffic::Traffic;
use crate::state::denial::Denial;
use crate::state::numbers::{IdentityNumber, PeerKind};

/// Who of the world is denied by the sender alone.
pub(super) fn find(actors: &Actors<'_>) -> BTreeMap<IdentityNumber, Denial> {
    let from = |rule: &&Rule| speaks(rule, Side::Ingress) && is_everybody(&rule.to);
    let to = |rule: &&Rule| speaks(rule, Side::Egress) && is_everybody(&rule.from);
    let rules = || actors.policy.rules.iter();
    if !rules().any(|rule| from(&rule)) || !is_enforced(actors, Side::Ingress) {
        return BTreeMap::new();
    }
    let inward: Vec<_> = rules()
        .zip(actors.rules)
        .filter(|(rule, _)| from(rule))
        .collect();
    let outward: Vec<_> = if is_enforced(actors, Side::Egress) {
        rules().filter(to).collect()
    } else {
        Vec::new()
    };
    let numbers = actors.world.iter();
    numbers
        .filter_map(|(&number, networks)| {
            let covers = |peers: &[Peer]| covers(peers, number.kind(), networks);
            let (_, rule) = inward.iter().find(|(rule, _)| covers(&rule.from))?;
            let rule = **rule;
            let both_ways = outward.iter().any(|rule| covers(&rule.to));
            Some((number, Denial { rule, both_ways }))
        })
        .collect()
}

/// Whether it denies everything on this side.
fn speaks(rule: &Rule, side: Side) -> bool {
    rule.action == Action::Deny
        && rule.side.is_none_or(|only| only == side)
        && rule.traffic.intervals() == Traffic::all().intervals()
}

fn is_everybody(peers: &[Peer]) -> bool {
    PeerKind::ALL.iter().all(|&kind| covers(peers, kind, &[]))
}

/// Whether everybody of this kind in these networks is among some peers.
fn covers(peers: &[Peer], kind: PeerKind, networks: &[Peer]) -> bool {
    peers.iter().any(|peer| match peer {
        Peer::Any => true,
        Peer::Host => kind == PeerKind::Host,
        Peer::Containers => kind == PeerKind::Endpoint,
        Peer::World => matches!(kind, PeerKind::Lan | PeerKind::Internet),
        Peer::Lan => kind == PeerKind::Lan,
        Peer::Internet => kind == PeerKind::Internet,
        Peer::Network(_) | Peer::Cidr(_) => networks.contains(peer),
        Peer::Identity(_) | Peer::SameProject => false,
    })
}

fn is_enforced(actors: &Actors<'_>, side: Side) -> bool {
    let endpoints = actors.endpoints.values().map(SubjectKind::Endpoint);
    endpoints
        .chain([SubjectKind::Host])
        .all(|subject| Settings::of(actors.policy, subject, side).mode == Mode::Enforce)
}

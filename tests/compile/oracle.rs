//! What the design says of policies, read aloud: every rule is asked about every pair of peers.
//! Nothing here is fast, and nothing of it is the compiler's.

use std::net::IpAddr;

use bridgewall::inventory::model::Attributes;
use bridgewall::policy::model::{Action, Identity, LabelOperator, Mode, Peer, Policy, Rule, Side};
use bridgewall::policy::traffic::Selector;
use bridgewall::state::steps::Verdict;

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Party<'a> {
    Host,
    Endpoint(&'a Attributes),
    World(IpAddr),
}

/// What one side says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion {
    pub verdict: Verdict,
    /// Index of the rule that decides.
    pub rule: Option<usize>,
    pub log: bool,
}

/// What one side of a connection says; `None` for the world, which has no say.
pub fn opinion(
    policy: &Policy,
    opener: Party<'_>,
    target: Party<'_>,
    selector: Selector,
    side: Side,
) -> Option<Opinion> {
    let subject = match side {
        Side::Egress => opener,
        Side::Ingress => target,
    };
    let (default, mode) = match subject {
        Party::World(_) => return None,
        Party::Host => (
            match side {
                Side::Egress => policy.defaults.host_egress,
                Side::Ingress => policy.defaults.host_ingress,
            },
            policy.defaults.mode,
        ),
        Party::Endpoint(attributes) => endpoint_settings(policy, attributes, side),
    };
    let speaks = |rule: &Rule| {
        rule.side.is_none_or(|only| only == side)
            && rule.traffic.contains(selector)
            && rule
                .from
                .iter()
                .any(|peer| is(policy, peer, opener, target))
            && rule.to.iter().any(|peer| is(policy, peer, target, opener))
    };
    let first = |action: Action| {
        policy
            .rules
            .iter()
            .position(|rule| rule.action == action && speaks(rule))
    };
    let dropped = |verdict| match mode {
        Mode::Audit => Verdict::Audit,
        Mode::Enforce => verdict,
    };
    let (verdict, rule) = match (first(Action::Deny), first(Action::Allow), default) {
        (Some(deny), _, _) => (dropped(Verdict::Deny), Some(deny)),
        (None, Some(allow), _) => (Verdict::Allow, Some(allow)),
        (None, None, Action::Allow) => (Verdict::Allow, None),
        (None, None, Action::Deny) => (dropped(Verdict::Drop), None),
    };
    Some(Opinion {
        verdict,
        rule,
        log: rule.is_some_and(|index| policy.rules[index].log),
    })
}

fn endpoint_settings(policy: &Policy, attributes: &Attributes, side: Side) -> (Action, Mode) {
    let defaults = &policy.defaults;
    let default = match side {
        Side::Egress => defaults.egress,
        Side::Ingress => defaults.ingress,
    };
    let mine: Vec<&Identity> = policy
        .identities
        .iter()
        .filter(|identity| belongs(identity, attributes))
        .collect();
    if mine.is_empty() {
        let action = match defaults.unidentified {
            Action::Allow => Action::Allow,
            Action::Deny => default,
        };
        return (action, defaults.mode);
    }
    let denies = mine.iter().any(|identity| {
        let own = match side {
            Side::Egress => identity.egress,
            Side::Ingress => identity.ingress,
        };
        own.unwrap_or(default) == Action::Deny
    });
    let enforces = mine
        .iter()
        .any(|identity| identity.mode.unwrap_or(defaults.mode) == Mode::Enforce);
    (
        if denies { Action::Deny } else { Action::Allow },
        if enforces { Mode::Enforce } else { Mode::Audit },
    )
}

/// Whether a party is meant by a peer, in a rule whose other side is `other`.
fn is(policy: &Policy, peer: &Peer, party: Party<'_>, other: Party<'_>) -> bool {
    match (peer, party) {
        (Peer::Any, _) => true,
        (Peer::Host, Party::Host) => true,
        (Peer::Containers, Party::Endpoint(_)) => true,
        (Peer::World, Party::World(_)) => true,
        (Peer::Lan, Party::World(address)) => is_lan(address),
        (Peer::Internet, Party::World(address)) => !is_lan(address),
        (Peer::SameProject, Party::Endpoint(one)) => match other {
            Party::Endpoint(other) => one.project.is_some() && one.project == other.project,
            _ => false,
        },
        (Peer::Identity(id), Party::Endpoint(one)) => belongs(&policy.identities[id.0], one),
        (Peer::Network(id), Party::World(address)) => policy.networks[id.0].contains(address),
        (Peer::Cidr(cidr), Party::World(address)) => cidr.contains(&address),
        _ => false,
    }
}

fn belongs(identity: &Identity, attributes: &Attributes) -> bool {
    let selector = &identity.selector;
    for requirement in &selector.labels {
        let value = attributes.labels.get(&requirement.key);
        let met = match (&requirement.operator, value) {
            (LabelOperator::In(values), Some(value)) => values.contains(value),
            (LabelOperator::In(_), None) => false,
            (LabelOperator::NotIn(values), Some(value)) => !values.contains(value),
            (LabelOperator::NotIn(_), None) => true,
            (LabelOperator::Exists, value) => value.is_some(),
            (LabelOperator::Absent, value) => value.is_none(),
        };
        if !met {
            return false;
        }
    }
    let patterns = [
        (&selector.name, Some(&attributes.name)),
        (&selector.image, attributes.image.as_ref()),
        (&selector.network, attributes.network.as_ref()),
        (&selector.project, attributes.project.as_ref()),
        (&selector.interface, Some(&attributes.interface)),
    ];
    for (pattern, value) in patterns {
        if let Some(pattern) = pattern {
            match value {
                Some(value) if pattern.matches(value) => {}
                _ => return false,
            }
        }
    }
    true
}

fn is_lan(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => match address.octets() {
            [10, ..] | [192, 168, ..] | [169, 254, ..] => true,
            [172, b, ..] => (16..32).contains(&b),
            [100, b, ..] => (64..128).contains(&b),
            // What no router forwards.
            [0, ..] | [127, ..] | [224, 0, 0, _] | [255, 255, 255, 255] => true,
            _ => false,
        },
        IpAddr::V6(address) => {
            let first = address.segments()[0];
            (0xfc00..0xfe00).contains(&first)
                || (0xfe80..0xfec0).contains(&first)
                || first == 0xff01
                || first == 0xff02
                || address.to_bits() <= 1
        }
    }
}

//! How compiled things are called towards people.

use super::membership::EndpointSet;
use super::world::Region;
use crate::policy::model::{Action, Location, Peer, Policy, Rule};
use crate::policy::traffic::{Interval, protocol};

/// How many peers of a list are named before "and more".
const SHOWN_PEERS: usize = 3;

/// A peer as the policy file names it.
#[must_use]
pub fn peer(policy: &Policy, peer: &Peer) -> String {
    match peer {
        Peer::Any => "any".to_owned(),
        Peer::Host => "host".to_owned(),
        Peer::Containers => "containers".to_owned(),
        Peer::World => "world".to_owned(),
        Peer::Lan => "lan".to_owned(),
        Peer::Internet => "internet".to_owned(),
        Peer::SameProject => "same-project".to_owned(),
        Peer::Identity(id) => policy.identities[id.0].name.clone(),
        Peer::Network(id) => policy.networks[id.0].name.clone(),
        Peer::Cidr(cidr) => cidr.to_string(),
    }
}

/// A rule's own name, or a short form of what it says: `allow web -> db 3306/tcp`.
#[must_use]
pub fn rule(policy: &Policy, rule: &Rule) -> String {
    if let Some(name) = &rule.name {
        return name.clone();
    }
    let action = match rule.action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    };
    let (from, to) = (peers(policy, &rule.from), peers(policy, &rule.to));
    format!("{action} {from} -> {to} {}", rule.traffic)
}

fn peers(policy: &Policy, list: &[Peer]) -> String {
    let shown: Vec<_> = list
        .iter()
        .take(SHOWN_PEERS)
        .map(|one| peer(policy, one))
        .collect();
    match list.len().checked_sub(SHOWN_PEERS + 1) {
        None => shown.join(", "),
        Some(more) => format!("{} and {} more", shown.join(", "), more + 1),
    }
}

/// An endpoint's set: `db+web`, `web (shop)` with its project, `unidentified`.
#[must_use]
pub fn endpoint_set(policy: &Policy, set: &EndpointSet) -> String {
    let names: Vec<_> = set
        .identities
        .iter()
        .map(|id| policy.identities[id.0].name.as_str())
        .collect();
    let name = if names.is_empty() {
        "unidentified".to_owned()
    } else {
        names.join("+")
    };
    match &set.project {
        Some(project) => format!("{name} ({project})"),
        None => name,
    }
}

/// A region of the world: `office`, `office+vpn`, `lan`, `internet`.
pub(super) fn region(policy: &Policy, region: &Region) -> String {
    if region.networks.is_empty() {
        return if region.lan { "lan" } else { "internet" }.to_owned();
    }
    let names: Vec<_> = region
        .networks
        .iter()
        .map(|network| peer(policy, network))
        .collect();
    names.join("+")
}

/// `file:line`.
#[must_use]
pub fn place(location: &Location) -> String {
    format!("{}:{}", location.file.display(), location.line)
}

/// A part of the line in the words of the policy file: `80/tcp`, `8000-8100/udp`, `icmp type 8`,
/// `protocol 47`, `all`.
#[must_use]
pub fn interval(interval: Interval) -> String {
    if interval == Interval::ALL {
        return "all".to_owned();
    }
    let (first, last) = (interval.first(), interval.last());
    let (low, high) = (first.ip_protocol(), last.ip_protocol());
    if low == high {
        return within_protocol(low, first.value(), last.value());
    }
    // Over the border of protocols: what is left of the first, whole ones, the beginning of the last.
    let mut parts = Vec::new();
    let mut whole = (low, high);
    if first.value() > 0 {
        parts.push(within_protocol(low, first.value(), u16::MAX));
        whole.0 += 1;
    }
    let partly_last = last.value() < u16::MAX;
    if partly_last {
        whole.1 -= 1;
    }
    if whole.0 == whole.1 {
        parts.push(within_protocol(whole.0, 0, u16::MAX));
    } else if whole.0 < whole.1 {
        parts.push(format!("protocols {}-{}", whole.0, whole.1));
    }
    if partly_last {
        parts.push(within_protocol(high, 0, last.value()));
    }
    parts.join(", ")
}

fn within_protocol(number: u8, first: u16, last: u16) -> String {
    let name = match number {
        protocol::TCP => "tcp",
        protocol::UDP => "udp",
        protocol::SCTP => "sctp",
        protocol::ICMP => "icmp",
        protocol::ICMPV6 => "icmpv6",
        _ => return format!("protocol {number}"),
    };
    if (first, last) == (0, u16::MAX) {
        return name.to_owned();
    }
    if number == protocol::ICMP || number == protocol::ICMPV6 {
        let [first_type, first_code] = first.to_be_bytes();
        let [last_type, last_code] = last.to_be_bytes();
        return match (first_code, last_code) {
            (0, 255) if first_type == last_type => format!("{name} type {first_type}"),
            (0, 255) => format!("{name} types {first_type}-{last_type}"),
            _ if first == last => format!("{name} type {first_type}/{first_code}"),
            _ => format!("{name} types {first_type}/{first_code}-{last_type}/{last_code}"),
        };
    }
    if first == last {
        format!("{first}/{name}")
    } else {
        format!("{first}-{last}/{name}")
    }
}

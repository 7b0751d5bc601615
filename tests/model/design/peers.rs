//! Who is who.

use std::net::IpAddr;

use bridgewall::inventory::model::Attributes;
use ipnet::IpNet;

use super::policy::{Cidr, Condition, Identity, Network, Policy};

/// One end of a connection: "the host's own processes", an endpoint, or "neither host nor endpoint".
#[derive(Debug, Clone, Copy)]
pub enum Party<'a> {
    Host,
    Endpoint(u32, &'a Attributes),
    World(IpAddr),
}

impl Party<'_> {
    /// Endpoint number; 0 for the others.
    pub fn endpoint(self) -> u32 {
        match self {
            Self::Endpoint(number, _) => number,
            Self::Host | Self::World(_) => 0,
        }
    }

    pub fn is_host(self) -> bool {
        matches!(self, Self::Host)
    }
}

impl Policy {
    /// Whether a rule that names `peer` on one side means `party` there. `other` is on its other side.
    ///
    /// "`any` everything; `host` the host's own processes; `containers` every endpoint, identified or
    /// not; `world` neither host nor endpoint; `lan` the part of world in private [...] ranges;
    /// `internet` the rest of world; `same-project` the endpoints of the same compose project as the
    /// other side (never those without a project). Inline CIDRs are peers too. A CIDR never matches an
    /// endpoint or the host."
    pub fn means(&self, peer: &str, party: Party<'_>, other: Party<'_>) -> bool {
        match (peer, party) {
            ("any", _) | ("host", Party::Host) | ("containers", Party::Endpoint(..)) => true,
            ("world", Party::World(_)) => true,
            ("lan", Party::World(address)) => is_lan(address),
            ("internet", Party::World(address)) => !is_lan(address),
            ("same-project", Party::Endpoint(_, one)) => match other {
                Party::Endpoint(_, other) => one.project.is_some() && one.project == other.project,
                _ => false,
            },
            (name, Party::Endpoint(_, attributes)) => {
                let identity = self.identities.get(name);
                identity.is_some_and(|identity| identity.includes(attributes))
            }
            (text, Party::World(address)) => match self.networks.get(text) {
                Some(network) => network.includes(address),
                None => Cidr::try_from(text.to_owned()).is_ok_and(|cidr| cidr.0.contains(&address)),
            },
            _ => false,
        }
    }
}

impl Identity {
    /// "Also: name, image, project, interface; globs allowed; all given must hold." "`not-in` is true
    /// where the label is absent."
    pub fn includes(&self, endpoint: &Attributes) -> bool {
        let label = |key: &String| endpoint.labels.get(key);
        let conditions = self.r#match.iter().all(|condition| match condition {
            Condition::In { key, values } => label(key).is_some_and(|value| values.contains(value)),
            Condition::NotIn { key, values } => {
                !label(key).is_some_and(|value| values.contains(value))
            }
            Condition::Exists { key } => label(key).is_some(),
            Condition::Absent { key } => label(key).is_none(),
        });
        let labels = self
            .labels
            .iter()
            .all(|(key, value)| label(key) == Some(value));
        let globs = [
            (&self.name, Some(&endpoint.name)),
            (&self.image, endpoint.image.as_ref()),
            (&self.network, endpoint.network.as_ref()),
            (&self.project, endpoint.project.as_ref()),
            (&self.interface, Some(&endpoint.interface)),
        ];
        let globs = globs.into_iter().all(|(glob, value)| match (glob, value) {
            (None, _) => true,
            (Some(glob), Some(value)) => matches(glob.as_bytes(), value.as_bytes()),
            (Some(_), None) => false,
        });
        labels && conditions && globs
    }
}

impl Network {
    /// "A named set of CIDRs, with exceptions."
    pub fn includes(&self, address: IpAddr) -> bool {
        let within = |cidrs: &[Cidr]| cidrs.iter().any(|cidr| cidr.0.contains(&address));
        within(&self.cidrs) && !within(&self.except)
    }
}

/// A glob with `*` and `?`, over the whole text.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(_, text)| matches(glob, text))
        }
        (Some((b'?', glob)), Some((_, text))) => matches(glob, text),
        (Some((one, glob)), Some((other, text))) => one == other && matches(glob, text),
        _ => false,
    }
}

/// "Private, unique-local, link-local and carrier-grade ranges"; and what never leaves a link or a
/// host, so that it is nobody's internet.
const LAN: [&str; 15] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
    "0.0.0.0/8",
    "127.0.0.0/8",
    "224.0.0.0/24",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "ff01::/16",
    "ff02::/16",
];

fn is_lan(address: IpAddr) -> bool {
    thread_local! {
        static RANGES: Vec<IpNet> = LAN.iter().map(|text| text.parse().unwrap()).collect();
    }
    RANGES.with(|ranges| ranges.iter().any(|range| range.contains(&address)))
}

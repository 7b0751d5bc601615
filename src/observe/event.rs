//! One event in people's terms: containers, identities and rules by name, reasons in words.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::names::{Names, RuleName};
use super::reason::Reason;
use crate::control::time::UnixTime;
use crate::kernel::abi;
use crate::policy::icmp_type_name;
use crate::policy::model::Side;
use crate::policy::traffic::protocol;
use crate::state::numbers::{EndpointNumber, IdentityNumber, PeerKind, RuleNumber};

/// Something that a program saw, judged and reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: UnixTime,
    /// What became of the packet.
    pub verdict: Verdict,
    /// Why it was dropped, or would have been; nothing for allowed ones.
    pub reason: Option<String>,
    /// The reason in words.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// The side whose policy decided; nothing where no policy was asked.
    pub side: Option<Decider>,
    /// The rule that decided; nothing for the default and where no policy was asked.
    pub rule: Option<RuleName>,
    /// What the sender's side went by.
    pub egress_rule: Option<RuleName>,
    /// What the receiver's side went by.
    pub ingress_rule: Option<RuleName>,
    /// Who sent the packet.
    pub source: Peer,
    /// Whom it was sent to.
    pub destination: Peer,
    /// `tcp`, `udp`, `icmp`, or the protocol's number; nothing if it is neither IPv4 nor IPv6.
    pub protocol: Option<String>,
    /// What kind of ICMP.
    pub icmp: Option<Icmp>,
    /// The endpoint at whose interface this was seen.
    pub endpoint: Option<String>,
    /// Its interface.
    pub ifindex: u32,
    /// Which way the packet went there.
    pub hook: Hook,
    /// The generation of the policy that judged.
    pub generation: u64,
    /// The packet's length in bytes, with its Ethernet header.
    pub length: u32,
    /// Its beginning, in hexadecimal.
    pub bytes: String,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Passed, as the first one of a new connection.
    Allow,
    /// Passed, but only because of audit mode.
    Audit,
    /// Dropped: no rule speaks for it, or the packet itself is wrong.
    Drop,
    /// Dropped: a rule speaks against it.
    Deny,
}

/// The side of a connection whose policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decider {
    /// The sender's.
    Egress,
    /// The receiver's.
    Ingress,
}

impl From<Side> for Decider {
    fn from(side: Side) -> Self {
        match side {
            Side::Egress => Self::Egress,
            Side::Ingress => Self::Ingress,
        }
    }
}

/// Which way a packet went at an endpoint's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Sent by the endpoint.
    FromEndpoint,
    /// Sent to the endpoint.
    ToEndpoint,
    /// Came in by an uplink.
    FromUplink,
    /// Went out by an uplink.
    ToUplink,
    /// Came in by an uplink, and was seen before the kernel made a packet of it.
    UplinkXdp,
}

/// One end of what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its address; nothing if the packet is neither IPv4 nor IPv6.
    pub address: Option<IpAddr>,
    /// Its port, for protocols that have ports.
    pub port: Option<u16>,
    /// The container's or interface's name, or `host`.
    pub name: Option<String>,
    /// The identities that it has, as one name: `db+web`, `internet`.
    pub identity: Option<String>,
    /// Those identities, one by one.
    pub identities: Vec<String>,
}

/// What kind of ICMP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Icmp {
    /// The type's number.
    #[serde(rename = "type")]
    pub number: u8,
    /// The code's number.
    pub code: u8,
    /// The type's name, if it has one.
    pub name: Option<String>,
}

impl Event {
    /// From the kernel's event, which happened at `time`.
    #[must_use]
    pub fn new(raw: &abi::event, time: UnixTime, names: &Names) -> Self {
        let verdict = verdict(raw);
        let reason = match verdict {
            Verdict::Allow => None,
            Verdict::Audit | Verdict::Drop | Verdict::Deny => Reason::from_raw(raw.reason.into()),
        };
        let side = decider(raw, verdict);
        let rule = |number| names.rule(RuleNumber(number)).cloned();
        let (egress_rule, ingress_rule) = (rule(raw.egress_rule), rule(raw.ingress_rule));
        let deciding = match side {
            Some(Decider::Egress) => egress_rule.clone(),
            Some(Decider::Ingress) => ingress_rule.clone(),
            None => None,
        };
        let text = match reason {
            Some(reason) => reason.text().to_owned(),
            None if verdict != Verdict::Allow => format!("reason {}", raw.reason),
            None if deciding.is_some() => "a rule allows it".to_owned(),
            None => "the default allows it".to_owned(),
        };
        let here = EndpointNumber(raw.endpoint);
        let hook = hook(raw);
        // What comes out of an endpoint's interface was sent by it, whatever address it claims.
        let source_endpoint = match (raw.source_endpoint, hook) {
            (0, Hook::FromEndpoint) => raw.endpoint,
            (known, _) => known,
        };
        Self {
            time,
            verdict,
            reason: reason.map(Reason::name),
            text,
            remedy: reason.map(|reason| reason.remedy().to_owned()),
            side,
            rule: deciding,
            egress_rule,
            ingress_rule,
            source: peer(
                raw.family,
                &raw.source,
                port(raw, raw.source_port),
                source_endpoint,
                raw.source_identity,
                names,
            ),
            destination: peer(
                raw.family,
                &raw.destination,
                port(raw, raw.destination_port),
                raw.destination_endpoint,
                raw.destination_identity,
                names,
            ),
            protocol: (raw.family != 0).then(|| protocol_name(raw.protocol)),
            icmp: icmp(raw),
            endpoint: endpoint_name(here, names),
            ifindex: raw.ifindex,
            hook,
            generation: raw.generation,
            length: raw.packet_length,
            bytes: hexadecimal(raw),
        }
    }

    /// Whether it tells of a drop, real or (in audit mode) supposed.
    #[must_use]
    pub const fn is_drop(&self) -> bool {
        !matches!(self.verdict, Verdict::Allow)
    }
}

impl Peer {
    /// Whether a person may mean this one by `name`: its name, one of its identities, its address.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
            || self.identity.as_deref() == Some(name)
            || self.identities.iter().any(|identity| identity == name)
            || self
                .address
                .is_some_and(|address| name.parse() == Ok(address))
    }
}

fn hook(raw: &abi::event) -> Hook {
    match abi::hook(raw.hook.into()) {
        abi::hook::HOOK_TO_ENDPOINT => Hook::ToEndpoint,
        abi::hook::HOOK_FROM_UPLINK => Hook::FromUplink,
        abi::hook::HOOK_TO_UPLINK => Hook::ToUplink,
        abi::hook::HOOK_XDP => Hook::UplinkXdp,
        _ => Hook::FromEndpoint,
    }
}

fn verdict(raw: &abi::event) -> Verdict {
    match abi::verdict(raw.verdict.into()) {
        abi::verdict::VERDICT_ALLOW => Verdict::Allow,
        abi::verdict::VERDICT_AUDIT => Verdict::Audit,
        abi::verdict::VERDICT_DENY => Verdict::Deny,
        // A verdict that this program does not know is not good news.
        _ => Verdict::Drop,
    }
}

/// Policy decides over what is allowed, and over what is dropped for policy's sake.
fn decider(raw: &abi::event, verdict: Verdict) -> Option<Decider> {
    let policy = matches!(
        abi::drop_reason(raw.reason.into()),
        abi::drop_reason::DROP_POLICY_DEFAULT | abi::drop_reason::DROP_POLICY_DENY
    );
    if verdict != Verdict::Allow && !policy {
        return None;
    }
    if u32::from(raw.side) == abi::side::SIDE_INGRESS.0 {
        Some(Decider::Ingress)
    } else {
        Some(Decider::Egress)
    }
}

fn peer(
    family: u8,
    address: &abi::address,
    port: Option<u16>,
    endpoint: u32,
    identity: u32,
    names: &Names,
) -> Peer {
    let number = IdentityNumber(identity);
    let identity = names.identity(number);
    let name = if number == IdentityNumber::HOST {
        Some("host".to_owned())
    } else {
        endpoint_name(EndpointNumber(endpoint), names)
    };
    let kind = match number.kind() {
        _ if number == IdentityNumber::NONE => None,
        PeerKind::Host => Some("host"),
        PeerKind::Endpoint => None,
        PeerKind::Lan => Some("lan"),
        PeerKind::Internet => Some("internet"),
    };
    Peer {
        address: ip_address(family, address),
        port,
        name,
        identity: identity
            .map(|identity| identity.name.clone())
            .or_else(|| kind.map(str::to_owned)),
        identities: identity.map_or_else(Vec::new, |identity| identity.members.clone()),
    }
}

fn endpoint_name(number: EndpointNumber, names: &Names) -> Option<String> {
    (number.0 != 0).then(|| {
        names
            .endpoint(number)
            .map_or_else(|| format!("endpoint {}", number.0), str::to_owned)
    })
}

/// IPv4 addresses arrive IPv4-mapped.
fn ip_address(family: u8, address: &abi::address) -> Option<IpAddr> {
    let mut octets = [0; 16];
    for (bytes, word) in octets.chunks_exact_mut(4).zip(address.word) {
        // The word holds the packet's bytes in the packet's order.
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    let address = Ipv6Addr::from(octets);
    match family {
        4 => Some(address.to_ipv4_mapped().map_or(address.into(), IpAddr::V4)),
        6 => Some(address.into()),
        _ => None,
    }
}

fn port(raw: &abi::event, port: u16) -> Option<u16> {
    let has_ports = matches!(raw.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
    (raw.family != 0 && has_ports).then(|| u16::from_be(port))
}

/// As people write it.
pub(crate) fn protocol_name(number: u8) -> String {
    match number {
        protocol::ICMP => "icmp".to_owned(),
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::ICMPV6 => "icmpv6".to_owned(),
        protocol::SCTP => "sctp".to_owned(),
        number => number.to_string(),
    }
}

fn icmp(raw: &abi::event) -> Option<Icmp> {
    let is_icmp = matches!(
        (raw.family, raw.protocol),
        (4, protocol::ICMP) | (6, protocol::ICMPV6)
    );
    is_icmp.then(|| Icmp {
        number: raw.icmp_type,
        code: raw.icmp_code,
        name: icmp_type_name(raw.protocol, raw.icmp_type).map(str::to_owned),
    })
}

fn hexadecimal(raw: &abi::event) -> String {
    let count = usize::from(raw.byte_count).min(raw.bytes.len());
    raw.bytes[..count]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

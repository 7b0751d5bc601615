//! What a rule's `ports`, `icmp` and `protocols` mean, and what a connection asks for.

use std::ops::RangeInclusive;

pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

/// What a new connection asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// TCP, UDP or SCTP to a port.
    Port(u8, u16),
    /// ICMP or ICMPv6: a type and a code.
    Icmp(u8, u8, u8),
    /// Any other protocol.
    Protocol(u8),
}

impl Request {
    pub fn protocol(self) -> u8 {
        match self {
            Self::Port(protocol, _) | Self::Icmp(protocol, ..) | Self::Protocol(protocol) => {
                protocol
            }
        }
    }
}

/// One thing that a rule lists.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Ports of one protocol.
    Ports(u8, RangeInclusive<u16>),
    /// Types of ICMP or ICMPv6, with all their codes or with one.
    Types(u8, RangeInclusive<u8>, Option<u8>),
    /// All of a protocol.
    Protocol(u8),
}

impl Kind {
    /// "`ports` alone does not allow ICMP." "TCP and UDP rules never cover other protocols." "Type 0
    /// (echo reply) is a type like any other, never a wildcard."
    pub fn covers(&self, request: Request) -> bool {
        match (self, request) {
            (Self::Protocol(listed), request) => *listed == request.protocol(),
            (Self::Ports(listed, ports), Request::Port(protocol, port)) => {
                *listed == protocol && ports.contains(&port)
            }
            (Self::Types(listed, types, only), Request::Icmp(protocol, kind, code)) => {
                *listed == protocol && types.contains(&kind) && only.is_none_or(|only| only == code)
            }
            _ => false,
        }
    }
}

/// An entry of `ports`: "no protocol: TCP, as in Docker; *: TCP, UDP and SCTP"; "`ports = ["*/tcp"]`
/// says the same" as the protocol.
pub fn port(text: &str) -> Vec<Kind> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocols = match protocol {
        "tcp" => vec![TCP],
        "udp" => vec![UDP],
        "sctp" => vec![SCTP],
        "*" => vec![TCP, UDP, SCTP],
        _ => panic!("protocol of a port: {text}"),
    };
    let kind = |protocol| match ports {
        "*" => Kind::Protocol(protocol),
        _ => Kind::Ports(protocol, range(ports)),
    };
    protocols.into_iter().map(kind).collect()
}

/// An entry of `icmp`: "a name or `any` (both families, where they have it; or one, with `ipv4:` or
/// `ipv6:`), or with a family a type, `type/code` or a range of types".
pub fn icmp(text: &str) -> Vec<Kind> {
    match text.split_once(':') {
        Some(("ipv4", rest)) => vec![icmp_of(ICMP, rest)],
        Some(("ipv6", rest)) => vec![icmp_of(ICMPV6, rest)],
        _ if text == "any" => vec![Kind::Protocol(ICMP), Kind::Protocol(ICMPV6)],
        _ => {
            let (_, types) = named(text);
            let both = [(ICMP, types[0]), (ICMPV6, types[1])];
            let known = both
                .into_iter()
                .filter_map(|(protocol, kind)| Some((protocol, kind?)));
            known
                .map(|(protocol, kind)| Kind::Types(protocol, kind..=kind, None))
                .collect()
        }
    }
}

fn icmp_of(protocol: u8, text: &str) -> Kind {
    if text == "any" {
        return Kind::Protocol(protocol);
    }
    if let Some((kind, code)) = text.split_once('/') {
        return Kind::Types(protocol, range(kind), Some(code.parse().expect(text)));
    }
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return Kind::Types(protocol, range(text), None);
    }
    let (_, types) = named(text);
    let kind = types[usize::from(protocol == ICMPV6)].expect(text);
    Kind::Types(protocol, kind..=kind, None)
}

/// An entry of `protocols`. `icmp` is that of both families, as people mean it.
pub fn protocol(text: &str) -> Vec<Kind> {
    let numbers = match text {
        "icmp" => vec![ICMP, ICMPV6],
        "igmp" => vec![IGMP],
        "tcp" => vec![TCP],
        "udp" => vec![UDP],
        "gre" => vec![47],
        "esp" => vec![50],
        "ah" => vec![51],
        "ipv6-icmp" => vec![ICMPV6],
        "sctp" => vec![SCTP],
        number => vec![number.parse().expect(text)],
    };
    numbers.into_iter().map(Kind::Protocol).collect()
}

/// One number, or a range with both its ends.
fn range<T: std::str::FromStr<Err: std::fmt::Debug> + Copy>(text: &str) -> RangeInclusive<T> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    first.parse().expect(text)..=last.parse().expect(text)
}

/// The types that generated policies name, of ICMP and of ICMPv6 (IANA).
const TYPES: [(&str, [Option<u8>; 2]); 12] = [
    ("echo-reply", [Some(0), Some(129)]),
    ("echo-request", [Some(8), Some(128)]),
    ("destination-unreachable", [Some(3), Some(1)]),
    ("packet-too-big", [None, Some(2)]),
    ("time-exceeded", [Some(11), Some(3)]),
    ("parameter-problem", [Some(12), Some(4)]),
    ("redirect", [Some(5), Some(137)]),
    ("router-advertisement", [Some(9), Some(134)]),
    ("timestamp", [Some(13), None]),
    ("timestamp-reply", [Some(14), None]),
    ("address-mask-request", [Some(17), None]),
    ("neighbor-solicitation", [None, Some(135)]),
];

fn named(text: &str) -> (&'static str, [Option<u8>; 2]) {
    let known = TYPES.into_iter().find(|(name, _)| *name == text);
    known.unwrap_or_else(|| panic!("the model does not know the ICMP type {text}"))
}

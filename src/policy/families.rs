//! IPv4 and IPv6: what can be about which, so that a rule about neither is noticed.

use std::ops::BitAnd;

use ipnet::IpNet;

use super::model::{Network, Peer, TestPeer};
use super::problem::Refusal;
use super::traffic::{Interval, Traffic, protocol};

/// The families of IP that something can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Families {
    pub ipv4: bool,
    pub ipv6: bool,
}

impl BitAnd for Families {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self {
            ipv4: self.ipv4 && other.ipv4,
            ipv6: self.ipv6 && other.ipv6,
        }
    }
}

impl Families {
    /// Nothing.
    pub const NONE: Self = Self {
        ipv4: false,
        ipv6: false,
    };
    const BOTH: Self = Self {
        ipv4: true,
        ipv6: true,
    };

    /// All but the other family's ICMP goes over either.
    pub fn of_traffic(traffic: &Traffic) -> Self {
        let only = |protocol| {
            let all = Interval::protocol(protocol);
            let mut intervals = traffic.intervals().iter();
            intervals.all(|part| all.contains(part.first()) && all.contains(part.last()))
        };
        Self {
            ipv4: !only(protocol::ICMPV6),
            ipv6: !only(protocol::ICMP),
        }
    }

    fn of_cidrs<'a>(cidrs: impl IntoIterator<Item = &'a IpNet>) -> Self {
        let mut families = Self::NONE;
        for cidr in cidrs {
            match cidr {
                IpNet::V4(_) => families.ipv4 = true,
                IpNet::V6(_) => families.ipv6 = true,
            }
        }
        families
    }

    /// All that any of them has.
    pub fn of_peers(peers: &[Peer], networks: &[Network]) -> Self {
        let mut families = Self::NONE;
        for peer in peers {
            let of_peer = match peer {
                Peer::Cidr(cidr) => Self::of_cidrs([cidr]),
                // An empty file may be filled later, with either.
                Peer::Network(id) => match networks.get(id.0) {
                    Some(network) if !network.cidrs.is_empty() => Self::of_cidrs(&network.cidrs),
                    _ => Self::BOTH,
                },
                _ => Self::BOTH,
            };
            families.ipv4 |= of_peer.ipv4;
            families.ipv6 |= of_peer.ipv6;
        }
        families
    }

    /// A test's.
    pub fn of_test(peer: &TestPeer, networks: &[Network]) -> Self {
        match peer {
            TestPeer::Peer(peer) => Self::of_peers(std::slice::from_ref(peer), networks),
            TestPeer::Address(address) => Self {
                ipv4: address.is_ipv4(),
                ipv6: address.is_ipv6(),
            },
        }
    }
}

/// Nothing is left that something could be about.
pub(super) fn mismatch(what: &str) -> Refusal {
    Refusal::new(
        format!("{what} is about IPv4 and IPv6 at once, and so about nothing"),
        "its two ends and its ICMP types have no family in common",
        "use addresses of one family on both sides, and ICMP types of that family: `ipv4:` goes with \
         IPv4 addresses, `ipv6:` with IPv6 ones",
    )
}

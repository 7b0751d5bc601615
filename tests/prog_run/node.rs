//! Who talks in the tests: three endpoints, the host, and two ends outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use crate::craft::{FAMILIES, Family};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// Endpoint 1, on the first bridge.
    A,
    /// Endpoint 2, on the first bridge too.
    B,
    /// Endpoint 3, on the second bridge.
    C,
    /// The host, by its address on the first bridge.
    Host,
    /// Somebody on the internet.
    World,
    /// Somebody in a local range.
    Lan,
}

pub const ENDPOINTS: [Node; 3] = [Node::A, Node::B, Node::C];

pub const HOST_IDENTITY: u32 = 1;
pub const INTERNET: u32 = 0x8000_0000;
pub const LAN: u32 = 0xc000_0000;

impl Node {
    /// Endpoint number, 0 for the others.
    pub fn number(self) -> u32 {
        match self {
            Node::A => 1,
            Node::B => 2,
            Node::C => 3,
            _ => 0,
        }
    }

    pub fn identity(self) -> u32 {
        match self {
            Node::A => 2,
            Node::B => 3,
            Node::C => 4,
            Node::Host => HOST_IDENTITY,
            Node::World => INTERNET,
            Node::Lan => LAN,
        }
    }

    /// The bridge's ifindex.
    pub fn bridge(self) -> u32 {
        if self == Node::C { 200 } else { 100 }
    }

    pub fn ifindex(self) -> u32 {
        10 + self.number()
    }

    /// Whoever is not on the link is reached through the bridge.
    pub fn mac(self) -> [u8; 6] {
        match self {
            Node::A => [0x02, 0x42, 0xac, 0x11, 0x00, 0x02],
            Node::B => [0x02, 0x42, 0xac, 0x11, 0x00, 0x03],
            Node::C => [0x02, 0x42, 0xac, 0x12, 0x00, 0x02],
            _ => [0x02, 0x42, 0x00, 0x00, 0x00, 0x01],
        }
    }

    pub fn v4(self) -> Ipv4Addr {
        match self {
            Node::A => Ipv4Addr::new(172, 17, 0, 2),
            Node::B => Ipv4Addr::new(172, 17, 0, 3),
            Node::C => Ipv4Addr::new(172, 18, 0, 2),
            Node::Host => Ipv4Addr::new(172, 17, 0, 1),
            Node::World => Ipv4Addr::new(203, 0, 113, 9),
            Node::Lan => Ipv4Addr::new(192, 168, 77, 5),
        }
    }

    pub fn v6(self) -> Ipv6Addr {
        match self {
            Node::A => Ipv6Addr::new(0xfd00, 0x17, 0, 0, 0, 0, 0, 2),
            Node::B => Ipv6Addr::new(0xfd00, 0x17, 0, 0, 0, 0, 0, 3),
            Node::C => Ipv6Addr::new(0xfd00, 0x18, 0, 0, 0, 0, 0, 2),
            Node::Host => Ipv6Addr::new(0xfd00, 0x17, 0, 0, 0, 0, 0, 1),
            Node::World => Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 9),
            Node::Lan => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 5),
        }
    }

    pub fn address(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4().into(),
            Family::V6 => self.v6().into(),
        }
    }

    /// The link-local address that follows from the MAC (RFC 4291, appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac();
        let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            pair(a ^ 2, b),
            pair(c, 0xff),
            pair(0xfe, d),
            pair(e, f),
        )
    }
}

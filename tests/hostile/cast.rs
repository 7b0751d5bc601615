//! Who sends and who receives.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::common::frame::Mac;

/// A machine, or what passes for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// A container; the attacker, mostly.
    Mallory,
    /// A container on the same bridge: whom the attacker is after.
    Victim,
    /// A third container there.
    Bystander,
    /// On the bridge as well, but nothing that is watched: a machine on the same link.
    Stranger,
    /// The host, as its containers see it: their gateway.
    Host,
    /// A machine beyond the host's uplink.
    Outside,
}

pub use Peer::{Bystander, Host, Mallory, Outside, Stranger, Victim};

/// All of them.
pub const PEERS: [Peer; 6] = [Mallory, Victim, Bystander, Stranger, Host, Outside];

/// Those that are watched, by their interfaces' names.
pub const ENDPOINTS: [(Peer, &str); 3] = [
    (Mallory, "mallory"),
    (Victim, "victim"),
    (Bystander, "bystander"),
];

/// The host's own end of the uplink.
pub const UPLINK_MAC: Mac = [0x02, 0xbb, 0, 0, 0, 1];

impl Peer {
    /// The last number in its addresses on the bridge.
    fn number(self) -> u8 {
        match self {
            Host => 1,
            Mallory => 11,
            Victim => 12,
            Bystander => 13,
            Stranger => 14,
            Outside => 2,
        }
    }

    /// Its own MAC address.
    pub fn mac(self) -> Mac {
        match self {
            Host => [0x02, 0xbb, 0, 0, 0, 0],
            Outside => [0x02, 0xbb, 0, 0, 0, 2],
            _ => [0x02, 0x42, 10, 77, 0, self.number()],
        }
    }

    /// The MAC address that leads to it.
    pub fn next_hop(self, to: Self) -> Mac {
        match (self, to) {
            (Outside, _) => UPLINK_MAC,
            (_, Outside) => Host.mac(),
            _ => to.mac(),
        }
    }

    pub fn v4(self) -> Ipv4Addr {
        match self {
            Outside => Ipv4Addr::new(192, 0, 2, 2),
            _ => Ipv4Addr::new(10, 77, 0, self.number()),
        }
    }

    pub fn v6(self) -> Ipv6Addr {
        match self {
            Outside => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2),
            _ => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, self.number().into()),
        }
    }

    /// The link-local address that follows from the MAC (RFC 4291, appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac();
        let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        let identifier = [pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f)];
        let [a, b, c, d] = identifier;
        Ipv6Addr::new(0xfe80, 0, 0, 0, a, b, c, d)
    }
}

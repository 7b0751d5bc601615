//! "Is the sender who it says it is?" And is the frame for this receiver at all?

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use bridgewall::inventory::model::Owner;

use super::Reason;
use super::frame::{ARP, ETHERNET, IPV4, IPV6, ipv4_at, ipv6_at, is_vlan, kind};
use super::neighbour;

/// No frame that may pass is shorter.
const SHORTEST: usize = ETHERNET + 20;
const IPV6_HEADER: usize = 40;
/// Addresses of one family that count.
const MOST_ADDRESSES: usize = 8;

/// Who may send from an interface: "the only MAC address", and its addresses.
#[derive(Debug, Clone)]
pub struct Own {
    pub mac: [u8; 6],
    addresses: BTreeSet<IpAddr>,
    link_local: Ipv6Addr,
}

impl Own {
    pub fn of(owner: &Owner) -> Self {
        let [a, b, c, d, e, f] = owner.mac.0;
        // RFC 4291, appendix A.
        let interface = [a ^ 2, b, c, 0xff, 0xfe, d, e, f].map(u128::from);
        let identifier = interface.iter().fold(0, |bits, byte| bits << 8 | byte);
        let link_local = Ipv6Addr::from(0xfe80 << 112 | identifier);
        let family = |v6: bool| {
            let of_family = owner
                .addresses
                .iter()
                .filter(move |address| address.is_ipv6() == v6);
            of_family
                .filter(move |&&address| address != link_local)
                .take(MOST_ADDRESSES)
        };
        Self {
            mac: owner.mac.0,
            addresses: family(false).chain(family(true)).copied().collect(),
            link_local,
        }
    }

    pub fn has(&self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        address == self.link_local || self.addresses.contains(&address)
    }

    /// All of them.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses
            .iter()
            .copied()
            .chain([self.link_local.into()])
    }
}

/// What an endpoint sends; nobody has said yet whose interface it is where it has nothing of its own.
pub fn check_sent(own: Option<&Own>, frame: &[u8]) -> Result<(), Reason> {
    let own = own.ok_or(Reason::DROP_ENDPOINT_UNNAMED)?;
    if frame.len() < SHORTEST {
        return Err(Reason::DROP_TRUNCATED);
    }
    if frame[6..12] != own.mac {
        return Err(Reason::DROP_SOURCE_MAC);
    }
    match kind(frame) {
        IPV4 if own.has(ipv4_at(frame, ETHERNET + 12)) => Ok(()),
        IPV4 => Err(Reason::DROP_SOURCE_IPV4),
        IPV6 => check_ipv6(own, frame),
        ARP => neighbour::check_arp(own, frame),
        vlan if is_vlan(vlan) => Err(Reason::DROP_VLAN),
        _ => Err(Reason::DROP_ETHERTYPE),
    }
}

/// "What may be sent from the unspecified address: only link upkeep, which is told by its form."
fn check_ipv6(own: &Own, frame: &[u8]) -> Result<(), Reason> {
    if frame.len() < ETHERNET + IPV6_HEADER {
        return Err(Reason::DROP_TRUNCATED);
    }
    let source = ipv6_at(frame, ETHERNET + 8);
    if !own.has(source) && !source.is_unspecified() {
        return Err(Reason::DROP_SOURCE_IPV6);
    }
    if let Some(checked) = neighbour::check_ipv6(own, frame) {
        return checked;
    }
    if source.is_unspecified() {
        return Err(Reason::DROP_SOURCE_IPV6);
    }
    Ok(())
}

/// What reaches an endpoint: is the frame for it?
pub fn check_received(own: Option<&Own>, frame: &[u8]) -> Result<(), Reason> {
    let own = own.ok_or(Reason::DROP_ENDPOINT_UNNAMED)?;
    let for_a_group = frame[0] & 1 == 1;
    if !for_a_group && frame[..6] != own.mac {
        return Err(Reason::DROP_NOT_ADDRESSED);
    }
    Ok(())
}

//! What a frame says: from the Ethernet header to the transport header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Reason;
use super::traffic::{ICMP, ICMPV6, Request, SCTP, TCP, UDP};
use super::{ipv4, ipv6, transport};

pub const ETHERNET: usize = 14;

pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const IPV6: u16 = 0x86dd;
const VLAN: [u16; 2] = [0x8100, 0x88a8];

/// No header that is judged by may begin further than this from the frame's beginning.
pub const REACH: usize = 512;

/// What the headers say: of a packet, or of the one that an ICMP error quotes.
#[derive(Debug, Clone, Copy)]
pub struct Headers {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub hop_limit: u8,
    /// For more than one receiver, by its MAC or IP address.
    pub group: bool,
    pub fragment: Option<Fragment>,
    /// Where the transport header begins.
    pub transport: usize,
    /// Bytes from there to the packet's end.
    pub length: usize,
    /// ICMP questions and answers: the identifier, in both.
    pub source_port: u16,
    pub destination_port: u16,
    /// Of ICMP, ICMPv6 and IGMP.
    pub icmp_type: u8,
    pub icmp_code: u8,
    pub tcp_flags: u8,
}

/// A part of a packet.
#[derive(Debug, Clone, Copy)]
pub struct Fragment {
    pub id: u32,
    /// Of its data in the whole, in bytes.
    pub offset: usize,
    pub more: bool,
    /// Where in the frame the fragment's data begins.
    pub start: usize,
}

impl Headers {
    pub fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// ICMP in IPv4 or ICMPv6 in IPv6.
    pub fn is_icmp(&self) -> bool {
        self.protocol == if self.is_v6() { ICMPV6 } else { ICMP }
    }

    /// What it would ask for if it opened a connection.
    pub fn request(&self) -> Request {
        match self.protocol {
            TCP | UDP | SCTP => Request::Port(self.protocol, self.destination_port),
            ICMP | ICMPV6 => Request::Icmp(self.protocol, self.icmp_type, self.icmp_code),
            other => Request::Protocol(other),
        }
    }

    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset > 0)
    }
}

/// What kind of frame it is: ARP has no headers in this sense.
pub enum Kind {
    Arp,
    Packet(Headers),
}

pub fn read(frame: &[u8]) -> Result<Kind, Reason> {
    let group = frame[0] & 1 == 1; // IEEE 802.3: the first bit on the wire
    let mut headers = match u16_at(frame, 12) {
        IPV4 => ipv4::read(frame, ETHERNET, false)?,
        IPV6 => ipv6::read(frame, ETHERNET, false)?,
        ARP => return Ok(Kind::Arp),
        kind if VLAN.contains(&kind) => return Err(Reason::DROP_VLAN),
        _ => return Err(Reason::DROP_ETHERTYPE),
    };
    headers.group |= group;
    if !headers.is_later_fragment() {
        transport::read(frame, &mut headers)?;
    }
    Ok(Kind::Packet(headers))
}

pub fn kind(frame: &[u8]) -> u16 {
    u16_at(frame, 12)
}

pub fn is_vlan(kind: u16) -> bool {
    VLAN.contains(&kind)
}

pub fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}

pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from(u16_at(bytes, offset)) << 16 | u32::from(u16_at(bytes, offset + 2))
}

pub fn ipv4_at(bytes: &[u8], offset: usize) -> Ipv4Addr {
    u32_at(bytes, offset).into()
}

pub fn ipv6_at(bytes: &[u8], offset: usize) -> Ipv6Addr {
    let octets: [u8; 16] = bytes[offset..offset + 16].try_into().expect("16 bytes");
    octets.into()
}

pub fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// fe80::/10
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// "A packet to oneself", and addresses that must not be on a wire: loopback, this network, reserved,
/// multicast as a source; IPv4-compatible and IPv4-mapped ones; multicast that must not leave its node.
pub fn check_addresses(headers: &Headers) -> Result<(), Reason> {
    let (source, destination) = (headers.source, headers.destination);
    let bad = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            is_bad_v4(source)
                || is_group(source.into())
                || is_bad_v4(destination) && !destination.is_broadcast()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            is_bad_v6(source) || source.is_multicast() || is_bad_v6(destination)
        }
        _ => unreachable!("one packet, one family"),
    };
    if bad || source == destination {
        return Err(Reason::DROP_ADDRESS);
    }
    Ok(())
}

fn is_bad_v4(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first == 0 || first == 127 || first >= 240
}

fn is_bad_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let compatible = segments[..6] == [0; 6];
    let mapped = address.to_ipv4_mapped().is_some();
    let of_the_node = address.is_multicast() && segments[0] & 0xf <= 1;
    compatible || mapped || of_the_node
}

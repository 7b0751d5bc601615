//! Building frames, byte by byte. Checksums stay zero: the programs leave them to the receiver.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::node::{Family, Node};

pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const GRE: u8 = 47;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;

pub const BROADCAST: [u8; 6] = [0xff; 6];

/// A frame's transport header and data, with its protocol number.
#[derive(Debug, Clone)]
pub struct Payload {
    pub protocol: u8,
    pub bytes: Vec<u8>,
}

pub fn tcp(source: u16, destination: u16, flags: u8) -> Payload {
    let mut bytes = ports(source, destination);
    bytes.extend([0; 8]); // sequence, acknowledgement
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    Payload {
        protocol: TCP,
        bytes,
    }
}

pub fn udp(source: u16, destination: u16) -> Payload {
    udp_with(source, destination, b"data")
}

pub fn udp_with(source: u16, destination: u16, data: &[u8]) -> Payload {
    let mut bytes = ports(source, destination);
    bytes.extend((8 + data.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    Payload {
        protocol: UDP,
        bytes,
    }
}

pub fn sctp(source: u16, destination: u16) -> Payload {
    let mut bytes = ports(source, destination);
    bytes.extend([0; 8]); // verification tag, checksum
    bytes.extend([1, 0, 0, 4]); // an INIT chunk's header
    Payload {
        protocol: SCTP,
        bytes,
    }
}

pub fn other(protocol: u8) -> Payload {
    Payload {
        protocol,
        bytes: vec![0; 16],
    }
}

/// ICMP or ICMPv6, whichever the family has.
pub fn icmp(family: Family, kind: u8, code: u8, identifier: u16) -> Payload {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(identifier.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(b"ping");
    Payload {
        protocol: icmp_protocol(family),
        bytes,
    }
}

pub fn icmp_protocol(family: Family) -> u8 {
    match family {
        Family::V4 => ICMP,
        Family::V6 => ICMPV6,
    }
}

/// Echo request and reply types.
pub fn echo(family: Family) -> (u8, u8) {
    match family {
        Family::V4 => (8, 0),
        Family::V6 => (128, 129),
    }
}

/// An ICMP error about `quoted`, a frame as its sender sent it.
pub fn icmp_error(family: Family, kind: u8, code: u8, quoted: &[u8]) -> Payload {
    let mut bytes = vec![kind, code, 0, 0, 0, 0, 0, 0];
    bytes.extend(&quoted[14..]);
    Payload {
        protocol: icmp_protocol(family),
        bytes,
    }
}

/// Destination unreachable, port unreachable.
pub fn unreachable(family: Family, quoted: &[u8]) -> Payload {
    match family {
        Family::V4 => icmp_error(family, 3, 3, quoted),
        Family::V6 => icmp_error(family, 1, 4, quoted),
    }
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

/// An IPv4 header; what is not said is what an ordinary packet has.
#[derive(Debug, Clone)]
pub struct Ipv4 {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub ttl: u8,
    pub options: Vec<u8>,
    pub id: u16,
    /// In bytes.
    pub offset: u16,
    pub more_fragments: bool,
    /// Instead of what is right.
    pub total_length: Option<u16>,
}

impl Ipv4 {
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self {
            source,
            destination,
            ttl: 64,
            options: Vec::new(),
            id: 0x1234,
            offset: 0,
            more_fragments: false,
            total_length: None,
        }
    }

    pub fn carry(&self, payload: &Payload) -> Vec<u8> {
        let header = 20 + self.options.len();
        assert_eq!(header % 4, 0, "options fill whole words");
        let total = (header + payload.bytes.len()) as u16;
        let fragment = (self.offset / 8) | (u16::from(self.more_fragments) << 13);
        let mut bytes = vec![0x40 | (header / 4) as u8, 0];
        bytes.extend(self.total_length.unwrap_or(total).to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([self.ttl, payload.protocol, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.options);
        bytes.extend(&payload.bytes);
        bytes
    }
}

/// An IPv6 header with extension headers.
#[derive(Debug, Clone)]
pub struct Ipv6 {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub hop_limit: u8,
    /// Number and bytes; the first byte of each is overwritten with the next one's number.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// Instead of what is right.
    pub payload_length: Option<u16>,
}

impl Ipv6 {
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        Self {
            source,
            destination,
            hop_limit: 64,
            extensions: Vec::new(),
            payload_length: None,
        }
    }

    /// With one more extension header.
    pub fn with(mut self, number: u8, bytes: &[u8]) -> Self {
        self.extensions.push((number, bytes.to_vec()));
        self
    }

    /// With a fragment header; the offset is in bytes.
    pub fn fragment(self, id: u32, offset: u16, more: bool) -> Self {
        let mut bytes = vec![0, 0];
        bytes.extend((offset | u16::from(more)).to_be_bytes());
        bytes.extend(id.to_be_bytes());
        self.with(44, &bytes)
    }

    pub fn carry(&self, payload: &Payload) -> Vec<u8> {
        let mut next = payload.protocol;
        let mut chain = Vec::new();
        for (number, bytes) in self.extensions.iter().rev() {
            let mut bytes = bytes.clone();
            bytes[0] = next;
            next = *number;
            chain.splice(0..0, bytes);
        }
        chain.extend(&payload.bytes);
        let length = self.payload_length.unwrap_or(chain.len() as u16);
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([next, self.hop_limit]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(chain);
        bytes
    }
}

pub fn ethernet(source: [u8; 6], destination: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An ordinary frame from one node to another.
pub fn frame(family: Family, from: Node, to: Node, payload: &Payload) -> Vec<u8> {
    match family {
        Family::V4 => frame_v4(from, to, &Ipv4::new(from.v4(), to.v4()), payload),
        Family::V6 => frame_v6(from, to, &Ipv6::new(from.v6(), to.v6()), payload),
    }
}

pub fn frame_v4(from: Node, to: Node, ip: &Ipv4, payload: &Payload) -> Vec<u8> {
    ethernet(from.mac(), to.mac(), 0x0800, &ip.carry(payload))
}

pub fn frame_v6(from: Node, to: Node, ip: &Ipv6, payload: &Payload) -> Vec<u8> {
    ethernet(from.mac(), to.mac(), 0x86dd, &ip.carry(payload))
}

/// A frame between any two addresses, with the nodes' MAC addresses.
pub fn frame_between(
    from: Node,
    to: Node,
    source: IpAddr,
    destination: IpAddr,
    payload: &Payload,
) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame_v4(from, to, &Ipv4::new(source, destination), payload)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frame_v6(from, to, &Ipv6::new(source, destination), payload)
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
}

/// The same frame to another MAC address.
pub fn to_mac(mut frame: Vec<u8>, mac: [u8; 6]) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac);
    frame
}

pub struct Arp {
    pub operation: u16,
    pub sender_mac: [u8; 6],
    pub sender: Ipv4Addr,
    pub target_mac: [u8; 6],
    pub target: Ipv4Addr,
}

impl Arp {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0x08, 0, 6, 4];
        bytes.extend(self.operation.to_be_bytes());
        bytes.extend(self.sender_mac);
        bytes.extend(self.sender.octets());
        bytes.extend(self.target_mac);
        bytes.extend(self.target.octets());
        bytes
    }
}

/// The same frame behind a VLAN tag.
pub fn vlan_tagged(frame: &[u8], tag: u16) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    tagged.extend(tag.to_be_bytes());
    tagged.extend([0, 5]);
    tagged.extend(&frame[12..]);
    tagged
}

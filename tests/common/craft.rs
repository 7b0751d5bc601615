//! Building frames, byte by byte. Checksums above the IP header stay zero: the programs leave them to
//! the receiver.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::{Ipv4Addr, Ipv6Addr};

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

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
        let sum = checksum(&[&bytes]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
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

/// The Internet checksum (RFC 1071) over parts that are laid end to end; all but the last are even.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

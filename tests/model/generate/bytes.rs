//! Frames, byte by byte. Checksums stay zero: the programs leave them to the receiver.

use std::net::IpAddr;

use crate::design::traffic::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// A packet as its sender makes it.
#[derive(Debug, Clone)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
    /// IPv4: options, of 4 bytes each. IPv6: extension headers, by number, without the first byte,
    /// which says what follows.
    pub options: Vec<u8>,
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub fragment: Option<Fragment>,
    pub payload: Payload,
    /// What the frame holds behind the packet's end.
    pub padding: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub struct Fragment {
    pub id: u16,
    pub offset: u16,
    pub more: bool,
}

#[derive(Debug, Clone)]
pub enum Payload {
    /// TCP: ports and flags.
    Tcp(u16, u16, u8),
    Udp(u16, u16),
    Sctp(u16, u16),
    /// ICMP or ICMPv6, as the addresses have it: type, code, identifier, data.
    Icmp(u8, u8, u16, Vec<u8>),
    /// Anything else.
    Other(u8, Vec<u8>),
}

impl Packet {
    pub fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// The packet without its Ethernet header.
    pub fn bytes(&self) -> Vec<u8> {
        let payload = self.payload.bytes();
        let protocol = self.payload.protocol(self.is_v6());
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = 20 + self.options.len();
                let total = (header + payload.len()) as u16;
                let (id, position) = self.fragment.map_or((7, 0), |fragment| {
                    (
                        fragment.id,
                        (fragment.offset / 8) | (u16::from(fragment.more) << 13),
                    )
                });
                let mut bytes = vec![0x40 | (header / 4) as u8, 0];
                bytes.extend(total.to_be_bytes());
                bytes.extend(id.to_be_bytes());
                bytes.extend(position.to_be_bytes());
                bytes.extend([self.hop_limit, protocol, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                bytes.extend(&self.options);
                bytes.extend(payload);
                bytes
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut extensions = self.extensions.clone();
                if let Some(fragment) = self.fragment {
                    let mut bytes = vec![0];
                    bytes.extend((fragment.offset & !7 | u16::from(fragment.more)).to_be_bytes());
                    bytes.extend(u32::from(fragment.id).to_be_bytes());
                    extensions.push((44, bytes));
                }
                let mut next = protocol;
                let mut chain = payload;
                for (number, rest) in extensions.into_iter().rev() {
                    let header = [vec![next], rest].concat();
                    chain.splice(0..0, header);
                    next = number;
                }
                let mut bytes = vec![0x60, 0, 0, 0];
                bytes.extend((chain.len() as u16).to_be_bytes());
                bytes.extend([next, self.hop_limit]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                bytes.extend(chain);
                bytes
            }
            _ => unreachable!("one packet, one family"),
        }
    }

    pub fn frame(&self, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
        let kind = if self.is_v6() { 0x86dd } else { 0x0800 };
        ethernet(
            from,
            to,
            kind,
            &[self.bytes(), self.padding.clone()].concat(),
        )
    }
}

impl Payload {
    pub fn protocol(&self, v6: bool) -> u8 {
        match self {
            Self::Tcp(..) => TCP,
            Self::Udp(..) => UDP,
            Self::Sctp(..) => SCTP,
            Self::Icmp(..) if v6 => ICMPV6,
            Self::Icmp(..) => ICMP,
            Self::Other(protocol, _) => *protocol,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Tcp(source, destination, flags) => {
                let mut bytes = ports(*source, *destination);
                bytes.extend([0; 8]);
                bytes.extend([0x50, *flags, 0xff, 0xff, 0, 0, 0, 0]);
                bytes
            }
            Self::Udp(source, destination) => {
                let mut bytes = ports(*source, *destination);
                bytes.extend([0, 16, 0, 0]);
                bytes.extend(b"datadata");
                bytes
            }
            Self::Sctp(source, destination) => {
                let mut bytes = ports(*source, *destination);
                bytes.extend([0; 8]);
                bytes.extend([1, 0, 0, 4]);
                bytes
            }
            Self::Icmp(kind, code, identifier, data) => {
                let mut bytes = vec![*kind, *code, 0, 0];
                bytes.extend(identifier.to_be_bytes());
                bytes.extend([0, 1]);
                bytes.extend(data);
                bytes
            }
            Self::Other(_, bytes) => bytes.clone(),
        }
    }

    /// As the other end answers.
    pub fn answer(&self, v6: bool, flags: u8) -> Self {
        match self {
            Self::Tcp(source, destination, _) => Self::Tcp(*destination, *source, flags),
            Self::Udp(source, destination) => Self::Udp(*destination, *source),
            Self::Sctp(source, destination) => Self::Sctp(*destination, *source),
            Self::Icmp(kind, code, identifier, data) => {
                let kind = match kind {
                    128 if v6 => 129,
                    129 if v6 => 128,
                    8 if !v6 => 0,
                    0 if !v6 => 8,
                    odd => odd ^ 1,
                };
                Self::Icmp(kind, *code, *identifier, data.clone())
            }
            Self::Other(protocol, bytes) => Self::Other(*protocol, bytes.clone()),
        }
    }
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

pub fn ethernet(from: [u8; 6], to: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [to, from].concat();
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

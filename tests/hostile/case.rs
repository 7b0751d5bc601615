//! Rows, and the words they are written in.

use crate::cast::{Mallory, Outside, Peer, Stranger, Victim};
use crate::common::craft::{
    self, FAMILIES, Family, Ipv4, Ipv6, Payload, SYN, ethernet, icmp_protocol,
};
use crate::wire::Offload;

/// One entry of the bypass list: frames in order, each with what is expected of it.
pub struct Row {
    what: String,
    family: Option<Family>,
    pub from: Peer,
    pub to: Peer,
    /// How many numbers of its own (ports, fragments' identifications) it needs.
    pub width: u16,
    shots: Shots,
}

/// How a row makes its frames.
pub type Shots = Box<dyn Fn(&Case) -> Vec<Shot> + Send>;

/// One frame.
pub struct Shot {
    pub from: Peer,
    /// At whom it is aimed, and where is looked whether it arrived.
    pub to: Peer,
    pub frame: Vec<u8>,
    pub offload: Option<Offload>,
    pub expect: Expect,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It arrives, and is counted as passed.
    Pass,
    /// It does not arrive, and is counted under this reason.
    Drop(&'static str),
    /// The kernel itself loses it before any program of ours can see it; nothing is counted.
    Gone,
    /// It passes the sender's hook, and the kernel has no use for it then.
    Unwanted,
}

/// What a row's frames are made from: who sends to whom, and numbers that no other row uses.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub family: Family,
    pub from: Peer,
    pub to: Peer,
    /// A source port, a fragment's identification, an echo's identifier.
    pub number: u16,
}

/// A row of no particular family, from the attacker to the victim.
pub fn row(what: &str, shots: impl Fn(&Case) -> Vec<Shot> + Send + 'static) -> Row {
    Row {
        what: what.to_owned(),
        family: None,
        from: Mallory,
        to: Victim,
        width: 4,
        shots: Box::new(shots),
    }
}

/// A row of IPv4.
pub fn v4(what: &str, shots: impl Fn(&Case) -> Vec<Shot> + Send + 'static) -> Row {
    Row {
        family: Some(Family::V4),
        ..row(what, shots)
    }
}

/// A row of IPv6.
pub fn v6(what: &str, shots: impl Fn(&Case) -> Vec<Shot> + Send + 'static) -> Row {
    Row {
        family: Some(Family::V6),
        ..row(what, shots)
    }
}

/// The same row in both families.
pub fn both(what: &str, shots: impl Fn(&Case) -> Vec<Shot> + Copy + Send + 'static) -> Vec<Row> {
    let of = |family| Row {
        family: Some(family),
        ..row(what, shots)
    };
    FAMILIES.map(of).into()
}

/// The same row from both sides of a watched interface: sent by a container, where the sender's hook
/// decides, and by a machine on the link, where the receiver's does.
pub fn either_side(
    what: &str,
    family: Family,
    shots: impl Fn(&Case) -> Vec<Shot> + Copy + Send + 'static,
) -> Vec<Row> {
    let by = |from| Row {
        family: Some(family),
        from,
        ..row(what, shots)
    };
    [Mallory, Stranger].map(by).into()
}

/// The same row in both families and from both sides.
pub fn everywhere(
    what: &str,
    shots: impl Fn(&Case) -> Vec<Shot> + Copy + Send + 'static,
) -> Vec<Row> {
    FAMILIES
        .map(|family| either_side(what, family, shots))
        .into_iter()
        .flatten()
        .collect()
}

impl Row {
    /// By which it is called.
    pub fn title(&self) -> String {
        let family = match self.family {
            Some(Family::V4) => ", IPv4",
            Some(Family::V6) => ", IPv6",
            None => "",
        };
        let path = match (self.from, self.to) {
            (Mallory, Victim) => String::new(),
            (from, Victim) => format!(", from {from:?}"),
            (from, to) => format!(", {from:?} to {to:?}"),
        };
        format!("{}{family}{path}", self.what)
    }

    /// Sent by somebody else.
    pub fn from(self, from: Peer) -> Self {
        Self { from, ..self }
    }

    /// Aimed at somebody else.
    pub fn to(self, to: Peer) -> Self {
        Self { to, ..self }
    }

    /// Uses so many numbers.
    pub fn uses(self, width: u16) -> Self {
        Self { width, ..self }
    }

    /// Its frames.
    pub fn shots(&self, number: u16) -> Vec<Shot> {
        (self.shots)(&Case {
            family: self.family.unwrap_or(Family::V4),
            from: self.from,
            to: self.to,
            number,
        })
    }
}

impl Case {
    /// An IPv4 header from the sender to the receiver.
    pub fn v4(&self) -> Ipv4 {
        Ipv4 {
            id: self.number,
            ..Ipv4::new(self.from.v4(), self.to.v4())
        }
    }

    /// An IPv6 header from the sender to the receiver.
    pub fn v6(&self) -> Ipv6 {
        Ipv6::new(self.from.v6(), self.to.v6())
    }

    /// A frame from the sender to the receiver.
    pub fn frame_v4(&self, ip: &Ipv4, payload: &Payload) -> Vec<u8> {
        self.ethernet(0x0800, &ip.carry(payload))
    }

    /// A frame from the sender to the receiver.
    pub fn frame_v6(&self, ip: &Ipv6, payload: &Payload) -> Vec<u8> {
        self.ethernet(0x86dd, &ip.carry(payload))
    }

    /// An ordinary packet of the row's family.
    pub fn packet(&self, payload: &Payload) -> Vec<u8> {
        match self.family {
            Family::V4 => self.frame_v4(&self.v4(), payload),
            Family::V6 => self.frame_v6(&self.v6(), payload),
        }
    }

    /// Any frame from the sender to the receiver.
    pub fn ethernet(&self, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        ethernet(
            self.from.mac(),
            self.from.next_hop(self.to),
            ethertype,
            payload,
        )
    }

    /// A fragment at this offset, in bytes; `more` follow.
    pub fn fragment(&self, offset: u16, more: bool, payload: &Payload) -> Vec<u8> {
        match self.family {
            Family::V4 => self.frame_v4(
                &Ipv4 {
                    offset,
                    more_fragments: more,
                    ..self.v4()
                },
                payload,
            ),
            Family::V6 => self.frame_v6(
                &self.v6().fragment(self.number.into(), offset, more),
                payload,
            ),
        }
    }

    /// A datagram from the row's port.
    pub fn udp(&self, port: u16) -> Payload {
        craft::udp_with(self.number, port, b"hostile!")
    }

    /// A segment from the row's port.
    pub fn tcp(&self, port: u16, flags: u8) -> Payload {
        craft::tcp(self.number, port, flags)
    }

    /// A connection's first segment.
    pub fn syn(&self, port: u16) -> Payload {
        self.tcp(port, SYN)
    }

    /// An echo request with the row's identifier.
    pub fn ping(&self) -> Payload {
        craft::icmp(self.family, craft::echo(self.family).0, 0, self.number)
    }

    /// The row's family's ICMP, with any message.
    pub fn icmp(&self, bytes: Vec<u8>) -> Payload {
        Payload {
            protocol: icmp_protocol(self.family),
            bytes,
        }
    }

    /// The same row the other way round.
    pub fn back(&self) -> Self {
        self.between(self.to, self.from)
    }

    /// The same row between others.
    pub fn between(&self, from: Peer, to: Peer) -> Self {
        Self { from, to, ..*self }
    }

    /// With another of the row's numbers.
    pub fn nth(&self, index: u16) -> Self {
        Self {
            number: self.number + index,
            ..*self
        }
    }

    /// It arrives.
    pub fn pass(&self, frame: Vec<u8>) -> Shot {
        self.shot(frame, Expect::Pass)
    }

    /// It is dropped for this reason.
    pub fn drop(&self, reason: &'static str, frame: Vec<u8>) -> Shot {
        self.shot(frame, Expect::Drop(reason))
    }

    /// The kernel loses it.
    pub fn gone(&self, frame: Vec<u8>) -> Shot {
        self.shot(frame, Expect::Gone)
    }

    /// Nothing of ours drops it, and yet it does not arrive.
    pub fn unwanted(&self, frame: Vec<u8>) -> Shot {
        self.shot(frame, Expect::Unwanted)
    }

    /// As expected.
    pub fn shot(&self, frame: Vec<u8>, expect: Expect) -> Shot {
        Shot {
            from: self.from,
            to: self.to,
            frame,
            offload: None,
            expect,
        }
    }
}

impl Shot {
    /// With a virtio header.
    pub fn offload(self, offload: Offload) -> Self {
        Self {
            offload: Some(offload),
            ..self
        }
    }

    /// Whether it comes as it was sent: a router changes it.
    pub fn is_bridged(&self) -> bool {
        self.from != Outside && self.to != Outside
    }
}

/// The same frame with other bytes somewhere.
pub fn with(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// Only the beginning of it.
pub fn cut(mut payload: Payload, length: usize) -> Payload {
    payload.bytes.truncate(length);
    payload
}

/// What a later fragment holds.
pub fn data(protocol: u8, length: usize) -> Payload {
    Payload {
        protocol,
        bytes: vec![0x5a; length],
    }
}

/// Where the IP header begins.
pub const IP: usize = 14;

/// Where the transport header begins, without options and extension headers.
pub fn transport(family: Family) -> usize {
    match family {
        Family::V4 => IP + 20,
        Family::V6 => IP + 40,
    }
}

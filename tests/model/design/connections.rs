//! Live connections: "rules speak of connections: what answers an allowed one passes, whatever a rule
//! says of the other direction".

use std::collections::HashMap;
use std::net::IpAddr;

use super::frame::{Headers, is_link_local};
use super::traffic::{ICMP, ICMPV6, Request, TCP, UDP};
use super::transport::{ACK, FIN, RST, SYN, question};

/// After so many idle seconds a connection is as good as gone.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub tcp_new: u64,
    pub tcp: u64,
    pub tcp_closing: u64,
    pub udp_new: u64,
    pub udp: u64,
    pub icmp: u64,
    pub other: u64,
}

/// A connection, whichever way a packet of it goes. ICMP: the identifier stands for both ports, and
/// two hosts may ask each other with the same one. A link-local address means somebody else on every
/// link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    low: (IpAddr, u16),
    high: (IpAddr, u16),
    protocol: u8,
    /// The type of the question, and whether the low end asks it.
    question: Option<(u8, bool)>,
    link: Option<u32>,
}

/// One end, as it was when the connection was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Endpoint number; 0: the host or the world.
    pub endpoint: u32,
    pub is_host: bool,
}

/// What a connection was judged by.
#[derive(Debug, Clone)]
pub struct Opening {
    pub opener: End,
    pub target: End,
    /// What the opener asked for.
    pub request: Request,
    /// Both are endpoints of one bridge.
    pub same_bridge: bool,
    /// The target is reached through a port that the host publishes.
    pub published: bool,
}

#[derive(Debug, Clone)]
pub struct Connection {
    pub opening: Opening,
    /// The policy's generation that allowed it last; `None`: it was refused since.
    pub allowed_by: Option<u64>,
    opener_is_low: bool,
    /// Both sides have shown that they want it.
    answered: bool,
    /// TCP: the target has acknowledged the SYN.
    replied: bool,
    /// TCP, of the opener and of the target: it has said that it is done.
    finished: [bool; 2],
    /// TCP, likewise: there was a reset with its address.
    reset: [bool; 2],
    seen: u64,
}

#[derive(Debug, Default)]
pub struct Connections(HashMap<Key, Connection>);

impl Key {
    /// With whether the packet's source is the low end.
    fn of(headers: &Headers, link: u32) -> (Self, bool) {
        let source = (headers.source, headers.source_port);
        let destination = (headers.destination, headers.destination_port);
        let source_is_low = source.0 < destination.0;
        let asked = headers.is_icmp().then(|| question(headers)).flatten();
        let of_link = is_link_local(source.0) || is_link_local(destination.0);
        let key = Self {
            low: if source_is_low { source } else { destination },
            high: if source_is_low { destination } else { source },
            protocol: headers.protocol,
            question: asked.map(|kind| (kind, source_is_low == (headers.icmp_type == kind))),
            link: of_link.then_some(link),
        };
        (key, source_is_low)
    }
}

impl Connections {
    /// The connection of a packet that came through `link`, and whether the packet goes from its
    /// target to its opener.
    pub fn find(&mut self, headers: &Headers, link: u32) -> Option<(&mut Connection, bool)> {
        let (key, source_is_low) = Key::of(headers, link);
        let connection = self.0.get_mut(&key)?;
        let replying = source_is_low != connection.opener_is_low;
        Some((connection, replying))
    }

    pub fn forget(&mut self, headers: &Headers, link: u32) {
        self.0.remove(&Key::of(headers, link).0);
    }

    /// A new one, from the packet's source to its destination.
    pub fn open(
        &mut self,
        headers: &Headers,
        link: u32,
        opening: Opening,
        (generation, now): (u64, u64),
    ) {
        let (key, source_is_low) = Key::of(headers, link);
        let connection = Connection {
            opening,
            allowed_by: Some(generation),
            opener_is_low: source_is_low,
            answered: false,
            replied: false,
            finished: [false; 2],
            reset: [false; 2],
            seen: now,
        };
        self.0.insert(key, connection);
    }
}

impl Connection {
    /// "When either side has reset it, or both have sent a FIN."
    pub fn is_closing(&self) -> bool {
        self.reset.contains(&true) || self.finished == [true; 2]
    }

    pub fn has_expired(&self, timeouts: &Timeouts, protocol: u8, now: u64) -> bool {
        let timeout = match (protocol, self.answered) {
            _ if self.is_closing() => timeouts.tcp_closing,
            (TCP, false) => timeouts.tcp_new,
            (TCP, true) => timeouts.tcp,
            (UDP, false) => timeouts.udp_new,
            (UDP, true) => timeouts.udp,
            (ICMP | ICMPV6, _) => timeouts.icmp,
            _ => timeouts.other,
        };
        now - self.seen > timeout
    }

    /// A packet of it has passed.
    pub fn saw(&mut self, headers: &Headers, replying: bool, now: u64) {
        let (sender, other) = (usize::from(replying), usize::from(!replying));
        if headers.protocol != TCP {
            self.answered |= replying;
            self.seen = now;
            return;
        }
        let flags = headers.tcp_flags;
        self.finished[sender] |= flags & FIN != 0;
        if flags & RST != 0 {
            self.reset[sender] = true;
        } else if now > self.seen {
            // "Who goes on speaking after a RST to it has not been reset."
            self.reset[other] = false;
        }
        // "For TCP that takes a handshake: a target acknowledges every SYN, also one whose sender's
        // address is forged. A plain ACK of the target belongs to a connection that is older than the
        // firewall." A reset acknowledges nothing that anybody wants.
        match flags & (SYN | ACK | RST) {
            ACK => self.answered |= replying || self.replied,
            both if both == SYN | ACK => self.replied |= replying,
            _ => {}
        }
        self.seen = now;
    }
}

/// A TCP segment that opens a connection.
pub fn is_syn(headers: &Headers) -> bool {
    headers.protocol == TCP && headers.tcp_flags & (SYN | ACK) == SYN
}

/// "A connection may also be picked up in its middle. What only ends or answers one proves nothing."
pub fn may_open(headers: &Headers) -> bool {
    let flags = headers.tcp_flags;
    headers.protocol != TCP || flags & (RST | FIN) == 0 && flags & (SYN | ACK) != SYN | ACK
}

/// An answer without its question: "judged by its type, and opens nothing".
pub fn is_icmp_answer(headers: &Headers) -> bool {
    headers.is_icmp() && question(headers).is_some_and(|kind| kind != headers.icmp_type)
}

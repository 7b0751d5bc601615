//! Fragments: "each is judged as the whole packet would be, by what the first one said".

use std::collections::HashMap;
use std::net::IpAddr;

use super::Reason;
use super::frame::{ETHERNET, Fragment, Headers};
use super::link::is_neighbour_discovery;
use super::transport::{self, ACK};

/// As long as Linux waits for the missing ones, in seconds.
const TIMEOUT: u64 = 30;

const LONGEST_PACKET: usize = 65535;

/// Whose first fragments are kept together: "those of each endpoint apart, and those that others send to
/// it apart from these".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keeper {
    /// What this endpoint sends, wherever it is seen.
    Sender(u32),
    /// What comes to this endpoint from no endpoint.
    Receiver(u32),
}

/// Which datagram a fragment is of. In IPv6 the protocol is no part of that (RFC 8200, 4.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Datagram {
    kept: Keeper,
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: Option<u8>,
}

/// What the first fragment said.
#[derive(Debug, Clone)]
struct First {
    seen: u64,
    headers: Headers,
    /// Later ones must not reach back over its headers, in steps of eight bytes.
    beyond: usize,
}

#[derive(Debug, Default)]
pub struct Fragments(HashMap<Datagram, First>);

impl Fragments {
    /// Lets a later fragment speak as its first one did.
    pub fn follow(&mut self, headers: &mut Headers, kept: Keeper, now: u64) -> Result<(), Reason> {
        let Some(fragment) = headers.fragment else {
            return Ok(());
        };
        check(headers, fragment)?;
        let datagram = Datagram {
            kept,
            source: headers.source,
            destination: headers.destination,
            id: fragment.id,
            protocol: (!headers.is_v6()).then_some(headers.protocol),
        };
        if fragment.offset > 0 {
            return self.recall(&datagram, headers, fragment, now);
        }
        // An error quotes no more than fits (RFC 1812, 4.3.2.3), and neighbour discovery is never
        // fragmented (RFC 6980).
        if transport::is_error(headers) || is_neighbour_discovery(headers) {
            return Err(Reason::DROP_FRAGMENT);
        }
        let header = headers.transport - fragment.start + transport::shortest(headers.protocol);
        let first = First {
            seen: now,
            headers: *headers,
            beyond: header.next_multiple_of(8),
        };
        self.0.insert(datagram, first);
        Ok(())
    }

    fn recall(
        &self,
        datagram: &Datagram,
        headers: &mut Headers,
        fragment: Fragment,
        now: u64,
    ) -> Result<(), Reason> {
        let first = self
            .0
            .get(datagram)
            .filter(|first| now - first.seen <= TIMEOUT)
            .ok_or(Reason::DROP_FRAGMENT_UNKNOWN)?;
        if fragment.offset < first.beyond {
            return Err(Reason::DROP_FRAGMENT);
        }
        headers.protocol = first.headers.protocol;
        headers.source_port = first.headers.source_port;
        headers.destination_port = first.headers.destination_port;
        headers.icmp_type = first.headers.icmp_type;
        headers.icmp_code = first.headers.icmp_code;
        // It belongs to a connection, and neither opens nor ends it.
        headers.tcp_flags = ACK;
        Ok(())
    }
}

/// No overlap at the end of all packets, no hole that only another fragment could fill wrongly.
fn check(headers: &Headers, fragment: Fragment) -> Result<(), Reason> {
    let length = headers.transport + headers.length - fragment.start;
    // What the length of the whole counts too: the IPv4 header, or the extension headers that are
    // not part of the fragments.
    let before = match headers.is_v6() {
        true => fragment.start - ETHERNET - 40 - 8,
        false => fragment.start - ETHERNET,
    };
    let beyond_all = before + fragment.offset + length > LONGEST_PACKET;
    if headers.length == 0 || beyond_all || fragment.more && !length.is_multiple_of(8) {
        return Err(Reason::DROP_FRAGMENT);
    }
    Ok(())
}

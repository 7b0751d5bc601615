//! The IPv6 header and its extension headers (RFC 8200).

use super::Reason;
use super::frame::{Fragment, Headers, REACH, ipv6_at, u16_at, u32_at};

const HEADER: usize = 40;
/// "More than any honest sender uses; a chain that is longer is dropped, not guessed at."
const MOST_EXTENSIONS: usize = 6;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NOTHING: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
/// Mobility, host identity, shim6, two for experiments: what stands behind them would be a guess.
const UNKNOWN: [u8; 5] = [135, 139, 140, 253, 254];

/// `quoted`: in an ICMP error, where all but the beginning may be missing.
pub fn read(frame: &[u8], offset: usize, quoted: bool) -> Result<Headers, Reason> {
    let room = frame.len() - offset.min(frame.len());
    if room < HEADER {
        return Err(Reason::DROP_TRUNCATED);
    }
    let room = room - HEADER;
    let ip = &frame[offset..];
    if ip[0] >> 4 != 6 {
        return Err(Reason::DROP_IPV6_HEADER);
    }
    let mut length = usize::from(u16_at(ip, 4));
    if quoted {
        length = length.min(room);
    }
    if length > room {
        return Err(Reason::DROP_TRUNCATED);
    }
    // Jumbograms are for no link that is watched.
    if length == 0 && ip[6] != NOTHING {
        return Err(Reason::DROP_IPV6_HEADER);
    }
    let destination = ipv6_at(ip, 24);
    let mut headers = Headers {
        source: ipv6_at(ip, 8).into(),
        destination: destination.into(),
        protocol: ip[6],
        hop_limit: ip[7],
        group: destination.is_multicast(),
        fragment: None,
        transport: offset + HEADER,
        length,
        source_port: 0,
        destination_port: 0,
        icmp_type: 0,
        icmp_code: 0,
        tcp_flags: 0,
    };
    walk(frame, &mut headers)?;
    Ok(headers)
}

/// On to the transport header. "Every header on the way must be one whose meaning we know. Hop-by-hop
/// options come first or not at all; routing headers only where they have nothing left to do, and never
/// of type 0."
fn walk(frame: &[u8], headers: &mut Headers) -> Result<(), Reason> {
    let end = headers.transport + headers.length;
    let mut seen = 0;
    let mut fragment_headers = 0;
    loop {
        let here = headers.transport;
        headers.length = end - here;
        match headers.protocol {
            HOP_BY_HOP if seen > 0 => return Err(Reason::DROP_IPV6_EXTENSION),
            HOP_BY_HOP | DESTINATION_OPTIONS | ROUTING | AUTHENTICATION | FRAGMENT => {}
            unknown if UNKNOWN.contains(&unknown) => return Err(Reason::DROP_IPV6_EXTENSION),
            _ if seen > MOST_EXTENSIONS => return Err(Reason::DROP_IPV6_EXTENSION),
            _ => return Ok(()),
        }
        if seen > MOST_EXTENSIONS {
            return Err(Reason::DROP_IPV6_EXTENSION);
        }
        // The first fragment must hold all headers, or nobody could judge the others.
        let missing = match headers.fragment {
            Some(_) => Reason::DROP_FRAGMENT,
            None => Reason::DROP_TRUNCATED,
        };
        if headers.length < 8 {
            return Err(missing);
        }
        if here > REACH {
            return Err(Reason::DROP_IPV6_EXTENSION);
        }
        let extension = &frame[here..];
        let size = match headers.protocol {
            FRAGMENT => {
                fragment_headers += 1;
                if fragment_headers > 1 {
                    return Err(Reason::DROP_FRAGMENT);
                }
                let position = u16_at(extension, 2);
                let (offset, more) = (usize::from(position & 0xfff8), position & 1 == 1);
                // Neither: an atomic fragment, a whole packet (RFC 6946).
                headers.fragment = (more || offset > 0).then_some(Fragment {
                    id: u32_at(extension, 4),
                    offset,
                    more,
                    start: here + 8,
                });
                8
            }
            ROUTING if extension[2] == 0 || extension[3] != 0 => {
                return Err(Reason::DROP_IPV6_EXTENSION);
            }
            AUTHENTICATION => (usize::from(extension[1]) + 2) * 4,
            _ => (usize::from(extension[1]) + 1) * 8,
        };
        if here + size > end {
            return Err(missing);
        }
        headers.protocol = extension[0];
        headers.transport = here + size;
        headers.length = end - headers.transport;
        seen += 1;
        if headers.is_later_fragment() {
            return Ok(()); // what follows is data
        }
    }
}

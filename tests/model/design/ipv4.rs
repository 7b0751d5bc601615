//! The IPv4 header (RFC 791).

use super::Reason;
use super::frame::{Fragment, Headers, ipv4_at, is_group, u16_at};

const SHORTEST: usize = 20;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// `quoted`: in an ICMP error, where all but the beginning may be missing.
pub fn read(frame: &[u8], offset: usize, quoted: bool) -> Result<Headers, Reason> {
    let room = frame.len() - offset.min(frame.len());
    if room < SHORTEST {
        return Err(Reason::DROP_TRUNCATED);
    }
    let ip = &frame[offset..];
    let header = usize::from(ip[0] & 0xf) * 4;
    if ip[0] >> 4 != 4 || header < SHORTEST {
        return Err(Reason::DROP_IPV4_HEADER);
    }
    let mut total = usize::from(u16_at(ip, 2));
    if quoted {
        total = total.min(room);
    }
    if total < header {
        return Err(Reason::DROP_IPV4_HEADER);
    }
    if total > room {
        return Err(Reason::DROP_TRUNCATED);
    }
    check_options(&ip[SHORTEST..header])?;
    let fragment = u16_at(ip, 6);
    let more = fragment & 0x2000 != 0;
    let position = usize::from(fragment & 0x1fff) * 8;
    let destination = ipv4_at(ip, 16).into();
    Ok(Headers {
        source: ipv4_at(ip, 12).into(),
        destination,
        protocol: ip[9],
        hop_limit: ip[8],
        group: is_group(destination),
        fragment: (more || position > 0).then_some(Fragment {
            id: u16_at(ip, 4).into(),
            offset: position,
            more,
            start: offset + header,
        }),
        transport: offset + header,
        length: total - header,
        source_port: 0,
        destination_port: 0,
        icmp_type: 0,
        icmp_code: 0,
        tcp_flags: 0,
    })
}

/// A source route would lead the packet elsewhere than where it was judged to go.
fn check_options(mut options: &[u8]) -> Result<(), Reason> {
    while let Some((&kind, rest)) = options.split_first() {
        match kind {
            END => break,
            NO_OPERATION => options = rest,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => {
                return Err(Reason::DROP_IPV4_SOURCE_ROUTE);
            }
            _ => {
                let length = rest.first().map_or(0, |&length| usize::from(length));
                if length < 2 || length > options.len() {
                    return Err(Reason::DROP_IPV4_HEADER);
                }
                options = &options[length..];
            }
        }
    }
    Ok(())
}

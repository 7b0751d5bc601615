//! The transport header. Of protocols that are not named here nothing is read.

use super::Reason;
use super::frame::{Headers, REACH, u16_at};
use super::traffic::{ICMP, ICMPV6, IGMP, SCTP, TCP, UDP};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;
const URG: u8 = 0x20;

/// What an ICMP error must quote of it (RFC 792).
pub const QUOTED: usize = 8;

/// How much must be there.
pub fn shortest(protocol: u8) -> usize {
    match protocol {
        TCP => 20,
        SCTP => 12,
        _ => 8,
    }
}

/// Of a packet's own header.
pub fn read(frame: &[u8], headers: &mut Headers) -> Result<(), Reason> {
    let missing = missing(headers);
    let Some(bytes) = beginning(frame, headers, shortest(headers.protocol))? else {
        return Ok(());
    };
    match headers.protocol {
        TCP => {
            let header = usize::from(bytes[12] >> 4) * 4;
            headers.tcp_flags = bytes[13];
            if header < 20 {
                return Err(Reason::DROP_L4_HEADER);
            }
            if header > headers.length {
                return Err(missing);
            }
            if !is_a_combination(headers.tcp_flags) {
                return Err(Reason::DROP_TCP_FLAGS);
            }
        }
        UDP => {
            let length = usize::from(u16_at(bytes, 4));
            let whole = headers.fragment.is_none();
            if length < 8 || whole && length > headers.length {
                return Err(Reason::DROP_L4_HEADER);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Of the header that an ICMP error quotes.
pub fn read_quoted(frame: &[u8], headers: &mut Headers) -> Result<(), Reason> {
    beginning(frame, headers, QUOTED).map(|_| ())
}

/// Reads ports, or type, code and identifier. `None`: this protocol has nothing to read.
fn beginning<'f>(
    frame: &'f [u8],
    headers: &mut Headers,
    least: usize,
) -> Result<Option<&'f [u8]>, Reason> {
    match (headers.protocol, headers.is_v6()) {
        (ICMP, true) | (ICMPV6, false) => return Err(Reason::DROP_ICMP_FAMILY),
        (TCP | UDP | SCTP | ICMP | ICMPV6, _) | (IGMP, false) => {}
        _ => return Ok(None),
    }
    if headers.length < least {
        return Err(missing(headers));
    }
    if headers.transport > REACH {
        return Err(Reason::DROP_PULL_FAILED);
    }
    let bytes = &frame[headers.transport..];
    if matches!(headers.protocol, TCP | UDP | SCTP) {
        headers.source_port = u16_at(bytes, 0);
        headers.destination_port = u16_at(bytes, 2);
        return Ok(Some(bytes));
    }
    headers.icmp_type = bytes[0];
    headers.icmp_code = bytes[1];
    if headers.protocol != IGMP && question(headers).is_some() {
        headers.source_port = u16_at(bytes, 4);
        headers.destination_port = headers.source_port;
    }
    Ok(Some(bytes))
}

/// "The first fragment must hold the whole header, or nobody could judge the others."
fn missing(headers: &Headers) -> Reason {
    match headers.fragment {
        Some(_) => Reason::DROP_FRAGMENT,
        None => Reason::DROP_L4_HEADER,
    }
}

/// Of the flags that say what a segment is for, one SYN, RST or ACK, alone or with what goes with it
/// (RFC 9293, 3.10.7).
fn is_a_combination(flags: u8) -> bool {
    let meaning = flags & (FIN | SYN | RST | ACK | URG);
    [
        SYN,
        SYN | URG,
        SYN | ACK,
        RST,
        RST | ACK,
        FIN | ACK,
        FIN | ACK | URG,
        ACK,
        ACK | URG,
    ]
    .contains(&meaning)
}

/// The type of the ICMP question that a message asks or answers: those have an identifier.
pub fn question(headers: &Headers) -> Option<u8> {
    if headers.is_v6() {
        return matches!(headers.icmp_type, 128 | 129).then_some(128);
    }
    // Echo, timestamp, information, address mask.
    match headers.icmp_type {
        0 | 8 => Some(8),
        13 | 14 => Some(13),
        15 | 16 => Some(15),
        17 | 18 => Some(17),
        _ => None,
    }
}

/// "Destination-unreachable, packet-too-big, time-exceeded, parameter-problem."
pub fn is_error(headers: &Headers) -> bool {
    let kinds: &[u8] = if headers.is_v6() {
        &[1, 2, 3, 4]
    } else {
        &[3, 11, 12]
    };
    headers.is_icmp() && kinds.contains(&headers.icmp_type)
}

//! "IPv6 neighbour discovery and ARP pass where they are genuine": where they speak for nobody but the
//! endpoint itself.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Reason;
use super::frame::{ETHERNET, Headers, ipv4_at, ipv6_at, u16_at};
use super::sender::Own;
use super::traffic::ICMPV6;

const HOP_BY_HOP: u8 = 0;
const PAYLOAD: usize = ETHERNET + 40;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// Query, report, done, report of version 2.
const LISTENER: [u8; 4] = [130, 131, 132, 143];
const ROUTER_ALERT: u8 = 5;

const NONCE: u8 = 14;

/// RFC 826, RFC 5227: a request or reply whose sender is the endpoint; a probe has no sender yet, and
/// may only ask for the endpoint's own address.
pub fn check_arp(own: &Own, frame: &[u8]) -> Result<(), Reason> {
    let arp = arp(frame)?;
    let (sender, target) = (ipv4_at(arp, 14), ipv4_at(arp, 24));
    let operation = u16_at(arp, 6);
    let ethernet_and_ipv4 = arp[..6] == [0, 1, 8, 0, 6, 4];
    let speaks_for = match operation {
        1 if sender.is_unspecified() => target,
        _ => sender,
    };
    let genuine = ethernet_and_ipv4
        && matches!(operation, 1 | 2)
        && arp[8..14] == own.mac
        && own.has(speaks_for);
    genuine.then_some(()).ok_or(Reason::DROP_ARP)
}

/// Who an ARP message says that it is from.
pub fn arp_sender(frame: &[u8]) -> Result<Ipv4Addr, Reason> {
    Ok(ipv4_at(arp(frame)?, 14))
}

fn arp(frame: &[u8]) -> Result<&[u8], Reason> {
    frame
        .get(ETHERNET..ETHERNET + 28)
        .ok_or(Reason::DROP_TRUNCATED)
}

/// Whom neighbour discovery that somebody else sent claims to be: "an advertisement says this is me,
/// and so does a probe for a duplicate".
pub fn claimed(headers: &Headers, frame: &[u8]) -> Result<Option<Ipv6Addr>, Reason> {
    let probes = headers.icmp_type == SOLICITATION && headers.source.is_unspecified();
    if headers.icmp_type != ADVERTISEMENT && !probes {
        return Ok(None);
    }
    match frame.get(headers.transport..headers.transport + 24) {
        Some(message) => Ok(Some(ipv6_at(message, 8))),
        None => Err(Reason::DROP_TRUNCATED),
    }
}

/// Neighbour discovery and membership messages. `None`: it is neither. The source is the endpoint's
/// own or unspecified.
pub fn check_ipv6(own: &Own, frame: &[u8]) -> Option<Result<(), Reason>> {
    let next = frame[ETHERNET + 6];
    if next == HOP_BY_HOP {
        return is_membership(frame).then_some(Ok(()));
    }
    let discovery = ROUTER_SOLICITATION..=REDIRECT;
    if next != ICMPV6 || frame.len() < PAYLOAD + 8 || !discovery.contains(&frame[PAYLOAD]) {
        return None;
    }
    Some(match frame[PAYLOAD] {
        ROUTER_ADVERTISEMENT | REDIRECT => Err(Reason::DROP_ROUTER_ADVERTISEMENT),
        _ if is_genuine(own, frame) => Ok(()),
        _ => Err(Reason::DROP_NEIGHBOUR_DISCOVERY),
    })
}

/// RFC 4861, 6.1 and 7.1.
fn is_genuine(own: &Own, frame: &[u8]) -> bool {
    let unspecified = ipv6_at(frame, ETHERNET + 8).is_unspecified();
    let length = usize::from(u16_at(frame, ETHERNET + 4));
    let (kind, code, hop_limit) = (frame[PAYLOAD], frame[PAYLOAD + 1], frame[ETHERNET + 7]);
    let Some(message) = frame.get(PAYLOAD..PAYLOAD + length) else {
        return false;
    };
    if code != 0 || hop_limit != 255 || message.len() < 8 {
        return false;
    }
    if kind == ROUTER_SOLICITATION {
        return !unspecified && are_options_genuine(own, &message[8..], 1);
    }
    if message.len() < 24 {
        return false;
    }
    let target = ipv6_at(message, 8);
    // "An advertisement says this is me, and so does a probe for a duplicate."
    let speaks_for_target = kind == ADVERTISEMENT || unspecified;
    if target.is_multicast() || speaks_for_target && !own.has(target) {
        return false;
    }
    if unspecified {
        return kind == SOLICITATION && is_probe(frame, target, &message[24..]);
    }
    are_options_genuine(own, &message[24..], 2)
}

/// RFC 4862, 5.4.2: it goes to the target's group, does not say where the address is, but may have a
/// nonce to know one's own probes by (RFC 7527).
fn is_probe(frame: &[u8], target: Ipv6Addr, options: &[u8]) -> bool {
    let destination = ipv6_at(frame, ETHERNET + 24).octets();
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
    let to_its_group = destination[..13] == group && destination[13..] == target.octets()[13..];
    let nonce = options.len() == 8 && options[0] == NONCE && options[1] == 1;
    to_its_group && (options.is_empty() || nonce)
}

/// A link-layer address must be the endpoint's (RFC 4861, 4.6); and there are at most so many.
fn are_options_genuine(own: &Own, mut options: &[u8], most: usize) -> bool {
    for _ in 0..most {
        if options.is_empty() {
            return true;
        }
        if options.len() < 8 || options[1] == 0 {
            return false;
        }
        let size = usize::from(options[1]) * 8;
        let link_layer = matches!(options[0], 1 | 2);
        if size > options.len() || link_layer && (size != 8 || options[2..8] != own.mac) {
            return false;
        }
        options = &options[size..];
    }
    options.is_empty()
}

/// A multicast listener message, told by its form (RFC 3810, 5): behind one hop-by-hop header with a
/// router alert, which comes first or after two bytes of padding.
fn is_membership(frame: &[u8]) -> bool {
    let Some(message) = frame.get(PAYLOAD..PAYLOAD + 16) else {
        return false;
    };
    let alert = message[2] == ROUTER_ALERT || message[4] == ROUTER_ALERT;
    let to_a_group = frame[ETHERNET + 24] == 0xff;
    let form = message[0] == ICMPV6 && message[1] == 0 && frame[ETHERNET + 7] == 1;
    form && alert && to_a_group && LISTENER.contains(&message[8])
}

//! Messages that keep a link running: what no endpoint may send, whatever a policy says, and what
//! passes without a rule.

use super::Reason;
use super::frame::Headers;
use super::traffic::{ICMPV6, IGMP, UDP};

const DHCP_SERVER: u16 = 67;
const DHCPV6_SERVER: u16 = 547;

const IGMP_QUERY: u8 = 0x11;
/// Reports of versions 1, 2 and 3, and leave.
const IGMP_MEMBERSHIP: [u8; 4] = [0x12, 0x16, 0x22, 0x17];

const MLD_QUERY: u8 = 130;
const MLD: [u8; 4] = [MLD_QUERY, 131, 132, 143];

pub fn is_neighbour_discovery(headers: &Headers) -> bool {
    headers.is_v6() && headers.protocol == ICMPV6 && (133..=137).contains(&headers.icmp_type)
}

fn is_mld(headers: &Headers) -> bool {
    headers.is_v6() && headers.protocol == ICMPV6 && MLD.contains(&headers.icmp_type)
}

fn is_igmp(headers: &Headers) -> bool {
    !headers.is_v6() && headers.protocol == IGMP
}

/// "What no endpoint may send, whatever the policy says: it would speak for the network."
pub fn check_authority(headers: &Headers) -> Result<(), Reason> {
    let server = if headers.is_v6() {
        DHCPV6_SERVER
    } else {
        DHCP_SERVER
    };
    if headers.protocol == UDP && headers.source_port == server {
        return Err(Reason::DROP_DHCP_SERVER);
    }
    let igmp_query = is_igmp(headers) && headers.icmp_type == IGMP_QUERY;
    if igmp_query || is_mld(headers) && headers.icmp_type == MLD_QUERY {
        return Err(Reason::DROP_MULTICAST_QUERY);
    }
    // What is genuine has passed already; this came behind extension headers.
    if is_neighbour_discovery(headers) {
        return Err(match headers.icmp_type {
            134 | 137 => Reason::DROP_ROUTER_ADVERTISEMENT,
            _ => Reason::DROP_NEIGHBOUR_DISCOVERY,
        });
    }
    Ok(())
}

/// An endpoint joins or leaves an IPv4 group.
pub fn is_sent_upkeep(headers: &Headers) -> bool {
    is_igmp(headers) && headers.group && IGMP_MEMBERSHIP.contains(&headers.icmp_type)
}

/// "What may reach an endpoint: what endpoints sent has been checked at the sender, the rest comes from
/// the host or a router on this link." The hop limit proves that.
pub fn is_received_upkeep(headers: &Headers) -> bool {
    if headers.fragment.is_some() {
        return false;
    }
    let from_this_link = headers.group && headers.hop_limit == 1;
    if is_igmp(headers) {
        let kind = headers.icmp_type;
        return from_this_link && (kind == IGMP_QUERY || IGMP_MEMBERSHIP.contains(&kind));
    }
    is_neighbour_discovery(headers) && headers.hop_limit == 255 && headers.icmp_code == 0
        || is_mld(headers) && from_this_link
}

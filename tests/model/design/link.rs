//! Messages that keep a link running: what no endpoint may send, whatever a policy says, and what
//! passes without a rule.

use std::net::IpAddr;

use super::Reason;
use super::frame::{ETHERNET, Headers, is_group, is_link_local};
use super::traffic::{ICMPV6, IGMP, UDP};

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCPV6_SERVER: u16 = 547;
const DHCPV6_CLIENT: u16 = 546;

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
    // "From a server's port, or to a client's."
    let (server, client) = match headers.is_v6() {
        true => (DHCPV6_SERVER, DHCPV6_CLIENT),
        false => (DHCP_SERVER, DHCP_CLIENT),
    };
    let serves = headers.source_port == server || headers.destination_port == client;
    if headers.protocol == UDP && serves {
        return Err(Reason::DROP_DHCP_SERVER);
    }
    let igmp_query = is_igmp(headers) && headers.icmp_type == IGMP_QUERY;
    if igmp_query || is_mld(headers) && headers.icmp_type == MLD_QUERY {
        return Err(Reason::DROP_MULTICAST_QUERY);
    }
    // "Router advertisements and redirects, of ICMPv6 and of ICMP."
    let routes = match headers.is_v6() {
        true => matches!(headers.icmp_type, 134 | 137),
        false => matches!(headers.icmp_type, 5 | 9),
    };
    if headers.is_icmp() && routes {
        return Err(Reason::DROP_ROUTER_ADVERTISEMENT);
    }
    // Nobody has looked at what stands behind extension headers.
    let at_once = headers.transport == ETHERNET + 40 && headers.fragment.is_none();
    if is_neighbour_discovery(headers) && !at_once {
        return Err(Reason::DROP_NEIGHBOUR_DISCOVERY);
    }
    Ok(())
}

/// Whether no router passes on what goes there.
pub fn stays_on_the_link(address: IpAddr) -> bool {
    let group = matches!(address, IpAddr::V6(group) if group.segments()[0] == 0xff02);
    group || is_link_local(address)
}

/// Membership of a group, "told to the link and no further".
fn is_membership(headers: &Headers) -> bool {
    (is_igmp(headers) || is_mld(headers))
        && headers.hop_limit == 1
        && is_group(headers.destination)
        && headers.fragment.is_none()
}

/// Neighbour discovery that was found genuine; an endpoint joins or leaves a group.
pub fn is_sent_upkeep(headers: &Headers) -> bool {
    if is_neighbour_discovery(headers) {
        return true;
    }
    let form = match headers.is_v6() {
        true => headers.transport == ETHERNET + 40 + 8, // behind its router alert
        false => IGMP_MEMBERSHIP.contains(&headers.icmp_type),
    };
    is_membership(headers) && form
}

/// "What may reach an endpoint: what endpoints sent has been checked at the sender, the rest comes from
/// the host or a router on this link." The hop limit proves that.
pub fn is_received_upkeep(headers: &Headers) -> bool {
    if is_neighbour_discovery(headers) {
        return headers.hop_limit == 255 && headers.icmp_code == 0;
    }
    let kind = headers.icmp_type;
    let known = is_mld(headers) || kind == IGMP_QUERY || IGMP_MEMBERSHIP.contains(&kind);
    is_membership(headers) && known
}

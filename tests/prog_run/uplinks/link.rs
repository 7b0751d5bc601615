//! What keeps the link and the host's addresses working passes without a rule, through a closed host and
//! a confined one, and nothing passes in its name.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{REFUSED, ROUTER, closed, confined};
use crate::fixture::Reason;
use crate::frame::{
    Arp, BROADCAST, ICMPV6, IGMP, Ipv4, Ipv6, Payload, ethernet, frame_v4, frame_v6, udp,
};
use crate::node::Node;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const DHCP_AGENTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const EVERYBODY: Ipv4Addr = Ipv4Addr::BROADCAST;
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn arp(operation: u16) -> Vec<u8> {
    let arp = Arp {
        operation,
        sender_mac: Node::World.mac(),
        sender: Node::World.v4(),
        target_mac: [0; 6],
        target: Node::Host.v4(),
    };
    ethernet(Node::World.mac(), BROADCAST, 0x0806, &arp.bytes())
}

/// A message of neighbour discovery.
fn discovery(kind: u8, code: u8, hop_limit: u8, from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0, 0, 0, 0, 0];
    bytes.extend(to.octets());
    let ip = Ipv6 {
        hop_limit,
        ..Ipv6::new(from, to)
    };
    let payload = Payload {
        protocol: ICMPV6,
        bytes,
    };
    frame_v6(Node::World, Node::Host, &ip, &payload)
}

fn v4(from: Ipv4Addr, to: Ipv4Addr, payload: &Payload) -> Vec<u8> {
    frame_v4(Node::World, Node::Host, &Ipv4::new(from, to), payload)
}

fn v6(from: Ipv6Addr, to: Ipv6Addr, payload: &Payload) -> Vec<u8> {
    frame_v6(Node::World, Node::Host, &Ipv6::new(from, to), payload)
}

#[test]
fn neighbours_are_found_through_a_closed_host() {
    let firewall = closed(&[]);
    for operation in [1, 2] {
        firewall.arriving(&arp(operation)).passes("ARP arrives");
        firewall.leaving(&arp(operation)).passes("ARP leaves");
    }
    // Solicitations and advertisements of routers and neighbours, and redirects.
    for kind in 133..=137 {
        let genuine = discovery(kind, 0, 255, ROUTER, ALL_NODES);
        let what = format!("type {kind}");
        firewall.arriving(&genuine).passes(&what);
        confined(&[]).leaving(&genuine).passes(&what);
        // From beyond the link, or in a form that there is not (RFC 4861, 7.1).
        for forged in [
            discovery(kind, 0, 254, Node::World.v6(), Node::Host.v6()),
            discovery(kind, 1, 255, Node::World.v6(), Node::Host.v6()),
        ] {
            firewall.arriving(&forged).drops(REFUSED, &what);
        }
    }
}

#[test]
fn groups_are_joined_and_asked_for_through_a_closed_host() {
    let group = Ipv4Addr::new(224, 0, 0, 22);
    let message = |kind: u8, protocol: u8, length: usize| {
        let mut bytes = vec![0; length];
        bytes[0] = kind;
        Payload { protocol, bytes }
    };
    for (kind, ttl, upkeep) in [(0x11, 1, true), (0x22, 1, true), (0x22, 2, false)] {
        let ip = Ipv4 {
            ttl,
            ..Ipv4::new(Node::World.v4(), group)
        };
        let igmp = frame_v4(Node::World, Node::Host, &ip, &message(kind, IGMP, 8));
        let what = format!("IGMP {kind:#x}, time to live {ttl}");
        let outcome = closed(&[]).arriving(&igmp);
        if upkeep {
            outcome.passes(&what);
            confined(&[]).leaving(&igmp).passes(&what);
        } else {
            outcome.drops(REFUSED, &what);
        }
    }
    for (kind, hop_limit, upkeep) in [(130, 1, true), (143, 1, true), (143, 2, false)] {
        let ip = Ipv6 {
            hop_limit,
            ..Ipv6::new(ROUTER, ALL_NODES)
        };
        let mld = frame_v6(Node::World, Node::Host, &ip, &message(kind, ICMPV6, 24));
        let what = format!("MLD {kind}, hop limit {hop_limit}");
        let outcome = closed(&[]).arriving(&mld);
        if upkeep {
            outcome.passes(&what);
        } else {
            outcome.drops(REFUSED, &what);
        }
    }
}

#[test]
fn the_host_is_told_its_addresses_and_tells_nobody_unasked() {
    let (host4, world4) = (Node::Host.v4(), Node::World.v4());
    let (host6, world6) = (Node::Host.v6(), Node::World.v6());
    let own = Node::Host.link_local();
    let firewall = closed(&[]);
    let confined = confined(&[]);
    for (what, frame) in [
        ("an offer", v4(world4, host4, &udp(67, 68))),
        ("an offer to all", v4(world4, EVERYBODY, &udp(67, 68))),
        ("DHCPv6 from the link", v6(ROUTER, own, &udp(547, 546))),
    ] {
        firewall.arriving(&frame).passes(what);
    }
    for (what, frame) in [
        ("a question to all", v4(NOBODY, EVERYBODY, &udp(68, 67))),
        ("a renewal", v4(host4, world4, &udp(68, 67))),
        ("DHCPv6 to the link", v6(own, DHCP_AGENTS, &udp(546, 547))),
    ] {
        confined.leaving(&frame).passes(what);
    }
    for (what, frame) in [
        ("from another port", v4(world4, host4, &udp(66, 68))),
        ("to another port", v4(world4, host4, &udp(67, 69))),
        ("DHCPv6 from afar", v6(world6, host6, &udp(547, 546))),
        (
            "somebody else's question",
            v4(NOBODY, EVERYBODY, &udp(68, 67)),
        ),
        ("DHCPv6 in IPv4", v4(world4, host4, &udp(547, 546))),
    ] {
        firewall.arriving(&frame).drops(REFUSED, what);
    }
    // Who has no address yet may ask for one, and for nothing else.
    firewall
        .arriving(&v4(NOBODY, EVERYBODY, &udp(68, 53)))
        .drops(Reason::DROP_ADDRESS, "from nobody");
}

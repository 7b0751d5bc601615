//! What is dropped before the kernel makes a packet of it; and what is left for tc to judge.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{ROUTER, closed, data, fragment};
use crate::fixture::{Firewall, Reason};
use crate::frame::{
    ACK, Family, ICMPV6, IGMP, Ipv4, Ipv6, Payload, RST, SYN, UDP, echo, ethernet, frame, frame_v4,
    frame_v6, icmp, other, sctp, tcp, udp, udp_with, unreachable, vlan_tagged,
};
use crate::node::{FAMILIES, Node};

const RULE: u32 = 7;

/// The world may send nothing to anybody.
fn condemned(both_ways: bool) -> Firewall {
    let firewall = closed(&[]);
    firewall.condemn_the_world(RULE, both_ways);
    firewall
}

fn denied(family: Family, payload: &Payload) -> Vec<u8> {
    frame(family, Node::World, Node::Host, payload)
}

#[test]
fn who_is_denied_everything_opens_nothing_to_anybody() {
    for family in FAMILIES {
        let (request, _) = echo(family);
        let firewall = condemned(false);
        let mut drops = 0;
        for to in [Node::Host, Node::A, Node::Lan] {
            for payload in [
                tcp(1000, 80, SYN),
                udp(1000, 53),
                sctp(1000, 7),
                icmp(family, request, 0, 9),
            ] {
                let what = format!("{family:?} to {to:?}: {payload:?}");
                let frame = frame(family, Node::World, to, &payload);
                for frame in [vlan_tagged(&frame, 0x8100), frame] {
                    firewall
                        .at_xdp(&frame)
                        .drops(Reason::DROP_POLICY_DENY, &what);
                    drops += 1;
                }
            }
            // Others are none of its business.
            let frame = frame(family, Node::Lan, to, &tcp(1000, 80, SYN));
            firewall.at_xdp(&frame).passes("somebody else");
        }
        assert_eq!(firewall.rule_hits(RULE), drops, "{family:?}");
        let told = firewall.events();
        let event = told.first().expect("an event");
        assert_eq!((event.ingress_rule, event.verdict), (RULE, 3), "{family:?}");
    }
}

#[test]
fn what_may_answer_somebody_goes_on_unless_nobody_may_ask() {
    for family in FAMILIES {
        let (request, reply) = echo(family);
        for (asked, answered) in [
            (tcp(1000, 80, SYN), tcp(80, 1000, SYN | ACK)),
            (tcp(1001, 80, SYN), tcp(80, 1001, RST | ACK)),
            (udp(1000, 53), udp(53, 1000)),
            (icmp(family, request, 0, 9), icmp(family, reply, 0, 9)),
        ] {
            let what = format!("{family:?} {answered:?}");
            let answer = denied(family, &answered);
            let denies = Reason::DROP_POLICY_DENY;
            let firewall = condemned(false);
            firewall.at_xdp(&answer).drops(denies, &what);
            let question = frame(family, Node::Host, Node::World, &asked);
            firewall.leaving(&question).passes(&what);
            firewall.at_xdp(&answer).passes(&what);
            firewall.condemn_the_world(RULE, true);
            firewall.at_xdp(&answer).drops(denies, &what);
        }
        // Errors, later fragments and what has no ports: only tc can tell.
        let quoted = frame(family, Node::Host, Node::World, &udp(1000, 53));
        let error = denied(family, &unreachable(family, &quoted));
        let way = (Node::World, Node::Host);
        let later = fragment(way, family, (24, false), &data(UDP, 16));
        for frame in [error, later, denied(family, &other(47))] {
            condemned(false).at_xdp(&frame).passes("tc judges");
            condemned(true)
                .at_xdp(&frame)
                .drops(Reason::DROP_POLICY_DENY, "nobody may ask");
        }
    }
}

#[test]
fn the_link_is_kept_working_by_whoever_it_may_be() {
    let firewall = condemned(true);
    let (world, host) = (Node::World, Node::Host);
    let of = |protocol: u8, kind: u8| {
        let mut payload = data(protocol, 24);
        payload.bytes[0] = kind;
        payload
    };
    let arp = ethernet(world.mac(), host.mac(), 0x0806, &[0; 28]);
    firewall.at_xdp(&arp).passes("ARP");
    for kind in 133..=137 {
        let frame = denied(Family::V6, &of(ICMPV6, kind));
        firewall.at_xdp(&frame).passes("neighbour discovery");
    }
    for payload in [of(ICMPV6, 143), udp(547, 546)] {
        let frame = denied(Family::V6, &payload);
        firewall
            .at_xdp(&frame)
            .passes("group membership and DHCPv6");
    }
    let group = Ipv4Addr::new(224, 0, 0, 1);
    let igmp = frame_v4(world, host, &Ipv4::new(world.v4(), group), &of(IGMP, 0x11));
    firewall.at_xdp(&igmp).passes("IGMP");
    firewall
        .at_xdp(&denied(Family::V4, &udp(67, 68)))
        .passes("DHCP");
    let from_router = Ipv6::new(ROUTER, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    let router = frame_v6(world, host, &from_router, &of(ICMPV6, 134));
    firewall.at_xdp(&router).passes("a router");
}

#[test]
fn who_may_always_manage_the_host_is_not_dropped() {
    for family in FAMILIES {
        let firewall = condemned(true);
        firewall.manage_at(22, Node::World, family);
        let ssh = denied(family, &tcp(1000, 22, SYN));
        firewall.at_xdp(&ssh).passes("management");
        firewall.arriving(&ssh).passes("and at tc");
        firewall
            .at_xdp(&denied(family, &tcp(1000, 23, SYN)))
            .drops(Reason::DROP_POLICY_DENY, "another port");
    }
}

#[test]
fn what_nobody_could_make_sense_of_is_dropped_whoever_it_is_from_and_to() {
    for to in [Node::Host, Node::A, Node::Lan] {
        let firewall = closed(&[]);
        let way = (Node::World, to);
        let payload = udp_with(1000, 53, &[0; 16]);
        let v4 = |what: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = Ipv4::new(way.0.v4(), to.v4()).carry(&payload);
            what(&mut packet);
            ethernet(way.0.mac(), to.mac(), 0x0800, &packet)
        };
        let v6 = |what: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = Ipv6::new(way.0.v6(), to.v6()).carry(&payload);
            what(&mut packet);
            ethernet(way.0.mac(), to.mac(), 0x86dd, &packet)
        };
        let piece =
            |offset, more, length| fragment(way, Family::V4, (offset, more), &data(UDP, length));
        let (header4, header6) = (Reason::DROP_IPV4_HEADER, Reason::DROP_IPV6_HEADER);
        let (truncated, bogus) = (Reason::DROP_TRUNCATED, Reason::DROP_FRAGMENT);
        for (what, reason, frame) in [
            ("no IPv4 header", truncated, v4(&|p| p.truncate(19))),
            ("another version", header4, v4(&|p| p[0] = 0x65)),
            ("a header of 16 bytes", header4, v4(&|p| p[0] = 0x44)),
            ("shorter than its header", header4, v4(&|p| p[3] = 19)),
            ("no IPv6 header", truncated, v6(&|p| p.truncate(39))),
            ("another version", header6, v6(&|p| p[0] = 0x45)),
            ("a jumbogram", header6, v6(&|p| p[4..6].fill(0))),
            ("half a block", bogus, piece(0, true, 12)),
            ("nothing", bogus, piece(64, false, 0)),
            ("beyond a packet's end", bogus, piece(65_528, false, 64)),
        ] {
            firewall
                .at_xdp(&frame)
                .drops(reason, &format!("{what}, to {to:?}"));
        }
        for (what, frame) in [
            ("a first fragment", piece(0, true, 16)),
            ("a last one", piece(16, false, 3)),
            ("the very last", piece(65_504, false, 11)),
            ("whole", v4(&|_| ())),
            ("whole, of IPv6", v6(&|_| ())),
        ] {
            firewall
                .at_xdp(&frame)
                .passes(&format!("{what}, to {to:?}"));
        }
    }
}

#[test]
fn before_there_is_a_policy_it_drops_nothing_but_what_is_malformed() {
    for family in FAMILIES {
        let firewall = condemned(true);
        firewall.unpublish();
        let frame = denied(family, &tcp(1000, 80, SYN));
        firewall.at_xdp(&frame).passes("tc drops what it must");
        let cut = &frame[..14 + 8];
        firewall
            .at_xdp(cut)
            .drops(Reason::DROP_TRUNCATED, "no header");
    }
}

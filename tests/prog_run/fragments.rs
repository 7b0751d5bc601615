//! Fragments: judged as the whole packet would be.

use crate::fixture::{Firewall, Outcome, Reason, Side, allow, allow_all, icmp_selector, port};
use crate::frame::{
    ICMPV6, Ipv4, Ipv6, Payload, SYN, echo, frame, frame_v4, frame_v6, icmp, icmp_protocol, tcp,
    udp, udp_with, unreachable,
};
use crate::node::{FAMILIES, Family, Node};

/// Many times what one endpoint has places for.
const FLOOD: u16 = 1_000;

/// One fragment of a packet from A to B.
fn fragment(family: Family, id: u16, offset: u16, more: bool, payload: &Payload) -> Vec<u8> {
    fragment_between((Node::A, Node::B), family, id, offset, more, payload)
}

fn fragment_between(
    (from, to): (Node, Node),
    family: Family,
    id: u16,
    offset: u16,
    more: bool,
    payload: &Payload,
) -> Vec<u8> {
    match family {
        Family::V4 => {
            let ip = Ipv4 {
                id,
                offset,
                more_fragments: more,
                ..Ipv4::new(from.v4(), to.v4())
            };
            frame_v4(from, to, &ip, payload)
        }
        Family::V6 => {
            let ip = Ipv6::new(from.v6(), to.v6()).fragment(id.into(), offset, more);
            frame_v6(from, to, &ip, payload)
        }
    }
}

/// The data of a later fragment.
fn rest(protocol: u8, length: usize) -> Payload {
    Payload {
        protocol,
        bytes: vec![0; length],
    }
}

fn first_udp(port: u16) -> Payload {
    udp_with(1000, port, &[0; 16])
}

fn dns_only() -> Firewall {
    let firewall = Firewall::new();
    firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(1, port(17, 53))]);
    firewall
}

#[test]
fn later_fragments_follow_their_first() {
    for family in FAMILIES {
        let firewall = dns_only();
        let send = |id, offset, more, payload: &Payload| {
            firewall.from(Node::A, &fragment(family, id, offset, more, payload))
        };
        send(1, 0, true, &first_udp(53)).passes("first, allowed");
        send(1, 24, true, &rest(17, 16)).passes("second");
        send(1, 40, false, &rest(17, 5)).passes("last");
        send(2, 0, true, &first_udp(54)).drops(Reason::DROP_POLICY_DEFAULT, "first, refused");
        send(2, 24, false, &rest(17, 16)).drops(Reason::DROP_POLICY_DEFAULT, "its second");
    }
}

#[test]
fn later_fragment_without_its_first_is_dropped() {
    for family in FAMILIES {
        let firewall = dns_only();
        let send = |id, offset, payload: &Payload| {
            firewall.from(Node::A, &fragment(family, id, offset, true, payload))
        };
        send(1, 24, &rest(17, 16)).drops(Reason::DROP_FRAGMENT_UNKNOWN, "before the first");
        send(1, 0, &first_udp(53)).passes("the first");
        send(1, 24, &rest(17, 16)).passes("after the first");
        send(2, 24, &rest(17, 16)).drops(Reason::DROP_FRAGMENT_UNKNOWN, "another packet's");
    }
}

#[test]
fn first_fragment_is_forgotten_after_a_while() {
    for family in FAMILIES {
        let firewall = dns_only();
        let send = |offset, payload: &Payload| {
            firewall.from(Node::A, &fragment(family, 1, offset, true, payload))
        };
        send(0, &first_udp(53)).passes("first");
        firewall.age_fragments(29);
        send(24, &rest(17, 16)).passes("in time");
        firewall.age_fragments(3);
        send(40, &rest(17, 16)).drops(Reason::DROP_FRAGMENT_UNKNOWN, "too late");
    }
}

#[test]
fn fragment_that_hides_or_rewrites_headers_is_dropped() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        let send = |id, offset, more, payload: &Payload| -> Outcome {
            firewall.from(Node::A, &fragment(family, id, offset, more, payload))
        };
        let cut = |mut payload: Payload, length| {
            payload.bytes.truncate(length);
            payload
        };
        send(1, 0, true, &cut(tcp(1, 2, SYN), 16))
            .drops(Reason::DROP_FRAGMENT, "TCP header in two parts");
        send(2, 0, true, &cut(udp(1, 2), 0)).drops(Reason::DROP_FRAGMENT, "no header at all");

        let mut segment = tcp(1, 2, SYN);
        segment.bytes.extend([0; 12]);
        send(3, 0, true, &segment).passes("whole TCP header");
        send(3, 8, true, &rest(6, 16)).drops(Reason::DROP_FRAGMENT, "over the TCP flags");
        send(3, 16, true, &rest(6, 16)).drops(Reason::DROP_FRAGMENT, "over the header's end");
        send(3, 24, false, &rest(6, 16)).passes("behind the TCP header");

        send(4, 0, true, &first_udp(53)).passes("whole UDP header");
        send(4, 8, false, &rest(17, 16)).passes("right behind it");
    }
}

#[test]
fn fragments_of_impossible_size_are_dropped() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        let send = |offset, more, payload: &Payload| {
            firewall.from(Node::A, &fragment(family, 1, offset, more, payload))
        };
        send(0, true, &first_udp(53)).passes("first");
        send(65_528, false, &rest(17, 8)).drops(Reason::DROP_FRAGMENT, "beyond 64 KiB");
        // What counts is the whole packet: in IPv4 with its header, in IPv6 without.
        let (offset, length) = match family {
            Family::V4 => (65_504, 11),
            Family::V6 => (65_528, 7),
        };
        send(offset, false, &rest(17, length)).passes("up to 64 KiB");
        send(offset, false, &rest(17, length + 1)).drops(Reason::DROP_FRAGMENT, "one byte beyond");
        send(24, true, &rest(17, 7)).drops(Reason::DROP_FRAGMENT, "not whole blocks");
        send(24, false, &rest(17, 0)).drops(Reason::DROP_FRAGMENT, "empty");
    }
}

#[test]
fn fragmented_echo_is_judged_by_its_type() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let (request, _) = echo(family);
        let selector = icmp_selector(icmp_protocol(family), request, 0);
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(1, selector)]);
        let mut ping = icmp(family, request, 0, 77);
        ping.bytes.extend([0; 12]);
        firewall
            .from(Node::A, &fragment(family, 1, 0, true, &ping))
            .passes("first");
        firewall
            .from(
                Node::A,
                &fragment(family, 1, 24, false, &rest(icmp_protocol(family), 9)),
            )
            .passes("second");
        assert_eq!(firewall.new_flows().len(), 1, "one connection");
    }
}

#[test]
fn icmp_errors_and_neighbour_discovery_are_never_fragmented() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        let quoted = frame(family, Node::B, Node::A, &udp(1, 2));
        let mut error = unreachable(family, &quoted);
        error.bytes.resize(error.bytes.len().next_multiple_of(8), 0);
        firewall
            .from(Node::A, &fragment(family, 1, 0, true, &error))
            .drops(Reason::DROP_FRAGMENT, "error");
    }
    let firewall = Firewall::new();
    let solicitation = Payload {
        protocol: ICMPV6,
        bytes: [
            vec![135, 0, 0, 0, 0, 0, 0, 0],
            Node::B.v6().octets().to_vec(),
        ]
        .concat(),
    };
    firewall
        .from(Node::A, &fragment(Family::V6, 1, 0, true, &solicitation))
        .drops(Reason::DROP_FRAGMENT, "solicitation");
}

#[test]
fn receiver_follows_fragments_too() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules(Side::Ingress, Node::B, Node::World, &[allow_all(1)]);
        let from_world = |offset, more, payload: &Payload| {
            fragment_between((Node::World, Node::B), family, 9, offset, more, payload)
        };
        firewall
            .to(Node::B, &from_world(24, false, &rest(17, 9)), 0)
            .drops(Reason::DROP_FRAGMENT_UNKNOWN, "before the first");
        firewall
            .to(Node::B, &from_world(0, true, &first_udp(53)), 0)
            .passes("first");
        firewall
            .to(Node::B, &from_world(24, false, &rest(17, 9)), 0)
            .passes("last");
    }
}

#[test]
fn a_flood_of_fragments_makes_nobody_elses_be_forgotten() {
    let own = u16::MAX;
    let first = |ends, family, id| fragment_between(ends, family, id, 0, true, &first_udp(53));
    let last = |ends, family| fragment_between(ends, family, own, 24, false, &rest(17, 9));
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        for sender in [Node::World, Node::C] {
            firewall.set_rules(Side::Ingress, Node::B, sender, &[allow_all(1)]);
        }
        let out = (Node::B, Node::World);
        let back = (Node::World, Node::B);
        firewall
            .from(Node::B, &first(out, family, own))
            .passes("first, of what B sends");
        for id in 0..FLOOD {
            firewall
                .to(Node::B, &first(back, family, id), 0)
                .passes("from outside");
        }
        firewall
            .to(Node::B, &first(back, family, own), 0)
            .passes("first, of what B receives");
        for id in 0..FLOOD {
            firewall
                .from(Node::A, &first((Node::A, Node::B), family, id))
                .passes("from a neighbour");
            let ends = (Node::C, Node::B);
            firewall
                .to(Node::B, &first(ends, family, id), Node::C.number())
                .passes("from a neighbour on another bridge");
        }
        firewall
            .from(Node::B, &last(out, family))
            .passes("last, of what B sends");
        firewall
            .to(Node::B, &last(back, family), 0)
            .passes("last, of what B receives");
    }
}

#[test]
fn an_endpoint_may_have_eight_datagrams_on_the_way_at_once_and_remembers_no_more_than_its_share() {
    for family in FAMILIES {
        let firewall = dns_only();
        let passes = |id, offset, more, payload: &Payload| {
            let frame = fragment(family, id, offset, more, payload);
            matches!(firewall.from(Node::A, &frame), Outcome::Passed { .. })
        };
        for round in 0..200_u16 {
            let ids = round * 8..round * 8 + 8;
            assert!(ids.clone().all(|id| passes(id, 0, true, &first_udp(53))));
            assert!(ids.clone().all(|id| passes(id, 24, false, &rest(17, 9))));
        }
        let known = (0..1600).filter(|&id| passes(id, 24, false, &rest(17, 9)));
        assert_eq!(known.count(), 128);
    }
}

#[test]
fn fragment_headers_cover_what_stands_before_the_transport_header() {
    let firewall = Firewall::new();
    firewall.open_to(Node::B, Node::A);
    let options = [0, 0, 1, 4, 0, 0, 0, 0];
    let first = Ipv6::new(Node::A.v6(), Node::B.v6())
        .fragment(5, 0, true)
        .with(60, &options);
    firewall
        .from(Node::A, &frame_v6(Node::A, Node::B, &first, &first_udp(53)))
        .passes("first, with destination options");
    let later = |offset| {
        let ip = Ipv6::new(Node::A.v6(), Node::B.v6()).fragment(5, offset, true);
        frame_v6(Node::A, Node::B, &ip, &rest(60, 8))
    };
    firewall
        .from(Node::A, &later(8))
        .drops(Reason::DROP_FRAGMENT, "over the UDP header");
    firewall.from(Node::A, &later(16)).passes("behind it");
}

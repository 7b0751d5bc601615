//! ARP, neighbour discovery and multicast membership: they pass without a rule where they are
//! genuine, and only there.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::fixture::{Firewall, Outcome, Reason};
use crate::frame::{Arp, BROADCAST, ICMPV6, Ipv4, Ipv6, Payload, ethernet, frame_v4, frame_v6};
use crate::node::Node;

const REQUEST: u16 = 1;
const REPLY: u16 = 2;

const ROUTER_SOLICIT: u8 = 133;
const ROUTER_ADVERT: u8 = 134;
const SOLICIT: u8 = 135;
const ADVERT: u8 = 136;
const REDIRECT: u8 = 137;

/// What becomes of a genuine message; everything else is dropped for the test's reason.
const GENUINE: bool = true;
const FORGED: bool = false;

#[track_caller]
fn expect(outcome: Outcome, genuine: bool, reason: Reason, what: &str) {
    if genuine {
        outcome.passes_marked(Node::A.number(), what);
    } else {
        outcome.drops(reason, what);
    }
}

#[test]
fn arp_passes_only_for_its_sender() {
    let nobody = Ipv4Addr::UNSPECIFIED;
    let (a, b) = (Node::A, Node::B);
    let rows = [
        ("request", REQUEST, a.mac(), a.v4(), b.v4(), GENUINE),
        ("reply", REPLY, a.mac(), a.v4(), b.v4(), GENUINE),
        ("gratuitous", REQUEST, a.mac(), a.v4(), a.v4(), GENUINE),
        (
            "probe for its own address",
            REQUEST,
            a.mac(),
            nobody,
            a.v4(),
            GENUINE,
        ),
        (
            "probe for another's address",
            REQUEST,
            a.mac(),
            nobody,
            b.v4(),
            FORGED,
        ),
        ("reply from nobody", REPLY, a.mac(), nobody, a.v4(), FORGED),
        ("another's address", REPLY, a.mac(), b.v4(), a.v4(), FORGED),
        (
            "gratuitous for another",
            REQUEST,
            a.mac(),
            b.v4(),
            b.v4(),
            FORGED,
        ),
        (
            "the gateway's address",
            REPLY,
            a.mac(),
            Node::Host.v4(),
            b.v4(),
            FORGED,
        ),
        ("another's MAC", REPLY, b.mac(), a.v4(), b.v4(), FORGED),
        ("reverse ARP", 3, a.mac(), a.v4(), b.v4(), FORGED),
        ("no operation", 0, a.mac(), a.v4(), b.v4(), FORGED),
    ];
    let firewall = Firewall::new();
    for (what, operation, sender_mac, sender, target, genuine) in rows {
        let arp = Arp {
            operation,
            sender_mac,
            sender,
            target_mac: [0; 6],
            target,
        };
        let frame = ethernet(a.mac(), BROADCAST, 0x0806, &arp.bytes());
        expect(firewall.from(a, &frame), genuine, Reason::DROP_ARP, what);
    }
}

#[test]
fn malformed_arp_is_dropped() {
    let arp = Arp {
        operation: REQUEST,
        sender_mac: Node::A.mac(),
        sender: Node::A.v4(),
        target_mac: [0; 6],
        target: Node::B.v4(),
    };
    let firewall = Firewall::new();
    for (byte, what) in [
        (1, "not Ethernet"),
        (2, "not IPv4"),
        (4, "hardware length"),
        (5, "protocol length"),
    ] {
        let mut bytes = arp.bytes();
        bytes[byte] ^= 1;
        let frame = ethernet(Node::A.mac(), BROADCAST, 0x0806, &bytes);
        firewall.from(Node::A, &frame).drops(Reason::DROP_ARP, what);
    }
    let short = ethernet(Node::A.mac(), BROADCAST, 0x0806, &arp.bytes()[..27]);
    firewall
        .from(Node::A, &short)
        .drops(Reason::DROP_TRUNCATED, "short");
}

#[test]
fn arp_reaches_an_endpoint() {
    let firewall = Firewall::new();
    let arp = Arp {
        operation: REQUEST,
        sender_mac: Node::Host.mac(),
        sender: Node::Host.v4(),
        target_mac: [0; 6],
        target: Node::A.v4(),
    };
    let frame = ethernet(Node::Host.mac(), BROADCAST, 0x0806, &arp.bytes());
    firewall.to(Node::A, &frame, 0).passes("from the host");
    firewall
        .to(Node::A, &frame, Node::B.number())
        .passes("from an endpoint");
}

/// A neighbour discovery message: type, target, options.
fn message(kind: u8, target: Option<Ipv6Addr>, options: &[u8]) -> Payload {
    let mut bytes = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(target.into_iter().flat_map(|target| target.octets()));
    bytes.extend(options);
    Payload {
        protocol: ICMPV6,
        bytes,
    }
}

fn link_layer(kind: u8, mac: [u8; 6]) -> Vec<u8> {
    [vec![kind, 1], mac.to_vec()].concat()
}

fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    let pair = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), pair)
}

fn send(
    firewall: &Firewall,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    payload: &Payload,
) -> Outcome {
    let ip = Ipv6 {
        hop_limit: 255,
        ..Ipv6::new(source, destination)
    };
    firewall.from(Node::A, &frame_v6(Node::A, Node::B, &ip, payload))
}

#[test]
fn neighbour_discovery_passes_only_for_its_sender() {
    let (own, other, local) = (Node::A.v6(), Node::B.v6(), Node::A.link_local());
    let own_mac = link_layer(1, Node::A.mac());
    let own_target_mac = link_layer(2, Node::A.mac());
    let other_mac = link_layer(1, Node::B.mac());
    let other_target_mac = link_layer(2, Node::B.mac());
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6].to_vec();
    let none = Vec::new();
    let two = [own_mac.clone(), nonce.clone()].concat();
    let second_forged = [nonce.clone(), other_mac.clone()].concat();
    let empty_option = [vec![14, 0], vec![0; 6]].concat();
    let long_option = [vec![1, 2], Node::A.mac().to_vec(), vec![0; 8]].concat();
    let half_option = vec![14, 2, 0, 0, 0, 0, 0, 0];
    let rows = [
        ("solicitation", own, SOLICIT, Some(other), &own_mac, GENUINE),
        ("without options", own, SOLICIT, Some(other), &none, GENUINE),
        (
            "from link-local",
            local,
            SOLICIT,
            Some(other),
            &own_mac,
            GENUINE,
        ),
        ("two options", own, SOLICIT, Some(other), &two, GENUINE),
        (
            "with another's MAC",
            own,
            SOLICIT,
            Some(other),
            &other_mac,
            FORGED,
        ),
        (
            "second option forged",
            own,
            SOLICIT,
            Some(other),
            &second_forged,
            FORGED,
        ),
        (
            "option of no length",
            own,
            SOLICIT,
            Some(other),
            &empty_option,
            FORGED,
        ),
        (
            "MAC option too long",
            own,
            SOLICIT,
            Some(other),
            &long_option,
            FORGED,
        ),
        (
            "option beyond the end",
            own,
            SOLICIT,
            Some(other),
            &half_option,
            FORGED,
        ),
        (
            "multicast target",
            own,
            SOLICIT,
            Some(solicited_node(other)),
            &own_mac,
            FORGED,
        ),
        ("too short", own, SOLICIT, None, &none, FORGED),
        (
            "advertisement",
            own,
            ADVERT,
            Some(own),
            &own_target_mac,
            GENUINE,
        ),
        (
            "for link-local",
            local,
            ADVERT,
            Some(local),
            &own_target_mac,
            GENUINE,
        ),
        (
            "for another",
            own,
            ADVERT,
            Some(other),
            &own_target_mac,
            FORGED,
        ),
        (
            "for the gateway",
            own,
            ADVERT,
            Some(Node::Host.v6()),
            &none,
            FORGED,
        ),
        (
            "to another's MAC",
            own,
            ADVERT,
            Some(own),
            &other_target_mac,
            FORGED,
        ),
        (
            "router solicitation",
            local,
            ROUTER_SOLICIT,
            None,
            &own_mac,
            GENUINE,
        ),
        (
            "with another's MAC",
            local,
            ROUTER_SOLICIT,
            None,
            &other_mac,
            FORGED,
        ),
    ];
    let firewall = Firewall::new();
    for (what, source, kind, target, options, genuine) in rows {
        let outcome = send(&firewall, source, other, &message(kind, target, options));
        expect(
            outcome,
            genuine,
            Reason::DROP_NEIGHBOUR_DISCOVERY,
            &format!("type {kind}, {what}"),
        );
    }
}

#[test]
fn duplicate_address_detection_passes_for_own_addresses_only() {
    let nobody = Ipv6Addr::UNSPECIFIED;
    let (own, other, local) = (Node::A.v6(), Node::B.v6(), Node::A.link_local());
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6].to_vec();
    let own_mac = link_layer(1, Node::A.mac());
    let none = Vec::new();
    let rows = [
        ("probe", SOLICIT, own, solicited_node(own), &none, GENUINE),
        (
            "for link-local",
            SOLICIT,
            local,
            solicited_node(local),
            &none,
            GENUINE,
        ),
        (
            "with a nonce",
            SOLICIT,
            own,
            solicited_node(own),
            &nonce,
            GENUINE,
        ),
        (
            "for another's",
            SOLICIT,
            other,
            solicited_node(other),
            &none,
            FORGED,
        ),
        ("not to the group", SOLICIT, own, other, &none, FORGED),
        (
            "to another group",
            SOLICIT,
            own,
            solicited_node(other),
            &none,
            FORGED,
        ),
        (
            "with a MAC",
            SOLICIT,
            own,
            solicited_node(own),
            &own_mac,
            FORGED,
        ),
        (
            "advertisement",
            ADVERT,
            own,
            solicited_node(own),
            &none,
            FORGED,
        ),
    ];
    let firewall = Firewall::new();
    for (what, kind, target, destination, options, genuine) in rows {
        let payload = message(kind, Some(target), options);
        let outcome = send(&firewall, nobody, destination, &payload);
        expect(outcome, genuine, Reason::DROP_NEIGHBOUR_DISCOVERY, what);
    }
    send(&firewall, nobody, own, &message(ROUTER_SOLICIT, None, &[]))
        .drops(Reason::DROP_NEIGHBOUR_DISCOVERY, "router solicitation");
}

#[test]
fn neighbour_discovery_from_beyond_the_link_is_dropped() {
    let firewall = Firewall::new();
    let payload = message(SOLICIT, Some(Node::B.v6()), &[]);
    for hop_limit in [0, 1, 64, 254] {
        let ip = Ipv6 {
            hop_limit,
            ..Ipv6::new(Node::A.v6(), Node::B.v6())
        };
        firewall
            .from(Node::A, &frame_v6(Node::A, Node::B, &ip, &payload))
            .drops(
                Reason::DROP_NEIGHBOUR_DISCOVERY,
                &format!("hop limit {hop_limit}"),
            );
    }
    let mut coded = message(SOLICIT, Some(Node::B.v6()), &[]);
    coded.bytes[1] = 1;
    send(&firewall, Node::A.v6(), Node::B.v6(), &coded)
        .drops(Reason::DROP_NEIGHBOUR_DISCOVERY, "code 1");
}

#[test]
fn endpoint_is_no_router() {
    let firewall = Firewall::new();
    firewall.open_to(Node::B, Node::A);
    for (kind, what) in [(ROUTER_ADVERT, "advertisement"), (REDIRECT, "redirect")] {
        let payload = message(kind, Some(Node::B.v6()), &[0; 16]);
        let (source, destination) = (Node::A.link_local(), Node::B.v6());
        send(&firewall, source, destination, &payload)
            .drops(Reason::DROP_ROUTER_ADVERTISEMENT, what);
        let hidden = Ipv6 {
            hop_limit: 255,
            ..Ipv6::new(source, destination)
        }
        .with(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
        firewall
            .from(Node::A, &frame_v6(Node::A, Node::B, &hidden, &payload))
            .drops(
                Reason::DROP_ROUTER_ADVERTISEMENT,
                &format!("{what} behind destination options"),
            );
    }
}

#[test]
fn neighbour_discovery_behind_extension_headers_is_dropped() {
    let firewall = Firewall::new();
    firewall.open_to(Node::B, Node::A);
    let payload = message(ADVERT, Some(Node::A.v6()), &[]);
    for (number, what) in [(60, "destination options"), (0, "hop-by-hop options")] {
        let ip = Ipv6 {
            hop_limit: 255,
            ..Ipv6::new(Node::A.v6(), Node::B.v6())
        }
        .with(number, &[0, 0, 1, 4, 0, 0, 0, 0]);
        firewall
            .from(Node::A, &frame_v6(Node::A, Node::B, &ip, &payload))
            .drops(Reason::DROP_NEIGHBOUR_DISCOVERY, what);
    }
    let atomic = Ipv6 {
        hop_limit: 255,
        ..Ipv6::new(Node::A.v6(), Node::B.v6())
    }
    .fragment(1, 0, false);
    firewall
        .from(Node::A, &frame_v6(Node::A, Node::B, &atomic, &payload))
        .drops(Reason::DROP_NEIGHBOUR_DISCOVERY, "atomic fragment");
}

#[test]
fn neighbour_discovery_reaches_an_endpoint_under_default_deny() {
    let firewall = Firewall::new();
    let rows = [
        ("solicitation from the host", SOLICIT, 0, 255, true),
        (
            "advertisement from an endpoint",
            ADVERT,
            Node::B.number(),
            255,
            true,
        ),
        ("router advertisement", ROUTER_ADVERT, 0, 255, true),
        ("from beyond the link", ADVERT, 0, 254, false),
    ];
    for (what, kind, mark, hop_limit, genuine) in rows {
        let ip = Ipv6 {
            hop_limit,
            ..Ipv6::new(Node::Host.link_local(), Node::A.v6())
        };
        let payload = message(kind, Some(Node::A.v6()), &[]);
        let outcome = firewall.to(Node::A, &frame_v6(Node::Host, Node::A, &ip, &payload), mark);
        if genuine {
            outcome.passes(what);
        } else {
            outcome.drops(Reason::DROP_NEIGHBOUR_DISCOVERY, what);
        }
    }
}

/// A membership message behind the router alert that it must have.
fn membership(source: Ipv6Addr, kind: u8, alert: &[u8; 6]) -> Vec<u8> {
    let mut options = vec![0, 0];
    options.extend(alert);
    let ip = Ipv6 {
        hop_limit: 1,
        ..Ipv6::new(source, "ff02::16".parse().expect("address"))
    }
    .with(0, &options);
    let payload = Payload {
        protocol: ICMPV6,
        bytes: [vec![kind, 0, 0, 0], vec![0; 20]].concat(),
    };
    frame_v6(Node::A, Node::B, &ip, &payload)
}

#[test]
fn endpoint_reports_its_groups_but_asks_nobody_for_theirs() {
    const ALERT: [u8; 6] = [5, 2, 0, 0, 1, 0];
    const ALERT_LAST: [u8; 6] = [1, 0, 5, 2, 0, 0];
    let firewall = Firewall::new();
    for source in [Node::A.link_local(), Ipv6Addr::UNSPECIFIED] {
        for kind in [131, 132, 143] {
            for alert in [&ALERT, &ALERT_LAST] {
                firewall
                    .from(Node::A, &membership(source, kind, alert))
                    .passes_marked(Node::A.number(), &format!("MLD type {kind} from {source}"));
            }
        }
        firewall
            .from(Node::A, &membership(source, 130, &ALERT))
            .drops(Reason::DROP_MULTICAST_QUERY, "MLD query");
    }
    firewall
        .from(Node::A, &membership(Node::B.link_local(), 143, &ALERT))
        .drops(Reason::DROP_SOURCE_IPV6, "MLD report for another");
    firewall
        .from(
            Node::A,
            &membership(Ipv6Addr::UNSPECIFIED, 143, &[1, 4, 0, 0, 0, 0]),
        )
        .drops(Reason::DROP_SOURCE_IPV6, "without its router alert");
    firewall
        .from(
            Node::A,
            &membership(Node::A.link_local(), 130, &[1, 4, 0, 0, 0, 0]),
        )
        .drops(
            Reason::DROP_MULTICAST_QUERY,
            "query without its router alert",
        );
}

#[test]
fn igmp_reports_pass_and_queries_do_not() {
    let firewall = Firewall::new();
    let frame = |kind: u8, destination| {
        let ip = Ipv4 {
            ttl: 1,
            options: vec![0x94, 4, 0, 0],
            ..Ipv4::new(Node::A.v4(), destination)
        };
        let payload = Payload {
            protocol: crate::frame::IGMP,
            bytes: vec![kind, 0, 0, 0, 224, 0, 0, 251],
        };
        frame_v4(Node::A, Node::B, &ip, &payload)
    };
    let group = Ipv4Addr::new(224, 0, 0, 22);
    for (kind, what) in [
        (0x12, "v1 report"),
        (0x16, "v2 report"),
        (0x17, "leave"),
        (0x22, "v3 report"),
    ] {
        firewall
            .from(Node::A, &frame(kind, group))
            .passes_marked(Node::A.number(), what);
        firewall
            .to(Node::B, &frame(kind, group), Node::A.number())
            .passes(what);
    }
    firewall
        .from(Node::A, &frame(0x11, group))
        .drops(Reason::DROP_MULTICAST_QUERY, "query");
    firewall
        .from(Node::A, &frame(0x16, Node::B.v4()))
        .drops(Reason::DROP_POLICY_DEFAULT, "report to one receiver");
}

#[test]
fn queries_of_the_bridge_reach_an_endpoint() {
    let firewall = Firewall::new();
    let query = Ipv4 {
        ttl: 1,
        ..Ipv4::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(224, 0, 0, 1))
    };
    let payload = Payload {
        protocol: crate::frame::IGMP,
        bytes: vec![0x11, 0, 0, 0, 0, 0, 0, 0],
    };
    let multicast = [0x01, 0x00, 0x5e, 0, 0, 1];
    let frame = crate::frame::to_mac(frame_v4(Node::Host, Node::A, &query, &payload), multicast);
    firewall
        .to(Node::A, &frame, 0)
        .passes("IGMP query from 0.0.0.0");

    let ip = Ipv6 {
        hop_limit: 1,
        ..Ipv6::new(Node::Host.link_local(), "ff02::1".parse().expect("address"))
    }
    .with(0, &[0, 0, 5, 2, 0, 0, 1, 0]);
    let payload = Payload {
        protocol: ICMPV6,
        bytes: [vec![130, 0, 0, 0], vec![0; 20]].concat(),
    };
    let frame = frame_v6(Node::Host, Node::A, &ip, &payload);
    firewall.to(Node::A, &frame, 0).passes("MLD query");
}

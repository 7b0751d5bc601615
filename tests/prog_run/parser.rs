//! Headers: what is malformed, or could mean something else to the receiver, is dropped.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::fixture::{Firewall, Outcome, Reason};
use crate::frame::{
    ACK, FIN, GRE, ICMP, ICMPV6, Ipv4, Ipv6, PSH, Payload, RST, SYN, URG, ethernet, frame,
    frame_v4, frame_v6, other, sctp, tcp, udp,
};
use crate::node::{FAMILIES, Family, Node};

/// All ports are open: what is dropped is dropped for its headers.
fn open() -> Firewall {
    let firewall = Firewall::new();
    firewall.open_to(Node::B, Node::A);
    firewall
}

fn send_v4(firewall: &Firewall, ip: &Ipv4, payload: &Payload) -> Outcome {
    firewall.from(Node::A, &frame_v4(Node::A, Node::B, ip, payload))
}

fn send_v6(firewall: &Firewall, ip: &Ipv6, payload: &Payload) -> Outcome {
    firewall.from(Node::A, &frame_v6(Node::A, Node::B, ip, payload))
}

fn v4() -> Ipv4 {
    Ipv4::new(Node::A.v4(), Node::B.v4())
}

fn v6() -> Ipv6 {
    Ipv6::new(Node::A.v6(), Node::B.v6())
}

#[test]
fn malformed_ipv4_headers_are_dropped() {
    let firewall = open();
    let good = frame_v4(Node::A, Node::B, &v4(), &udp(1, 2));
    firewall.from(Node::A, &good).passes("well-formed");
    let with = |offset: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[14 + offset..14 + offset + bytes.len()].copy_from_slice(bytes);
        firewall.from(Node::A, &frame)
    };
    with(0, &[0x55]).drops(Reason::DROP_IPV4_HEADER, "version 5");
    with(0, &[0x65]).drops(Reason::DROP_IPV4_HEADER, "version 6");
    with(0, &[0x44]).drops(Reason::DROP_IPV4_HEADER, "header of 16 bytes");
    with(0, &[0x40]).drops(Reason::DROP_IPV4_HEADER, "header of no length");
    with(2, &[0, 19]).drops(Reason::DROP_IPV4_HEADER, "shorter than its header");
    with(2, &[0, 0]).drops(Reason::DROP_IPV4_HEADER, "no total length");
    with(2, &[0x05, 0xdc]).drops(Reason::DROP_TRUNCATED, "longer than the frame");

    let mut padded = good.clone();
    padded.extend([0; 20]);
    firewall.from(Node::A, &padded).passes("padded frame");
    let cut = Ipv4 {
        total_length: Some(20 + 7),
        ..v4()
    };
    send_v4(&firewall, &cut, &udp(1, 2))
        .drops(Reason::DROP_L4_HEADER, "padding is no part of a header");
}

#[test]
fn ipv4_options_pass_but_for_source_routes() {
    let firewall = open();
    let rows: [(&str, &[u8], Reason); 10] = [
        ("router alert", &[148, 4, 0, 0], Reason::DROP_NONE),
        ("record route", &[7, 7, 4, 0, 0, 0, 0, 0], Reason::DROP_NONE),
        ("40 bytes of padding", &[1; 40], Reason::DROP_NONE),
        ("nothing behind the end", &[0, 131, 3, 4], Reason::DROP_NONE),
        ("LSRR", &[131, 3, 4, 0], Reason::DROP_IPV4_SOURCE_ROUTE),
        (
            "SSRR",
            &[137, 7, 4, 1, 2, 3, 4, 0],
            Reason::DROP_IPV4_SOURCE_ROUTE,
        ),
        (
            "LSRR behind padding",
            &[1, 1, 1, 131, 3, 4, 0, 0],
            Reason::DROP_IPV4_SOURCE_ROUTE,
        ),
        (
            "LSRR behind an option",
            &[148, 4, 0, 0, 131, 3, 4, 0],
            Reason::DROP_IPV4_SOURCE_ROUTE,
        ),
        (
            "option of no length",
            &[148, 0, 0, 0],
            Reason::DROP_IPV4_HEADER,
        ),
        (
            "option beyond the end",
            &[148, 5, 0, 0],
            Reason::DROP_IPV4_HEADER,
        ),
    ];
    for (what, options, reason) in rows {
        let ip = Ipv4 {
            options: options.to_vec(),
            ..v4()
        };
        let outcome = send_v4(&firewall, &ip, &udp(1, 2));
        if reason == Reason::DROP_NONE {
            outcome.passes(what);
        } else {
            outcome.drops(reason, what);
        }
    }
}

#[test]
fn ports_are_found_behind_ipv4_options() {
    let firewall = Firewall::new();
    firewall.set_rules(
        crate::fixture::Side::Ingress,
        Node::B,
        Node::A,
        &[crate::fixture::allow(1, crate::fixture::port(17, 53))],
    );
    let ip = Ipv4 {
        options: vec![1; 40],
        ..v4()
    };
    send_v4(&firewall, &ip, &udp(1, 53)).passes("port 53");
    send_v4(&firewall, &ip, &udp(2, 54)).drops(Reason::DROP_POLICY_DEFAULT, "port 54");
}

#[test]
fn malformed_ipv6_headers_are_dropped() {
    let firewall = open();
    let mut frame = frame_v6(Node::A, Node::B, &v6(), &udp(1, 2));
    firewall.from(Node::A, &frame).passes("well-formed");
    frame[14] = 0x40;
    firewall
        .from(Node::A, &frame)
        .drops(Reason::DROP_IPV6_HEADER, "version 4");
    let long = Ipv6 {
        payload_length: Some(1000),
        ..v6()
    };
    send_v6(&firewall, &long, &udp(1, 2)).drops(Reason::DROP_TRUNCATED, "longer than the frame");
    let jumbo = Ipv6 {
        payload_length: Some(0),
        ..v6()
    };
    send_v6(&firewall, &jumbo, &udp(1, 2)).drops(Reason::DROP_IPV6_HEADER, "jumbogram");
    let cut = Ipv6 {
        payload_length: Some(7),
        ..v6()
    };
    send_v6(&firewall, &cut, &udp(1, 2))
        .drops(Reason::DROP_L4_HEADER, "padding is no part of a header");
}

#[test]
fn ipv6_extension_headers_pass_only_where_they_are_understood() {
    const OPTIONS: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
    const LONG_OPTIONS: [u8; 16] = [0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const DONE_ROUTE: [u8; 8] = [0, 0, 2, 0, 0, 0, 0, 0];
    const ROUTE: [u8; 24] = [
        0, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    const ROUTE_0: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0];
    const AUTHENTICATION: [u8; 12] = [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let extended = Reason::DROP_IPV6_EXTENSION;
    let rows = [
        ("hop-by-hop", v6().with(0, &OPTIONS), Reason::DROP_NONE),
        (
            "destination options",
            v6().with(60, &OPTIONS),
            Reason::DROP_NONE,
        ),
        (
            "long options",
            v6().with(60, &LONG_OPTIONS),
            Reason::DROP_NONE,
        ),
        (
            "route with nothing left",
            v6().with(43, &DONE_ROUTE),
            Reason::DROP_NONE,
        ),
        (
            "authentication",
            v6().with(51, &AUTHENTICATION),
            Reason::DROP_NONE,
        ),
        (
            "atomic fragment",
            v6().fragment(7, 0, false),
            Reason::DROP_NONE,
        ),
        (
            "hop-by-hop, options, fragment, options",
            v6().with(0, &OPTIONS)
                .with(60, &OPTIONS)
                .fragment(7, 0, false)
                .with(60, &OPTIONS),
            Reason::DROP_NONE,
        ),
        (
            "hop-by-hop in second place",
            v6().with(60, &OPTIONS).with(0, &OPTIONS),
            extended,
        ),
        ("route with something left", v6().with(43, &ROUTE), extended),
        ("route of type 0", v6().with(43, &ROUTE_0), extended),
        ("mobility", v6().with(135, &OPTIONS), extended),
        ("host identity", v6().with(139, &OPTIONS), extended),
        ("shim6", v6().with(140, &OPTIONS), extended),
        ("experiment", v6().with(253, &OPTIONS), extended),
        (
            "seven of them",
            (0..7).fold(v6(), |ip, _| ip.with(60, &OPTIONS)),
            extended,
        ),
        (
            "two fragment headers",
            v6().fragment(7, 0, false).fragment(7, 0, false),
            Reason::DROP_FRAGMENT,
        ),
    ];
    for (what, ip, reason) in rows {
        let firewall = Firewall::new();
        firewall.set_rules(
            crate::fixture::Side::Ingress,
            Node::B,
            Node::A,
            &[crate::fixture::allow(1, crate::fixture::port(17, 53))],
        );
        let allowed = send_v6(&firewall, &ip, &udp(1, 53));
        let refused = send_v6(&firewall, &ip, &udp(2, 54));
        if reason == Reason::DROP_NONE {
            allowed.passes(what);
            refused.drops(Reason::DROP_POLICY_DEFAULT, what);
        } else {
            allowed.drops(reason, what);
        }
    }
}

#[test]
fn extension_header_beyond_the_packet_is_dropped() {
    let firewall = open();
    let beyond = v6().with(60, &[0, 200, 1, 4, 0, 0, 0, 0]);
    send_v6(&firewall, &beyond, &udp(1, 2)).drops(Reason::DROP_TRUNCATED, "200 * 8 bytes");
}

#[test]
fn addresses_that_must_not_be_on_the_wire_are_dropped() {
    let firewall = open();
    let v4_bad = ["127.0.0.1", "0.0.0.0", "0.1.2.3", "240.0.0.1"];
    for bad in v4_bad {
        let bad: Ipv4Addr = bad.parse().expect("address");
        send_v4(&firewall, &Ipv4::new(Node::A.v4(), bad), &udp(1, 2))
            .drops(Reason::DROP_ADDRESS, &format!("to {bad}"));
        let from = frame_v4(
            Node::Host,
            Node::A,
            &Ipv4::new(bad, Node::A.v4()),
            &udp(1, 2),
        );
        firewall
            .to(Node::A, &from, 0)
            .drops(Reason::DROP_ADDRESS, &format!("from {bad}"));
    }
    for group in ["224.0.0.1", "255.255.255.255"] {
        let source = group.parse().expect("address");
        let from = frame_v4(
            Node::Host,
            Node::A,
            &Ipv4::new(source, Node::A.v4()),
            &udp(1, 2),
        );
        firewall
            .to(Node::A, &from, 0)
            .drops(Reason::DROP_ADDRESS, &format!("from {group}"));
    }
    for bad in [
        "::1",
        "::",
        "::ffff:172.17.0.3",
        "::172.17.0.3",
        "ff01::1",
        "ff00::1",
    ] {
        let bad: Ipv6Addr = bad.parse().expect("address");
        send_v6(&firewall, &Ipv6::new(Node::A.v6(), bad), &udp(1, 2))
            .drops(Reason::DROP_ADDRESS, &format!("to {bad}"));
        let from = frame_v6(
            Node::Host,
            Node::A,
            &Ipv6::new(bad, Node::A.v6()),
            &udp(1, 2),
        );
        firewall
            .to(Node::A, &from, 0)
            .drops(Reason::DROP_ADDRESS, &format!("from {bad}"));
    }
    for family in FAMILIES {
        let itself = frame(family, Node::A, Node::A, &tcp(80, 80, SYN));
        firewall
            .from(Node::A, &itself)
            .drops(Reason::DROP_ADDRESS, "to itself");
    }
}

#[test]
fn icmp_of_the_other_family_is_dropped() {
    let firewall = open();
    for (family, protocol) in [(Family::V4, ICMPV6), (Family::V6, ICMP)] {
        firewall
            .from(Node::A, &frame(family, Node::A, Node::B, &other(protocol)))
            .drops(Reason::DROP_ICMP_FAMILY, &format!("{family:?}"));
    }
}

#[test]
fn malformed_transport_headers_are_dropped() {
    let cut = |mut payload: Payload, length: usize| {
        payload.bytes.truncate(length);
        payload
    };
    let with = |mut payload: Payload, offset: usize, byte: u8| {
        payload.bytes[offset] = byte;
        payload
    };
    for family in FAMILIES {
        let firewall = open();
        let ping = crate::frame::icmp(family, crate::frame::echo(family).0, 0, 1);
        let rows = [
            ("TCP of 19 bytes", cut(tcp(1, 2, SYN), 19)),
            ("TCP, data offset 4", with(tcp(1, 2, SYN), 12, 0x40)),
            (
                "TCP, data offset beyond the end",
                with(tcp(1, 2, SYN), 12, 0x60),
            ),
            ("UDP of 7 bytes", cut(udp(1, 2), 7)),
            ("UDP, length 7", with(udp(1, 2), 5, 7)),
            ("UDP, length beyond the end", with(udp(1, 2), 5, 13)),
            ("SCTP of 11 bytes", cut(sctp(1, 2), 11)),
            ("ICMP of 7 bytes", cut(ping, 7)),
        ];
        for (what, payload) in rows {
            firewall
                .from(Node::A, &frame(family, Node::A, Node::B, &payload))
                .drops(Reason::DROP_L4_HEADER, &format!("{family:?}, {what}"));
        }
        for (what, payload) in [
            ("TCP", tcp(1, 2, SYN)),
            ("UDP", udp(1, 2)),
            ("UDP, shorter than the packet", with(udp(3, 4), 5, 9)),
            ("SCTP", sctp(1, 2)),
            ("GRE", other(GRE)),
        ] {
            firewall
                .from(Node::A, &frame(family, Node::A, Node::B, &payload))
                .passes(&format!("{family:?}, {what}"));
        }
    }
}

#[test]
fn impossible_tcp_flags_are_dropped() {
    const POSSIBLE: [u8; 9] = [
        SYN,
        SYN | URG,
        SYN | ACK,
        RST,
        RST | ACK,
        FIN | ACK,
        FIN | ACK | URG,
        ACK,
        ACK | URG,
    ];
    for family in FAMILIES {
        let firewall = open();
        // A live connection, so that no packet is dropped for want of one.
        firewall
            .from(
                Node::A,
                &frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN)),
            )
            .passes("SYN");
        for flags in 0..=0xff {
            let outcome = firewall.from(
                Node::A,
                &frame(family, Node::A, Node::B, &tcp(40_000, 80, flags)),
            );
            let what = format!("{family:?}, flags {flags:#04x}");
            // CWR, ECE and PSH go with everything.
            if POSSIBLE.contains(&(flags & !(0xc0 | PSH))) {
                outcome.passes(&what);
            } else {
                outcome.drops(Reason::DROP_TCP_FLAGS, &what);
            }
        }
    }
}

#[test]
fn random_bytes_never_pass_by_accident() {
    // A small generator of its own: the same bytes every time.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let firewall = Firewall::new();
    for round in 0..2_000 {
        let length = 40 + (random() % 120) as usize;
        let payload: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        let kind = if round % 2 == 0 { 0x0800 } else { 0x86dd };
        let mut frame = ethernet(Node::A.mac(), Node::B.mac(), kind, &payload);
        // Genuine addresses, so that the body has to deal with the rest.
        if round % 2 == 0 {
            frame[14] = 0x45 + (random() % 11) as u8;
            frame[26..30].copy_from_slice(&Node::A.v4().octets());
            frame[30..34].copy_from_slice(&Node::B.v4().octets());
        } else {
            frame[14] = 0x60;
            frame[22..38].copy_from_slice(&Node::A.v6().octets());
            frame[38..54].copy_from_slice(&Node::B.v6().octets());
        }
        let outcome = firewall.from(Node::A, &frame);
        assert!(
            matches!(outcome, Outcome::Dropped(_)),
            "round {round}: {outcome:?} {frame:02x?}"
        );
    }
}

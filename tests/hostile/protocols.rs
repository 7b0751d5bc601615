//! Protocols that no rule speaks of, tunnels above all: a rule for TCP and UDP opens nothing else.

use crate::case::{Case, Row, both, cut, data, everywhere, v6};
use crate::cast::Outside;
use crate::common::craft::{Family, Payload, SYN, sctp, udp_with};

/// Neither TCP, UDP, SCTP nor ICMP.
const OTHERS: [(&str, u8); 22] = [
    ("IPv4 in IP", 4),
    ("ST", 5),
    ("EGP", 8),
    ("DCCP", 33),
    ("IPv6 in IP", 41),
    ("RSVP", 46),
    ("GRE", 47),
    ("ESP", 50),
    ("minimal encapsulation", 55),
    ("EIGRP", 88),
    ("OSPF", 89),
    ("IP within IP", 94),
    ("EtherIP", 97),
    ("encapsulation", 98),
    ("PIM", 103),
    ("IPComp", 108),
    ("VRRP", 112),
    ("PGM", 113),
    ("L2TP", 115),
    ("UDP-Lite", 136),
    ("MPLS in IP", 137),
    ("Ethernet", 143),
];

/// Tunnels and the like over UDP, by their ports.
const TUNNELS: [(&str, u16); 12] = [
    ("VXLAN", 4789),
    ("old VXLAN", 8472),
    ("GENEVE", 6081),
    ("GTP", 2152),
    ("L2TP", 1701),
    ("ESP in UDP", 4500),
    ("WireGuard", 51820),
    ("MPLS in UDP", 6635),
    ("GUE", 6080),
    ("Teredo", 3544),
    ("VXLAN-GPE", 4790),
    ("QUIC", 443),
];

/// What a tunnel would carry: a datagram for the open port.
fn inner(c: &Case) -> Vec<u8> {
    c.v4().carry(&c.udp(53))
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, protocol) in OTHERS {
        rows.extend(everywhere(what, move |c| {
            // Behind the header: first what looks like ports, then a whole packet.
            let ports = [&c.number.to_be_bytes()[..], &53_u16.to_be_bytes(), &[0; 16]].concat();
            vec![
                c.drop(
                    "policy-default",
                    c.packet(&Payload {
                        protocol,
                        bytes: ports,
                    }),
                ),
                c.drop(
                    "policy-default",
                    c.packet(&Payload {
                        protocol,
                        bytes: inner(c),
                    }),
                ),
                match c.family {
                    Family::V4 => c.drop("policy-default", c.packet(&data(protocol, 0))),
                    Family::V6 => c.drop("ipv6-header", c.packet(&data(protocol, 0))),
                },
            ]
        }));
    }
    for (what, port) in TUNNELS {
        rows.extend(everywhere(&format!("{what}, over UDP"), move |c| {
            let carried = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &[0x02; 14], &inner(c)].concat();
            vec![c.drop(
                "policy-default",
                c.packet(&udp_with(c.number, port, &carried)),
            )]
        }));
    }
    for (what, protocol) in [
        ("GRE", 47),
        ("ESP", 50),
        ("IPv6 in IP", 41),
        ("UDP-Lite", 136),
    ] {
        rows.extend(
            both(&format!("{what}, to the outside"), move |c| {
                vec![c.drop(
                    "policy-default",
                    c.packet(&Payload {
                        protocol,
                        bytes: inner(c),
                    }),
                )]
            })
            .into_iter()
            .map(|row| row.to(Outside)),
        );
    }
    transports(&mut rows);
    rows
}

fn transports(rows: &mut Vec<Row>) {
    for length in [0, 1, 4, 7] {
        rows.extend(everywhere(
            &format!("{length} bytes of a UDP header"),
            move |c| {
                // A packet of no payload is not even IPv6.
                let reason = if length == 0 && c.family == Family::V6 {
                    "ipv6-header"
                } else {
                    "l4-header"
                };
                vec![c.drop(reason, c.packet(&cut(c.udp(53), length)))]
            },
        ));
    }
    for said in [0_u16, 1, 7] {
        rows.extend(everywhere(
            &format!("a datagram that says it has {said} bytes"),
            move |c| {
                let mut payload = c.udp(53);
                payload.bytes[4..6].copy_from_slice(&said.to_be_bytes());
                vec![c.drop("l4-header", c.packet(&payload))]
            },
        ));
    }
    for said in [17_u16, 0xffff] {
        rows.extend(everywhere(
            &format!("a datagram of 16 bytes that says it has {said}"),
            move |c| {
                let mut payload = c.udp(53);
                payload.bytes[4..6].copy_from_slice(&said.to_be_bytes());
                vec![c.drop("l4-header", c.packet(&payload))]
            },
        ));
    }
    rows.extend(everywhere("a datagram shorter than its packet", |c| {
        let mut payload = c.udp(53);
        payload.bytes[5] = 12;
        vec![c.pass(c.packet(&payload))]
    }));
    rows.extend(everywhere("a datagram of no bytes", |c| {
        vec![c.pass(c.packet(&udp_with(c.number, 53, &[])))]
    }));
    rows.extend(everywhere("port 0 of UDP", |c| {
        vec![
            c.drop("policy-default", c.packet(&c.udp(0))),
            c.pass(c.packet(&udp_with(0, 53, b"from port 0"))),
        ]
    }));
    rows.extend(everywhere("the ports on both sides of an open one", |c| {
        [52, 54, 53 << 8, 53 + 256]
            .map(|port| c.drop("policy-default", c.packet(&c.udp(port))))
            .into()
    }));
    rows.extend(everywhere("an open port of another protocol", |c| {
        vec![
            c.drop("policy-default", c.packet(&c.tcp(53, SYN))),
            c.drop("policy-default", c.packet(&c.udp(80))),
            c.drop("policy-default", c.packet(&c.udp(7))),
            c.drop("policy-default", c.packet(&sctp(c.number, 53))),
        ]
    }));
    for length in [0, 4, 8, 11] {
        rows.extend(everywhere(
            &format!("{length} bytes of an SCTP header"),
            move |c| {
                let reason = if length == 0 && c.family == Family::V6 {
                    "ipv6-header"
                } else {
                    "l4-header"
                };
                vec![c.drop(reason, c.packet(&cut(sctp(c.number, 7), length)))]
            },
        ));
    }
    rows.extend(everywhere("SCTP, at an open and a closed port", |c| {
        vec![
            c.pass(c.packet(&sctp(c.number, 7))),
            c.drop("policy-default", c.packet(&sctp(c.number, 8))),
        ]
    }));
    for length in [1, 4, 7] {
        rows.extend(everywhere(
            &format!("{length} bytes of an echo request"),
            move |c| vec![c.drop("l4-header", c.packet(&cut(c.ping(), length)))],
        ));
    }
    rows.extend(everywhere(
        "an echo request passes, an answer without one does not",
        |c| {
            let (_, reply) = crate::common::craft::echo(c.family);
            vec![
                c.pass(c.packet(&c.ping())),
                c.nth(1).drop("policy-default", {
                    let other = c.nth(1);
                    other.packet(&crate::common::craft::icmp(
                        c.family,
                        reply,
                        0,
                        other.number,
                    ))
                }),
            ]
        },
    ));
    rows.push(v6(
        "a datagram in a datagram's clothes of another family",
        |c| {
            vec![c.drop(
                "policy-default",
                c.frame_v6(
                    &c.v6(),
                    &Payload {
                        protocol: 4,
                        bytes: inner(c),
                    },
                ),
            )]
        },
    ));
}

//! What a sender leaves to the network card: checksums and segmentation. Honest requests pass and are
//! counted as what they are. A dishonest one has a "checksum-offload" written over what was judged, after it
//! was judged: whoever computes it, the kernel or a card, writes two bytes wherever it is told to.

use crate::arp;
use crate::case::{Case, Row, Shot, both, row, transport, v4, v6};
use crate::cast::{Bystander, Outside, Stranger};
use crate::common::craft::{Family, Payload, SYN, sctp, tcp, udp_with};
use crate::neighbours;
use crate::wire::{GSO_TCPV4, GSO_TCPV6, GSO_UDP, NEEDS_CHECKSUM, Offload};

/// A request to compute from the transport header on and to write there, so far behind.
fn checksum(family: Family, offset: u16) -> Offload {
    Offload {
        flags: NEEDS_CHECKSUM,
        checksum_start: transport(family) as u16,
        checksum_offset: offset,
        ..Offload::default()
    }
}

/// Where in the frame it is written, wherever the sum begins.
fn written_at(position: u16) -> Offload {
    Offload {
        flags: NEEDS_CHECKSUM,
        // As far to the front as the kernel allows.
        checksum_start: 20,
        checksum_offset: position - 20,
        ..Offload::default()
    }
}

const TCP_CHECKSUM: u16 = 16;
const UDP_CHECKSUM: u16 = 6;

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    honest(&mut rows);
    segmented(&mut rows);
    overwriting(&mut rows);
    rows
}

fn honest(rows: &mut Vec<Row>) {
    for from in [crate::cast::Mallory, Stranger] {
        rows.extend(
            both("a checksum that is left to others", |c| {
                vec![
                    c.pass(c.packet(&c.udp(53)))
                        .offload(checksum(c.family, UDP_CHECKSUM)),
                    c.pass(c.packet(&c.syn(80)))
                        .offload(checksum(c.family, TCP_CHECKSUM)),
                    c.drop("policy-default", c.packet(&c.udp(54)))
                        .offload(checksum(c.family, UDP_CHECKSUM)),
                ]
            })
            .into_iter()
            .map(|row| row.from(from)),
        );
    }
    rows.extend(
        both("a checksum that is left to others, on the way out", |c| {
            vec![
                c.pass(c.packet(&c.udp(53)))
                    .offload(checksum(c.family, UDP_CHECKSUM)),
                c.pass(c.packet(&c.syn(80)))
                    .offload(checksum(c.family, TCP_CHECKSUM)),
            ]
        })
        .into_iter()
        .map(|row| row.to(Outside)),
    );
    rows.extend(both("a checksum of the packet in a packet", |c| {
        // What a tunnel within the container sends: the sum is the inner datagram's.
        let mut payload = udp_with(c.number, 53, &[0; 50]);
        payload.bytes.extend([0; 30]);
        payload.bytes[5] = payload.bytes.len() as u8;
        let inner = Offload {
            flags: NEEDS_CHECKSUM,
            checksum_start: transport(c.family) as u16 + 8 + 28,
            checksum_offset: UDP_CHECKSUM,
            ..Offload::default()
        };
        vec![c.pass(c.packet(&payload)).offload(inner)]
    }));
    rows.extend(both("a virtio header that asks for nothing", |c| {
        vec![c.pass(c.packet(&c.udp(53))).offload(Offload::default())]
    }));
}

/// A segment or a datagram of so many bytes.
fn long(mut payload: Payload, length: usize) -> Payload {
    payload.bytes.resize(length, 0x5a);
    if payload.protocol == crate::common::craft::UDP {
        payload.bytes[4..6].copy_from_slice(&(length as u16).to_be_bytes());
    }
    payload
}

fn segments(c: &Case, segmentation: u8, header: u16, offset: u16) -> Offload {
    Offload {
        segmentation,
        segment: 1400,
        linear: transport(c.family) as u16 + header,
        ..checksum(c.family, offset)
    }
}

fn gso_tcp(c: &Case) -> Offload {
    let kind = match c.family {
        Family::V4 => GSO_TCPV4,
        Family::V6 => GSO_TCPV6,
    };
    segments(c, kind, 20, TCP_CHECKSUM)
}

fn segmented(rows: &mut Vec<Row>) {
    for from in [crate::cast::Mallory, Stranger] {
        rows.extend(
            both(
                "many segments in one are one packet of all their bytes",
                |c| {
                    let ack = |port| tcp(c.number, port, crate::common::craft::ACK);
                    vec![
                        c.pass(c.packet(&c.syn(80))),
                        c.pass(c.packet(&long(ack(80), 30_000))).offload(gso_tcp(c)),
                        c.pass(c.packet(&long(ack(80), 1_421))).offload(gso_tcp(c)),
                        c.drop("policy-default", c.packet(&long(ack(81), 30_000)))
                            .offload(gso_tcp(c)),
                    ]
                },
            )
            .into_iter()
            .map(|row| row.from(from)),
        );
        rows.extend(
            both(
                "many datagrams in one are one packet of all their bytes",
                |c| {
                    let offload = segments(c, GSO_UDP, 8, UDP_CHECKSUM);
                    vec![
                        c.pass(c.packet(&long(c.udp(53), 14_008))).offload(offload),
                        c.drop("policy-default", c.packet(&long(c.udp(54), 14_008)))
                            .offload(offload),
                    ]
                },
            )
            .into_iter()
            .map(|row| row.from(from)),
        );
    }
    rows.push(v4(
        "many segments in one that does not say how long it is",
        |c| {
            let ack = |port| tcp(c.number, port, crate::common::craft::ACK);
            let whole = |port| {
                let ip = crate::common::craft::Ipv4 {
                    total_length: Some(0),
                    ..c.v4()
                };
                c.frame_v4(&ip, &long(ack(port), 30_000))
            };
            vec![
                c.pass(whole(80)).offload(gso_tcp(c)),
                c.drop("policy-default", whole(81)).offload(gso_tcp(c)),
            ]
        },
    ));
    rows.extend(both("many segments in one, in another's name", |c| {
        let lie = c.between(Bystander, c.to);
        let frame = lie.packet(&long(tcp(c.number, 80, crate::common::craft::ACK), 30_000));
        let frame = crate::case::with(frame, 6, &c.from.mac());
        let reason = if c.family == Family::V4 {
            "source-ipv4"
        } else {
            "source-ipv6"
        };
        vec![c.drop(reason, frame).offload(gso_tcp(c))]
    }));
}

/// Somebody whose interface computes no checksums, so that the kernel does before it hands over.
fn attack(what: &str, shots: fn(&Case) -> Vec<Shot>) -> Vec<Row> {
    both(what, shots)
        .into_iter()
        .map(|row| row.to(Bystander))
        .collect()
}

fn overwritten(c: &Case, payload: &Payload, position: u16) -> Shot {
    c.drop("checksum-offload", c.packet(payload))
        .offload(written_at(position))
}

fn overwriting(rows: &mut Vec<Row>) {
    rows.extend(attack("a checksum over the ports of UDP", |c| {
        let header = transport(c.family) as u16;
        (0..5)
            .map(|offset| overwritten(c, &c.udp(53), header + offset))
            .collect()
    }));
    rows.extend(attack(
        "a checksum over the destination port of UDP, of the header itself",
        |c| {
            [0, 1, 2, 3, 4]
                .map(|offset| {
                    c.drop("checksum-offload", c.packet(&c.udp(53)))
                        .offload(checksum(c.family, offset))
                })
                .into()
        },
    ));
    rows.extend(attack("a checksum over the ports and flags of TCP", |c| {
        let header = transport(c.family) as u16;
        [0, 2, 3, 11, 12, 13]
            .map(|offset| overwritten(c, &tcp(c.number, 80, SYN), header + offset))
            .into()
    }));
    rows.extend(attack("a checksum over the ports of SCTP", |c| {
        let header = transport(c.family) as u16;
        let init = sctp(c.number, 7);
        (0..4)
            .map(|offset| overwritten(c, &init, header + offset))
            .collect()
    }));
    rows.extend(attack(
        "a checksum over type and identifier of an echo request",
        |c| {
            let header = transport(c.family) as u16;
            [0, 1, 3, 4, 5]
                .map(|offset| overwritten(c, &c.ping(), header + offset))
                .into()
        },
    ));
    rows.extend(attack("a checksum over the destination address", |c| {
        let (begin, end) = match c.family {
            Family::V4 => (30, 33),
            Family::V6 => (38, 53),
        };
        (begin..=end)
            .map(|position| overwritten(c, &c.udp(53), position))
            .collect()
    }));
    rows.extend(attack("a checksum over the source address", |c| {
        let (begin, end) = match c.family {
            Family::V4 => (26, 29),
            Family::V6 => (22, 37),
        };
        (begin..=end)
            .map(|position| overwritten(c, &c.udp(53), position))
            .collect()
    }));
    rows.extend(attack("a checksum over the rest of the IP header", |c| {
        // As far to the front as the kernel allows.
        (20..26)
            .map(|position| overwritten(c, &c.udp(53), position))
            .collect()
    }));
    rows.push(
        v6("a checksum over an extension header", |c| {
            let ip = c.v6().with(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
            (53..62)
                .map(|position| {
                    c.drop("checksum-offload", c.frame_v6(&ip, &c.udp(53)))
                        .offload(written_at(position))
                })
                .collect()
        })
        .to(Bystander),
    );
    rows.extend(attack("a checksum in a fragment", |c| {
        let first = c.fragment(0, true, &udp_with(c.number, 53, &[0; 16]));
        let header = first.len() as u16 - 24;
        vec![
            c.drop("checksum-offload", first.clone())
                .offload(written_at(header + 2)),
            c.pass(first),
        ]
    }));
    rows.push(
        row("a checksum over who sends an ARP reply", |c| {
            let frame = arp::request(c);
            (22..41)
                .map(|position| {
                    c.drop("checksum-offload", frame.clone())
                        .offload(written_at(position))
                })
                .collect()
        })
        .to(Bystander),
    );
    rows.push(
        v6("a checksum over what an advertisement is about", |c| {
            let frame = neighbours::own_advertisement(c);
            let last = frame.len() as u16 - 2;
            (54..=last)
                .filter(|position| *position != 56)
                .map(|position| {
                    c.drop("checksum-offload", frame.clone())
                        .offload(written_at(position))
                })
                .collect()
        })
        .to(Bystander),
    );
    rows.extend(attack(
        "a checksum in the packet that an error quotes",
        |c| {
            let question = c.packet(&udp_with(c.number, 53, b"question"));
            let back = c.back();
            let error = back.packet(&crate::common::craft::unreachable(c.family, &question));
            let header = transport(c.family) as u16;
            let inner = header + 8 + (header - 14);
            let over = |position| {
                back.drop("checksum-offload", error.clone())
                    .offload(written_at(position))
            };
            vec![
                c.pass(question),
                over(inner),
                over(inner + 2),
                back.pass(error.clone()),
            ]
        },
    ));
    rows.extend(
        both("a checksum over the port, on the way out", |c| {
            let header = transport(c.family) as u16;
            vec![
                overwritten(c, &c.udp(53), header + 2),
                overwritten(c, &c.syn(80), header + 2),
            ]
        })
        .into_iter()
        .map(|row| row.to(Outside)),
    );
    rows.extend(
        both("a checksum over the port, by a machine on the link", |c| {
            let header = transport(c.family) as u16;
            vec![
                overwritten(c, &c.udp(53), header + 2),
                overwritten(c, &c.syn(80), header + 2),
            ]
        })
        .into_iter()
        .map(|row| row.from(Stranger)),
    );
}

//! Frames of which only the beginning lies end to end in memory: a program sees no more of them than
//! that, unless it asks. What it cannot see it must not let pass (CAP_NET_RAW is enough to send such).

use crate::arp;
use crate::case::{Case, Row, Shot, both, data, everywhere, row, v4, v6, with};
use crate::common::craft::{
    FAMILIES, Family, Ipv4, Payload, SYN, TCP, UDP, echo, icmp, sctp, tcp, udp_with, vlan_tagged,
};
use crate::neighbours;
use crate::wire::Offload;

/// Frames below a page are never split; this is beyond it.
const LONG: usize = 4300;

/// How much of the frame is linear, each in its turn.
const SPLITS: std::ops::RangeInclusive<u16> = 14..=256;

/// And where all headers of a row end before.
const SPLITS_OF_HEADERS: std::ops::RangeInclusive<u16> = 14..=160;

/// The same frame at every split.
fn at_every_split(shot: impl Fn(u16) -> Shot) -> Vec<Shot> {
    split_at(SPLITS, shot)
}

fn split_at(splits: impl Iterator<Item = u16>, shot: impl Fn(u16) -> Shot) -> Vec<Shot> {
    splits
        .map(|linear| {
            shot(linear).offload(Offload {
                linear,
                ..Offload::default()
            })
        })
        .collect()
}

fn long(mut payload: Payload) -> Payload {
    payload.bytes.resize(LONG, 0x5a);
    if payload.protocol == UDP {
        payload.bytes[4..6].copy_from_slice(&(LONG as u16).to_be_bytes());
    }
    payload
}

type Opening = fn(&Case, u16, bool) -> Payload;

/// For each protocol something that is open, and the like that is closed.
const PROTOCOLS: [(&str, Opening); 4] = [
    ("UDP", |_, number, open| {
        udp_with(number, if open { 53 } else { 54 }, &[])
    }),
    ("TCP", |_, number, open| {
        tcp(number, if open { 80 } else { 81 }, SYN)
    }),
    ("SCTP", |_, number, open| {
        sctp(number, if open { 7 } else { 8 })
    }),
    ("ICMP", |c, number, open| {
        let closed = if c.family == Family::V4 { 13 } else { 139 };
        let kind = if open { echo(c.family).0 } else { closed };
        icmp(c.family, kind, 0, number)
    }),
];

/// Without ports, and nothing that a rule allows.
const PORTLESS: [(&str, u8); 4] = [("DCCP", 33), ("GRE", 47), ("ESP", 50), ("UDP-Lite", 136)];

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, payload) in PROTOCOLS {
        let count = SPLITS.end() - SPLITS.start() + 1;
        let open = both(
            &format!("{what}, open, split at every byte"),
            move |c: &Case| {
                at_every_split(|at| c.pass(c.packet(&long(payload(c, c.number + at - 14, true)))))
            },
        );
        rows.extend(open.into_iter().map(|row| row.uses(count)));
        rows.extend(everywhere(
            &format!("{what}, closed, split at every byte"),
            move |c: &Case| closed_at_every_split(c, &payload(c, c.number, false)),
        ));
    }
    for (what, protocol) in PORTLESS {
        rows.extend(both(
            &format!("{what}, closed, split at every byte"),
            move |c: &Case| closed_at_every_split(c, &data(protocol, 8)),
        ));
    }
    hidden(&mut rows);
    rows
}

fn closed_at_every_split(c: &Case, payload: &Payload) -> Vec<Shot> {
    let frame = c.packet(&long(payload.clone()));
    at_every_split(|_| c.drop("policy-default", frame.clone()))
}

/// What is wrong lies behind the split.
fn hidden(rows: &mut Vec<Row>) {
    rows.push(row("another's MAC address", |c| {
        let frame = with(c.packet(&long(c.udp(53))), 6, &crate::cast::Victim.mac());
        split_at(SPLITS_OF_HEADERS, |_| c.drop("source-mac", frame.clone()))
    }));
    rows.push(v4("another's address", |c| {
        let ip = Ipv4 {
            source: crate::cast::Bystander.v4(),
            ..c.v4()
        };
        let frame = c.frame_v4(&ip, &long(c.udp(53)));
        split_at(SPLITS_OF_HEADERS, |_| c.drop("source-ipv4", frame.clone()))
    }));
    rows.push(v6("another's address", |c| {
        let mut ip = c.v6();
        ip.source = crate::cast::Bystander.v6();
        let frame = c.frame_v6(&ip, &long(c.udp(53)));
        split_at(SPLITS_OF_HEADERS, |_| c.drop("source-ipv6", frame.clone()))
    }));
    rows.push(v4("a source route", |c| {
        let mut options = vec![1; 40];
        options[36..].copy_from_slice(&[131, 3, 4, 0]);
        let frame = c.frame_v4(&Ipv4 { options, ..c.v4() }, &long(c.udp(53)));
        split_at(SPLITS_OF_HEADERS, |_| {
            c.drop("ipv4-source-route", frame.clone())
        })
    }));
    rows.push(v4("a closed port behind options", |c| {
        let frame = c.frame_v4(
            &Ipv4 {
                options: vec![1; 40],
                ..c.v4()
            },
            &long(c.udp(54)),
        );
        split_at(SPLITS_OF_HEADERS, |_| {
            c.drop("policy-default", frame.clone())
        })
    }));
    rows.push(v6("a closed port behind six extension headers", |c| {
        let ip = (0..6).fold(c.v6(), |ip, _| {
            ip.with(60, &[0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        });
        let frame = c.frame_v6(&ip, &long(c.udp(54)));
        split_at(SPLITS_OF_HEADERS, |_| {
            c.drop("policy-default", frame.clone())
        })
    }));
    rows.push(v6("a route to elsewhere behind extension headers", |c| {
        let ip = c
            .v6()
            .with(60, &[0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .with(43, &[0; 24]);
        let frame = c.frame_v6(&ip, &long(c.udp(53)));
        split_at(SPLITS_OF_HEADERS, |_| {
            c.drop("ipv6-extension", frame.clone())
        })
    }));
    for family in FAMILIES {
        let shots = |c: &Case| {
            let mut first = long(udp_with(c.number, 54, &[]));
            first.bytes.truncate(4296);
            let frame = c.fragment(0, true, &first);
            split_at(SPLITS_OF_HEADERS, |_| {
                c.drop("policy-default", frame.clone())
            })
        };
        rows.push(match family {
            Family::V4 => v4("a first fragment for a closed port", shots),
            Family::V6 => v6("a first fragment for a closed port", shots),
        });
    }
    rows.push(v4("impossible flags", |c| {
        let frame = c.packet(&long(tcp(c.number, 80, 0)));
        split_at(SPLITS_OF_HEADERS, |_| c.drop("tcp-flags", frame.clone()))
    }));
    rows.push(row("an ARP reply in another's name", |c| {
        let mut frame = with(arp::request(c), 28, &crate::cast::Host.v4().octets());
        frame.resize(LONG, 0);
        split_at(SPLITS_OF_HEADERS, |_| c.drop("arp", frame.clone()))
    }));
    rows.push(row("an ARP request", |c| {
        let mut frame = arp::request(c);
        frame.resize(LONG, 0);
        split_at(SPLITS_OF_HEADERS, |_| c.pass(frame.clone()))
    }));
    rows.push(v6("an advertisement in another's name", |c| {
        let mut frame = with(
            neighbours::own_advertisement(c),
            62,
            &crate::cast::Host.v6().octets(),
        );
        frame.resize(LONG, 0);
        split_at(SPLITS_OF_HEADERS, |_| {
            c.drop("neighbour-discovery", frame.clone())
        })
    }));
    rows.push(row("a tag", |c| {
        let frame = vlan_tagged(&c.packet(&long(c.udp(53))), 0x8100);
        split_at(SPLITS_OF_HEADERS, |_| c.drop("vlan", frame.clone()))
    }));
    rows.push(v4("a header that is longer than the packet", |c| {
        let frame = with(c.packet(&long(c.udp(53))), 16, &[0xff, 0xff]);
        split_at(SPLITS_OF_HEADERS, |_| c.drop("truncated", frame.clone()))
    }));
    rows.push(v4("data of a closed connection", |c| {
        let frame = c.packet(&long(Payload {
            protocol: TCP,
            ..tcp(
                c.number,
                80,
                crate::common::craft::FIN | crate::common::craft::ACK,
            )
        }));
        split_at(SPLITS_OF_HEADERS, |_| c.drop("no-flow", frame.clone()))
    }));
}

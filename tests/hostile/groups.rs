//! What goes to many: groups and broadcasts, and what only pretends to.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::case::{Case, Row, both, row, v4, v6, with};
use crate::cast::{Bystander, Host, Mallory, Outside, Peer, Stranger, Victim};
use crate::common::craft::{BROADCAST, Family, Ipv4, Ipv6, SYN};

/// MAC addresses that more than one listens to.
const GROUP_MACS: [(&str, [u8; 6]); 5] = [
    ("a broadcast", BROADCAST),
    ("an IPv4 group's", [0x01, 0, 0x5e, 0, 0, 1]),
    ("an IPv6 group's", [0x33, 0x33, 0, 0, 0, 1]),
    ("all bridges'", [0x01, 0x80, 0xc2, 0, 0, 0]),
    ("the nearest bridge's", [0x01, 0x80, 0xc2, 0, 0, 0x0e]),
];

const BROADCAST_V4: Ipv4Addr = Ipv4Addr::BROADCAST;
const MDNS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

fn group(c: &Case, port: u16) -> Vec<u8> {
    let payload = c.udp(port);
    match c.family {
        Family::V4 => {
            let ip = Ipv4 {
                destination: MDNS_V4,
                ttl: 255,
                ..c.v4()
            };
            with(c.frame_v4(&ip, &payload), 0, &[0x01, 0, 0x5e, 0, 0, 251])
        }
        Family::V6 => {
            let ip = Ipv6 {
                destination: MDNS_V6,
                hop_limit: 255,
                ..c.v6()
            };
            with(c.frame_v6(&ip, &payload), 0, &[0x33, 0x33, 0, 0, 0, 0xfb])
        }
    }
}

fn broadcast(c: &Case, destination: Ipv4Addr, port: u16) -> Vec<u8> {
    let ip = Ipv4 {
        destination,
        ..c.v4()
    };
    with(c.frame_v4(&ip, &c.udp(port)), 0, &BROADCAST)
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(both("a group, at a port that everybody has open", |c| {
        vec![c.pass(group(c, 53)), c.pass(group(c, 9))]
    }));
    rows.extend(both(
        "a group, at a port that is closed to the sender",
        |c| vec![c.drop("policy-default", group(c, 5353))],
    ));
    rows.extend(both(
        "a group, at a port that is closed to the receiver",
        |c| {
            // The bystander may send everything.
            let other = c.between(Bystander, Victim);
            vec![
                other.drop("policy-default", group(&other, 5353)),
                other.pass(group(&other, 53)),
            ]
        },
    ));
    rows.push(v4("a broadcast, at an open and a closed port", |c| {
        vec![
            c.pass(broadcast(c, BROADCAST_V4, 53)),
            c.drop("policy-default", broadcast(c, BROADCAST_V4, 54)),
        ]
    }));
    rows.extend(both(
        "an answer to a group's question is no answer to the group",
        |c| {
            // Nothing was opened: what comes back is judged as a question of its own.
            let back = c.back();
            let answer = crate::common::craft::udp(53, c.number);
            vec![
                c.pass(group(c, 53)),
                back.drop("policy-default", back.packet(&answer)),
            ]
        },
    ));
    pretending(&mut rows);
    reaching_the_host(&mut rows);
    from_the_link(&mut rows);
    rows
}

/// A packet for one in a frame for many (RFC 1122, 3.3.6): a host that takes it would take it past
/// whoever judged it for many.
fn pretending(rows: &mut Vec<Row>) {
    for (whose, mac) in GROUP_MACS {
        for to in [Victim, Host, Bystander] {
            rows.extend(
                both(
                    &format!("a packet to one in a frame to {whose} address"),
                    move |c| {
                        let lead = |payload| with(c.packet(&payload), 0, &mac);
                        vec![
                            c.drop("address", lead(c.udp(53))),
                            c.drop("address", lead(c.udp(69))),
                            c.drop("address", lead(c.tcp(80, SYN))),
                            c.drop("address", lead(c.ping())),
                        ]
                    },
                )
                .into_iter()
                .map(|row| row.to(to)),
            );
        }
    }
    rows.extend(
        both(
            "a packet to the outside in a broadcast frame is judged, and not forwarded",
            |c| {
                let lead = |payload| with(c.packet(&payload), 0, &BROADCAST);
                vec![
                    c.drop("policy-default", lead(c.udp(54))),
                    c.unwanted(lead(c.udp(53))),
                ]
            },
        )
        .into_iter()
        .map(|row| row.to(Outside)),
    );
    rows.extend(both("a packet to a group in a frame to one", |c| {
        vec![
            c.pass(with(group(c, 53), 0, &Victim.mac())),
            c.drop("policy-default", with(group(c, 5353), 0, &Victim.mac())),
        ]
    }));
}

/// The host listens to groups as well, and its own side has its say.
fn reaching_the_host(rows: &mut Vec<Row>) {
    rows.push(
        row("a broadcast at a port that the host denies", |c| {
            vec![
                c.drop("policy-deny", broadcast(c, BROADCAST_V4, 69)),
                c.drop(
                    "policy-deny",
                    broadcast(c, Ipv4Addr::new(10, 77, 0, 255), 69),
                ),
                c.pass(broadcast(c, BROADCAST_V4, 53)),
            ]
        })
        .to(Host),
    );
    rows.extend(
        both("a group at a port that the host denies", |c| {
            vec![c.drop("policy-deny", group(c, 69)), c.pass(group(c, 53))]
        })
        .into_iter()
        .map(|row| row.to(Host)),
    );
    rows.extend(
        both("to the host itself, at a port that it denies", |c| {
            vec![
                c.drop("policy-deny", c.packet(&c.udp(69))),
                c.pass(c.packet(&c.udp(53))),
            ]
        })
        .into_iter()
        .map(|row| row.to(Host)),
    );
}

fn from_the_link(rows: &mut Vec<Row>) {
    rows.extend(
        both("a group, at an open and a closed port", |c| {
            vec![
                c.pass(group(c, 53)),
                c.drop("policy-default", group(c, 5353)),
            ]
        })
        .into_iter()
        .map(|row| row.from(Stranger)),
    );
    let liars: [(&str, Peer); 2] = [("a container", Mallory), ("the gateway", Host)];
    for (whose, peer) in liars {
        rows.extend(
            both(&format!("a group, in the name of {whose}"), move |c| {
                let lie = c.between(peer, Victim);
                vec![c.drop("source-unproven", with(group(&lie, 53), 6, &Stranger.mac()))]
            })
            .into_iter()
            .map(|row| row.from(Stranger)),
        );
    }
    rows.push(
        v6("a group that is not of this link", |c| {
            let ip = Ipv6 {
                destination: "ff0e::101".parse().expect("an address"),
                ..c.v6()
            };
            let lead = |port| with(c.frame_v6(&ip, &c.udp(port)), 0, &[0x33, 0x33, 0, 0, 1, 1]);
            vec![c.pass(lead(53)), c.drop("policy-default", lead(54))]
        })
        .from(Stranger),
    );
}

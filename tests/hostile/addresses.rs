//! Addresses that must not be on a wire, and those in which another one is embedded.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::case::{Case, Row, both, row, v4, v6};
use crate::cast::{Bystander, Host, Mallory, Outside, Peer, Stranger, Victim};
use crate::common::craft::{Family, Ipv4, Ipv6, SYN, ethernet};

/// What neither sender nor receiver can be (RFC 1122, 3.2.1.3; RFC 6890).
const IMPOSSIBLE_V4: [(&str, [u8; 4]); 7] = [
    ("no address", [0, 0, 0, 0]),
    ("this network's", [0, 1, 2, 3]),
    ("the loopback's", [127, 0, 0, 1]),
    ("the loopback's last", [127, 255, 255, 255]),
    ("the first reserved", [240, 0, 0, 1]),
    ("a reserved", [250, 10, 77, 12]),
    ("the last reserved", [255, 255, 255, 254]),
];

/// And what cannot be a sender only.
const NO_SENDER_V4: [(&str, [u8; 4]); 3] = [
    ("the broadcast", [255, 255, 255, 255]),
    ("a group on the link", [224, 0, 0, 1]),
    ("a group anywhere", [239, 1, 2, 3]),
];

/// RFC 4291, 2.5.2, 2.5.3, 2.5.5 and 2.7.
const IMPOSSIBLE_V6: [(&str, &str); 11] = [
    ("no address", "::"),
    ("the loopback's", "::1"),
    ("the victim's, in the form of old", "::10.77.0.12"),
    ("the loopback's, in the form of old", "::127.0.0.1"),
    ("the victim's, mapped", "::ffff:10.77.0.12"),
    ("a neighbour's, mapped", "::ffff:10.77.0.13"),
    ("the gateway's, mapped", "::ffff:10.77.0.1"),
    ("the loopback's, mapped", "::ffff:127.0.0.1"),
    ("an outside machine's, mapped", "::ffff:192.0.2.2"),
    ("a group of no scope", "ff00::1"),
    ("a group within the interface", "ff01::1"),
];

const NO_SENDER_V6: [(&str, &str); 3] = [
    ("a group on the link", "ff02::1"),
    ("a group anywhere", "ff0e::101"),
    ("a transient group", "ff15::1"),
];

/// Addresses of translators and tunnels (RFC 3056, 4380, 6052, 8215, 5214), with the victim's IPv4
/// address in them: they lead out of the host, and are judged as what they are, the outside.
const EMBEDDED: [(&str, &str); 6] = [
    ("6to4", "2002:0a4d:000c::1"),
    ("Teredo", "2001:0:0a4d:000c:0:ffff:f5b2:fff3"),
    ("NAT64", "64:ff9b::10.77.0.12"),
    ("a local NAT64", "64:ff9b:1::10.77.0.12"),
    ("ISATAP", "2001:db8:1::5efe:10.77.0.12"),
    ("translated (SIIT)", "::ffff:0:10.77.0.12"),
];

fn address<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("an address")
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, bad) in IMPOSSIBLE_V4 {
        rows.extend([
            v4(&format!("to {what}"), move |c| {
                vec![c.drop("address", to_v4(c, bad.into()))]
            }),
            v4(&format!("from {what}"), move |c| {
                vec![c.drop("address", from_v4(c, bad.into()))]
            })
            .from(Stranger),
        ]);
    }
    for (what, bad) in NO_SENDER_V4 {
        let row = v4(&format!("from {what}"), move |c| {
            vec![c.drop("address", from_v4(c, bad.into()))]
        });
        rows.push(row.from(Stranger));
    }
    for (what, bad) in IMPOSSIBLE_V6 {
        let bad: Ipv6Addr = address(bad);
        rows.extend([
            v6(&format!("to {what}"), move |c| {
                vec![c.drop("address", to_v6(c, bad))]
            }),
            v6(&format!("from {what}"), move |c| {
                vec![c.drop("address", from_v6(c, bad))]
            })
            .from(Stranger),
        ]);
    }
    for (what, bad) in NO_SENDER_V6 {
        let bad: Ipv6Addr = address(bad);
        let row = v6(&format!("from {what}"), move |c| {
            vec![c.drop("address", from_v6(c, bad))]
        });
        rows.push(row.from(Stranger));
    }
    to_oneself(&mut rows);
    embedded(&mut rows);
    of_the_host(&mut rows);
    rows
}

fn to_v4(c: &Case, destination: Ipv4Addr) -> Vec<u8> {
    c.frame_v4(
        &Ipv4 {
            destination,
            ..c.v4()
        },
        &c.udp(53),
    )
}

fn from_v4(c: &Case, source: Ipv4Addr) -> Vec<u8> {
    c.frame_v4(&Ipv4 { source, ..c.v4() }, &c.udp(53))
}

fn to_v6(c: &Case, destination: Ipv6Addr) -> Vec<u8> {
    c.frame_v6(
        &Ipv6 {
            destination,
            ..c.v6()
        },
        &c.udp(53),
    )
}

fn from_v6(c: &Case, source: Ipv6Addr) -> Vec<u8> {
    c.frame_v6(&Ipv6 { source, ..c.v6() }, &c.udp(53))
}

fn to_oneself(rows: &mut Vec<Row>) {
    rows.extend(both("to oneself (land)", |c| {
        let own = c.between(Mallory, Mallory);
        let packet = |payload| match c.family {
            Family::V4 => own.frame_v4(&own.v4(), &payload),
            Family::V6 => own.frame_v6(&own.v6(), &payload),
        };
        // The frame leads to the victim: only the packet says otherwise.
        let lead = |frame| crate::case::with(frame, 0, &Victim.mac());
        vec![
            c.drop("address", lead(packet(c.tcp(c.number, SYN)))),
            c.drop("address", lead(packet(c.udp(c.number)))),
            c.drop("address", lead(packet(c.ping()))),
        ]
    }));
}

fn embedded(rows: &mut Vec<Row>) {
    for (what, text) in EMBEDDED {
        let destination: Ipv6Addr = address(text);
        // Port 67 is open at the victim, and closed to the outside.
        rows.push(v6(
            &format!("the victim's address within {what}, to the gateway"),
            move |c| {
                let ip = Ipv6 {
                    destination,
                    ..c.v6()
                };
                let packet = ip.carry(&c.udp(67));
                let frame = ethernet(c.from.mac(), Host.mac(), 0x86dd, &packet);
                vec![c.drop("policy-default", frame)]
            },
        ));
        rows.push(v6(
            &format!("the attacker's address within {what} is not the attacker"),
            move |c| {
                let source: Ipv6Addr = address(&text.replace("000c", "000b").replace(".12", ".11"));
                vec![c.drop("source-ipv6", from_v6(c, source))]
            },
        ));
    }
}

/// The host has many addresses; none is anybody else's, and none opens more than the host does.
fn of_the_host(rows: &mut Vec<Row>) {
    let mine: [(&str, Peer); 2] = [
        ("to the gateway's address", Host),
        ("to a neighbour's address", Bystander),
    ];
    for (what, peer) in mine {
        rows.extend(both(&format!("{what}, in the victim's frame"), move |c| {
            let other = c.between(Mallory, peer);
            let frame = crate::case::with(other.packet(&c.udp(53)), 0, &Victim.mac());
            // To the neighbour it was judged for the neighbour; to the host it was not judged for
            // anybody on the bridge, and so is judged again as what it is: for the victim.
            match peer {
                Bystander => vec![c.drop("mark", frame)],
                _ => vec![c.pass(frame)],
            }
        }));
    }
    rows.extend(both(
        "to the gateway's address, in the victim's frame, at a port the victim has closed",
        |c| {
            let other = c.between(Mallory, Host);
            let frame = crate::case::with(other.packet(&c.tcp(8080, SYN)), 0, &Victim.mac());
            vec![c.drop("policy-default", frame)]
        },
    ));
    rows.push(
        row("the host's uplink address is the host", |c| {
            let ip = Ipv4 {
                destination: Ipv4Addr::new(192, 0, 2, 1),
                ..c.v4()
            };
            vec![
                c.pass(c.frame_v4(&ip, &c.udp(53))),
                c.drop("policy-deny", c.frame_v4(&ip, &c.udp(69))),
            ]
        })
        .to(Host),
    );
    rows.extend(
        both(
            "the victim's address by way of the gateway is the victim",
            |c| {
                let victim = c.between(Mallory, Victim);
                let by_gateway =
                    |payload| crate::case::with(victim.packet(&payload), 0, &Host.mac());
                vec![
                    c.between(Mallory, Outside)
                        .drop("policy-default", by_gateway(c.udp(54))),
                    c.between(Mallory, Outside)
                        .drop("policy-default", by_gateway(c.tcp(8080, SYN))),
                ]
            },
        )
        .into_iter()
        .map(|row| row.to(Host)),
    );
}

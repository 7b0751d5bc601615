//! TCP: what opens a connection, what cannot, and what cannot end it.

use crate::case::{Case, Row, both, cut, everywhere, row, v4, with};
use crate::cast::{Bystander, Mallory, Outside, Stranger, Victim};
use crate::common::craft::{ACK, FIN, Family, PSH, RST, SYN, URG, tcp};

const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// What no connection ever sends.
const IMPOSSIBLE: [(&str, u8); 14] = [
    ("null", 0),
    ("FIN alone", FIN),
    ("PSH alone", PSH),
    ("URG alone", URG),
    ("xmas", FIN | PSH | URG),
    ("everything", 0xff),
    ("SYN and FIN", SYN | FIN),
    ("SYN and RST", SYN | RST),
    ("SYN, FIN and ACK", SYN | FIN | ACK),
    ("SYN, RST and ACK", SYN | RST | ACK),
    ("RST and FIN", RST | FIN),
    ("RST, FIN and ACK", RST | FIN | ACK),
    ("RST and URG", RST | URG),
    ("congestion flags alone", ECE | CWR),
];

/// What belongs to a connection that is there, or to none.
const ONLY_LATER: [(&str, u8); 6] = [
    ("RST", RST),
    ("RST and ACK", RST | ACK),
    ("FIN and ACK", FIN | ACK),
    ("FIN, PSH and ACK", FIN | PSH | ACK),
    ("SYN and ACK", SYN | ACK),
    ("SYN, ACK and ECE", SYN | ACK | ECE),
];

/// What may come first where a rule allows the port.
const FIRST: [(&str, u8); 7] = [
    ("SYN", SYN),
    ("SYN with congestion flags", SYN | ECE | CWR),
    ("SYN and PSH", SYN | PSH),
    ("SYN and URG", SYN | URG),
    ("ACK, of a connection that is older than the firewall", ACK),
    ("data of such a connection", ACK | PSH),
    ("urgent data of such a connection", ACK | URG),
];

fn segment(c: &Case, port: u16, flags: u8) -> Vec<u8> {
    c.packet(&c.tcp(port, flags))
}

fn answer(c: &Case, port: u16, flags: u8) -> Vec<u8> {
    c.back().packet(&tcp(port, c.number, flags))
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, flags) in IMPOSSIBLE {
        rows.extend(everywhere(&format!("{what}, first"), move |c| {
            vec![
                c.drop("tcp-flags", segment(c, 80, flags)),
                c.drop("tcp-flags", segment(c, 81, flags)),
            ]
        }));
        rows.extend(both(&format!("{what}, in a live connection"), move |c| {
            vec![
                c.pass(segment(c, 80, SYN)),
                c.drop("tcp-flags", segment(c, 80, flags)),
                c.pass(segment(c, 80, ACK)),
            ]
        }));
    }
    for (what, flags) in ONLY_LATER {
        rows.extend(everywhere(&format!("{what}, first"), move |c| {
            vec![
                c.drop("no-flow", segment(c, 80, flags)),
                c.drop("no-flow", segment(c, 81, flags)),
            ]
        }));
    }
    for (what, flags) in FIRST {
        rows.extend(everywhere(&format!("{what}, first"), move |c| {
            vec![
                c.pass(segment(c, 80, flags)),
                c.nth(1)
                    .drop("policy-default", segment(&c.nth(1), 81, flags)),
            ]
        }));
    }
    headers(&mut rows);
    connections(&mut rows);
    resets(&mut rows);
    rows
}

fn headers(rows: &mut Vec<Row>) {
    for length in [0, 1, 4, 8, 13, 19] {
        rows.extend(everywhere(
            &format!("{length} bytes of a header"),
            move |c| {
                // A packet of no payload is not even IPv6.
                let reason = if length == 0 && c.family == Family::V6 {
                    "ipv6-header"
                } else {
                    "l4-header"
                };
                vec![c.drop(reason, c.packet(&cut(c.syn(80), length)))]
            },
        ));
    }
    for words in [0_u8, 1, 4] {
        rows.extend(everywhere(
            &format!("a header of {words} words"),
            move |c| {
                let mut payload = c.syn(80);
                payload.bytes[12] = words << 4;
                vec![c.drop("l4-header", c.packet(&payload))]
            },
        ));
    }
    rows.extend(everywhere("a header longer than its packet", |c| {
        let mut payload = c.syn(80);
        payload.bytes[12] = 0xf0;
        let mut nearly = payload.clone();
        nearly.bytes.resize(59, 1);
        vec![
            c.drop("l4-header", c.packet(&payload)),
            c.drop("l4-header", c.packet(&nearly)),
        ]
    }));
    rows.extend(everywhere(
        "a header with all options there is room for",
        |c| {
            let mut payload = c.syn(80);
            payload.bytes[12] = 0xf0;
            payload.bytes.resize(60, 1);
            vec![c.pass(c.packet(&payload))]
        },
    ));
    rows.extend(everywhere("a first segment with data", |c| {
        let mut payload = c.syn(80);
        payload.bytes.extend([0x5a; 500]);
        let mut closed = payload.clone();
        closed.bytes[3] = 81;
        vec![
            c.pass(c.packet(&payload)),
            c.drop("policy-default", c.packet(&closed)),
        ]
    }));
    rows.extend(everywhere("port 0", |c| {
        vec![
            c.drop("policy-default", segment(c, 0, SYN)),
            c.pass(c.packet(&tcp(0, 80, SYN))),
        ]
    }));
    rows.push(v4("reserved bits say nothing", |c| {
        vec![c.pass(with(segment(c, 80, SYN), 34 + 12, &[0x5f]))]
    }));
}

fn connections(rows: &mut Vec<Row>) {
    rows.extend(both(
        "a whole connection, and a new one between the same ports",
        |c| {
            let back = c.back();
            vec![
                c.pass(segment(c, 80, SYN)),
                back.pass(answer(c, 80, SYN | ACK)),
                c.pass(segment(c, 80, ACK)),
                back.pass(answer(c, 80, ACK | PSH)),
                c.pass(segment(c, 80, FIN | ACK)),
                back.pass(answer(c, 80, FIN | ACK)),
                c.pass(segment(c, 80, ACK)),
                c.pass(segment(c, 80, SYN)),
                back.pass(answer(c, 80, SYN | ACK)),
            ]
        },
    ));
    rows.extend(both(
        "a closed connection does not let its other end open one",
        |c| {
            let back = c.back();
            vec![
                c.pass(segment(c, 80, SYN)),
                back.pass(answer(c, 80, SYN | ACK)),
                c.pass(segment(c, 80, FIN | ACK)),
                back.pass(answer(c, 80, FIN | ACK)),
                back.drop("policy-default", answer(c, 80, SYN)),
            ]
        },
    ));
    rows.extend(both(
        "a reset connection does not let its other end open one",
        |c| {
            let back = c.back();
            vec![
                c.pass(segment(c, 80, SYN)),
                back.pass(answer(c, 80, SYN | ACK)),
                back.pass(answer(c, 80, RST)),
                back.drop("policy-default", answer(c, 80, SYN)),
            ]
        },
    ));
    rows.extend(both(
        "a live connection does not let its other end open one",
        |c| {
            let back = c.back();
            vec![
                c.pass(segment(c, 80, SYN)),
                back.drop("policy-default", answer(c, 80, SYN)),
                back.pass(answer(c, 80, SYN | ACK)),
                back.drop("policy-default", answer(c, 80, SYN)),
                back.pass(answer(c, 80, ACK)),
            ]
        },
    ));
    rows.extend(both(
        "both ends open at once, and the rules allow only one",
        |c| {
            let back = c.back();
            vec![
                back.drop("policy-default", answer(c, 80, SYN)),
                c.pass(segment(c, 80, SYN)),
                back.drop("policy-default", answer(c, 80, SYN)),
            ]
        },
    ));
    // Between ports that are open at both ends, and that no other row's connection has.
    rows.extend(both(
        "both ends open at once, and the rules allow both",
        |c| {
            let [a, b] = [c.between(Bystander, Victim), c.between(Victim, Bystander)];
            let segment = |c: &Case, flags| c.pass(c.packet(&tcp(80, 80, flags)));
            vec![
                segment(&a, SYN),
                segment(&b, SYN),
                segment(&a, SYN | ACK),
                segment(&b, SYN | ACK),
                segment(&a, ACK | PSH),
                segment(&b, ACK | PSH),
            ]
        },
    ));
    rows.extend(both("an answer from another port", |c| {
        let back = c.back();
        let other = back.packet(&tcp(81, c.number, SYN | ACK));
        let data = back.packet(&tcp(81, c.number, ACK));
        vec![
            c.pass(segment(c, 80, SYN)),
            back.drop("no-flow", other),
            back.drop("policy-default", data),
        ]
    }));
    rows.extend(both("an answer from somebody else", |c| {
        let other = c.between(Bystander, Mallory);
        vec![
            c.pass(segment(c, 80, SYN)),
            other.drop("no-flow", other.packet(&tcp(80, c.number, SYN | ACK))),
            other.drop("policy-default", other.packet(&tcp(80, c.number, ACK))),
        ]
    }));
    rows.extend(both("an answer where none was asked for", |c| {
        let back = c.back();
        vec![
            back.drop("no-flow", answer(c, 80, SYN | ACK)),
            back.drop("policy-default", answer(c, 80, ACK)),
        ]
    }));
    rows.extend(
        both("a connection to the outside", |c| {
            let back = c.back();
            vec![
                c.pass(segment(c, 80, SYN)),
                back.pass(answer(c, 80, SYN | ACK)),
                c.pass(segment(c, 80, ACK)),
                back.drop("policy-default", answer(c, 80, SYN)),
                c.drop("policy-default", segment(c, 81, SYN)),
            ]
        })
        .into_iter()
        .map(|row| row.to(Outside)),
    );
}

/// Why a lie is refused: what can open nothing does not even get as far as being a lie.
fn unproven(flags: u8) -> &'static str {
    if flags == SYN {
        "source-unproven"
    } else {
        "no-flow"
    }
}

/// Nobody who has no part in a connection ends it.
fn resets(rows: &mut Vec<Row>) {
    for flags in [RST, RST | ACK, FIN | ACK, SYN] {
        rows.extend(both(
            &format!("flags {flags:#04x} into others' connection, by a container"),
            move |c| {
                let reason = if c.family == Family::V4 {
                    "source-ipv4"
                } else {
                    "source-ipv6"
                };
                let forger = c.between(Bystander, Victim);
                let forged = with(segment(c, 80, flags), 6, &Bystander.mac());
                vec![
                    c.pass(segment(c, 80, SYN)),
                    c.back().pass(answer(c, 80, SYN | ACK)),
                    forger.drop(reason, forged),
                    c.pass(segment(c, 80, ACK)),
                    c.back().pass(answer(c, 80, ACK)),
                ]
            },
        ));
        rows.extend(both(
            &format!("flags {flags:#04x} into others' connection, by a machine on the link"),
            move |c| {
                let forger = c.between(Stranger, Victim);
                let forged = with(segment(c, 80, flags), 6, &Stranger.mac());
                vec![
                    c.pass(segment(c, 80, SYN)),
                    c.back().pass(answer(c, 80, SYN | ACK)),
                    forger.drop(unproven(flags), forged),
                    c.pass(segment(c, 80, ACK)),
                    c.back().pass(answer(c, 80, ACK)),
                ]
            },
        ));
        rows.extend(both(
            &format!("flags {flags:#04x} into others' connection, by a machine outside"),
            move |c| {
                let forger = c.between(Outside, Victim);
                let forged = with(
                    segment(c, 80, flags),
                    0,
                    &[&crate::cast::UPLINK_MAC[..], &Outside.mac()].concat(),
                );
                vec![
                    c.pass(segment(c, 80, SYN)),
                    c.back().pass(answer(c, 80, SYN | ACK)),
                    forger.drop(unproven(flags), forged),
                    c.pass(segment(c, 80, ACK)),
                    c.back().pass(answer(c, 80, ACK)),
                ]
            },
        ));
    }
    rows.extend(
        both(
            "a blind RST in the outside peer's name, while the connection lives on",
            |c| {
                // Its numbers are the receiver's to check (RFC 5961): what matters is that the connection
                // passes as before.
                let back = c.back();
                vec![
                    c.pass(segment(c, 80, SYN)),
                    back.pass(answer(c, 80, SYN | ACK)),
                    back.pass(answer(c, 80, RST)),
                    c.pass(segment(c, 80, ACK)),
                    back.pass(answer(c, 80, ACK)),
                ]
            },
        )
        .into_iter()
        .map(|row| row.to(Outside)),
    );
    rows.push(row("a segment of TCP in IPv6's clothes", |c| {
        vec![c.drop(
            "source-ipv6",
            c.ethernet(0x86dd, &c.v4().carry(&crate::case::data(6, 40))),
        )]
    }));
}

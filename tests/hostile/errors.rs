//! ICMP errors: one passes without a rule if the packet it quotes belongs to a live connection of its
//! receiver, and if whoever sends it can have seen that packet.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::case::{Case, Row, both, cut, v4, v6, with};
use crate::cast::{Bystander, Host, Mallory, Outside, Peer, Stranger, Victim};
use crate::common::craft::{
    ACK, Family, Ipv4, Ipv6, Payload, SYN, echo, icmp, icmp_error, sctp, tcp, udp, udp_with,
};

/// Errors with their codes: those that path MTU discovery and honest hosts need.
fn kinds(family: Family) -> Vec<(u8, u8)> {
    match family {
        Family::V4 => vec![
            (3, 0),
            (3, 1),
            (3, 3),
            (3, 4),
            (3, 13),
            (11, 0),
            (11, 1),
            (12, 0),
        ],
        Family::V6 => vec![
            (1, 0),
            (1, 1),
            (1, 4),
            (2, 0),
            (3, 0),
            (3, 1),
            (4, 0),
            (4, 1),
        ],
    }
}

/// "Nobody listens at that port."
fn unreachable(family: Family) -> (u8, u8) {
    match family {
        Family::V4 => (3, 3),
        Family::V6 => (1, 4),
    }
}

/// An error about a frame.
fn about(c: &Case, quoted: &[u8]) -> Vec<u8> {
    let (kind, code) = unreachable(c.family);
    c.packet(&icmp_error(c.family, kind, code, quoted))
}

/// An error about a part of a packet.
fn about_part(c: &Case, quoted: &[u8], length: usize) -> Vec<u8> {
    about(c, &quoted[..14 + length])
}

/// The first packet of a connection to the open port.
fn question(c: &Case) -> Vec<u8> {
    c.packet(&udp_with(c.number, 53, b"a question, and not a short one"))
}

fn header(family: Family) -> usize {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    genuine(&mut rows);
    from_somebody_else(&mut rows);
    about_nothing(&mut rows);
    malformed(&mut rows);
    from_the_way(&mut rows);
    rows
}

fn genuine(rows: &mut Vec<Row>) {
    rows.extend(both("every kind of error from the peer", |c| {
        let asked = question(c);
        let back = c.back();
        let mut shots = vec![c.pass(asked.clone())];
        for (kind, code) in kinds(c.family) {
            shots.push(back.pass(back.packet(&icmp_error(c.family, kind, code, &asked))));
        }
        shots
    }));
    rows.extend(both("an error that quotes no more than it must", |c| {
        let asked = question(c);
        let back = c.back();
        let least = header(c.family) + 8;
        vec![
            c.pass(asked.clone()),
            back.pass(about_part(&back, &asked, least)),
        ]
    }));
    type Opening = fn(&Case) -> Payload;
    let openings: [(&str, Opening); 3] = [
        ("TCP", |c| tcp(c.number, 80, SYN)),
        ("SCTP", |c| sctp(c.number, 7)),
        ("an echo request", |c| c.ping()),
    ];
    for (what, payload) in openings {
        rows.extend(both(&format!("an error about {what}"), move |c| {
            let asked = c.packet(&payload(c));
            let back = c.back();
            vec![c.pass(asked.clone()), back.pass(about(&back, &asked))]
        }));
    }
    rows.extend(both("an error about an answer", |c| {
        let back = c.back();
        let answer = back.packet(&udp(53, c.number));
        vec![
            c.pass(question(c)),
            back.pass(answer.clone()),
            c.pass(about(c, &answer)),
        ]
    }));
    rows.push(v4("an error about a packet with options", |c| {
        let ip = Ipv4 {
            options: vec![1; 8],
            ..c.v4()
        };
        let asked = c.frame_v4(&ip, &c.udp(53));
        let back = c.back();
        vec![c.pass(asked.clone()), back.pass(about(&back, &asked))]
    }));
    rows.push(v6("an error about a packet with extension headers", |c| {
        let ip = c.v6().with(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
        let asked = c.frame_v6(&ip, &c.udp(53));
        let back = c.back();
        vec![c.pass(asked.clone()), back.pass(about(&back, &asked))]
    }));
    rows.extend(
        both("an error from the outside peer", |c| {
            let asked = question(c);
            let back = c.back();
            vec![c.pass(asked.clone()), back.pass(about(&back, &asked))]
        })
        .into_iter()
        .map(|row| row.to(Outside)),
    );
}

/// An error about somebody's connection, by who has no part in it.
fn forged(what: &str, by: Peer, reason: &'static str) -> Vec<Row> {
    both(what, move |c| {
        let asked = question(c);
        let forger = c.between(by, c.from);
        let victim = c.between(by, c.to);
        let answer = c.back().packet(&udp(53, c.number));
        vec![
            c.pass(asked.clone()),
            forger.drop(reason, about(&forger, &asked)),
            victim.drop(reason, about(&victim, &answer)),
        ]
    })
}

fn from_somebody_else(rows: &mut Vec<Row>) {
    rows.extend(forged(
        "an error about others' connection, by a container",
        Bystander,
        "policy-default",
    ));
    rows.extend(forged(
        "an error about a connection on the bridge, by a machine on the link",
        Stranger,
        "policy-default",
    ));
    rows.extend(forged(
        "an error about a connection on the bridge, by a machine outside",
        Outside,
        "policy-default",
    ));
    rows.extend(both(
        "an error about one's own connection, to somebody else",
        |c| {
            let asked = question(c);
            let other = c.between(Victim, Bystander);
            vec![
                c.pass(asked.clone()),
                other.drop("icmp-error", about(&other, &asked)),
            ]
        },
    ));
    rows.extend(both("an error in another's name", |c| {
        let asked = question(c);
        let reason = if c.family == Family::V4 {
            "source-ipv4"
        } else {
            "source-ipv6"
        };
        let lie = with(about(&c.back(), &asked), 6, &Bystander.mac());
        let liar = c.between(Bystander, Mallory);
        vec![c.pass(asked), liar.drop(reason, lie)]
    }));
    rows.extend(both(
        "an error about a connection with the outside, by another container",
        |c| {
            let opener = c.between(Mallory, Outside);
            let asked = question(&opener);
            let forger = c.between(Bystander, Mallory);
            vec![
                opener.pass(asked.clone()),
                forger.drop("policy-default", about(&forger, &asked)),
            ]
        },
    ));
    rows.extend(both(
        "an error about a connection with the host, by a machine on the link",
        |c| {
            let opener = c.between(Mallory, Host);
            let asked = question(&opener);
            let forger = c.between(Stranger, Mallory);
            vec![
                opener.pass(asked.clone()),
                forger.drop("policy-default", about(&forger, &asked)),
            ]
        },
    ));
}

fn about_nothing(rows: &mut Vec<Row>) {
    rows.extend(both("an error about nothing that was sent", |c| {
        let never = c.back().packet(&udp_with(53, c.number, &[0; 16]));
        vec![c.drop("policy-default", about(c, &never))]
    }));
    rows.extend(both("an error about another port of the same two", |c| {
        let back = c.back();
        let other = c.packet(&udp(c.number + 1, 53));
        let closed = c.packet(&udp(c.number, 54));
        vec![
            c.pass(question(c)),
            back.drop("policy-default", about(&back, &other)),
            back.drop("policy-default", about(&back, &closed)),
        ]
    }));
    rows.extend(both(
        "an error about another protocol of the same ports",
        |c| {
            let back = c.back();
            vec![
                c.pass(question(c)),
                back.drop(
                    "policy-default",
                    about(&back, &c.packet(&tcp(c.number, 53, ACK))),
                ),
            ]
        },
    ));
    rows.extend(both("an error about another echo", |c| {
        let back = c.back();
        let other = icmp(c.family, echo(c.family).0, 0, c.number + 1);
        vec![
            c.pass(c.packet(&c.ping())),
            back.drop("policy-default", about(&back, &c.packet(&other))),
        ]
    }));
    rows.extend(both("an error in the wrong direction", |c| {
        // To the one who did not send what is quoted.
        let asked = question(c);
        vec![
            c.pass(asked.clone()),
            c.drop("icmp-error", about(c, &asked)),
        ]
    }));
    rows.extend(both("an error about a packet that was refused", |c| {
        let back = c.back();
        let refused = c.packet(&c.udp(54));
        vec![
            c.drop("policy-default", refused.clone()),
            back.drop("policy-default", about(&back, &refused)),
        ]
    }));
    rows.extend(both("messages that quote, but are no errors", |c| {
        let quoted = c.back().packet(&udp_with(53, c.number, &[0; 16]));
        let kinds: &[u8] = if c.family == Family::V4 {
            &[4, 30, 40, 42]
        } else {
            &[5, 100, 127, 200]
        };
        kinds
            .iter()
            .map(|kind| {
                c.drop(
                    "policy-default",
                    c.packet(&icmp_error(c.family, *kind, 0, &quoted)),
                )
            })
            .collect()
    }));
}

fn malformed(rows: &mut Vec<Row>) {
    rows.extend(both("an error that quotes nothing", |c| {
        let asked = question(c);
        let back = c.back();
        vec![
            c.pass(asked.clone()),
            back.drop("icmp-error", about_part(&back, &asked, 0)),
        ]
    }));
    for missing in [1, 4, 7, 8] {
        rows.extend(both(
            &format!("a quotation without {missing} bytes of what it must hold"),
            move |c| {
                let asked = question(c);
                let back = c.back();
                let length = header(c.family) + 8 - missing;
                vec![
                    c.pass(asked.clone()),
                    back.drop("icmp-error", about_part(&back, &asked, length)),
                ]
            },
        ));
    }
    rows.extend(both("a quotation that ends within its IP header", |c| {
        let asked = question(c);
        let back = c.back();
        vec![
            c.pass(asked.clone()),
            back.drop(
                "icmp-error",
                about_part(&back, &asked, header(c.family) - 1),
            ),
            back.drop("icmp-error", about_part(&back, &asked, 1)),
        ]
    }));
    rows.extend(both("a quotation that lies in the padding", |c| {
        let asked = question(c);
        let back = c.back();
        let whole = about(&back, &asked);
        let short = about_part(&back, &asked, 0);
        let padded = [&short[..], &whole[short.len()..]].concat();
        vec![c.pass(asked), back.drop("icmp-error", padded)]
    }));
    rows.extend(both(
        "a quotation of which the ports lie in the padding",
        |c| {
            let asked = question(c);
            let back = c.back();
            let whole = about(&back, &asked);
            let short = about_part(&back, &asked, header(c.family));
            let padded = [&short[..], &whole[short.len()..]].concat();
            vec![c.pass(asked), back.drop("icmp-error", padded)]
        },
    ));
    rows.extend(both("an error about an error", |c| {
        let asked = question(c);
        let back = c.back();
        let error = about(&back, &asked);
        vec![
            c.pass(asked),
            back.pass(error.clone()),
            c.drop("icmp-error", about(c, &error)),
        ]
    }));
    rows.extend(both("an error about a later fragment", |c| {
        let part = c.fragment(64, false, &udp_with(c.number, 53, &[0; 16]));
        let back = c.back();
        vec![
            c.pass(question(c)),
            back.drop("icmp-error", about(&back, &part)),
        ]
    }));
    rows.extend(both("an error about a packet of the other family", |c| {
        let asked = question(c);
        let back = c.back();
        let other = match c.family {
            Family::V4 => c.frame_v6(&c.v6(), &c.udp(53)),
            Family::V6 => c.frame_v4(&c.v4(), &c.udp(53)),
        };
        vec![c.pass(asked), back.drop("icmp-error", about(&back, &other))]
    }));
    rows.extend(both(
        "an error about a packet with a malformed header",
        |c| {
            let asked = question(c);
            let back = c.back();
            let broken = |byte| with(asked.clone(), 14, &[byte]);
            vec![
                c.pass(asked.clone()),
                back.drop("icmp-error", about(&back, &broken(0x55))),
                back.drop(
                    "icmp-error",
                    about(
                        &back,
                        &broken(if c.family == Family::V4 { 0x44 } else { 0x40 }),
                    ),
                ),
            ]
        },
    ));
    rows.push(v4("an error about a packet with a source route", |c| {
        let ip = Ipv4 {
            options: vec![131, 3, 4, 0],
            ..c.v4()
        };
        let back = c.back();
        vec![
            c.pass(question(c)),
            back.drop("icmp-error", about(&back, &c.frame_v4(&ip, &c.udp(53)))),
        ]
    }));
    rows.push(v6(
        "an error about a packet with headers that nobody reads",
        |c| {
            let back = c.back();
            let odd = c.frame_v6(&c.v6().with(253, &[0, 0, 1, 4, 0, 0, 0, 0]), &c.udp(53));
            vec![
                c.pass(question(c)),
                back.drop("icmp-error", about(&back, &odd)),
            ]
        },
    ));
    rows.extend(both("half an ICMP header", |c| {
        let mut error = icmp_error(c.family, unreachable(c.family).0, 0, &question(&c.back()));
        error = cut(error, 7);
        vec![c.drop("l4-header", c.packet(&error))]
    }));
}

/// Routers between the host and the outside: any address may be one.
fn from_the_way(rows: &mut Vec<Row>) {
    let by_router = |c: &Case, quoted: &[u8], to: Peer| {
        let (kind, code) = match c.family {
            Family::V4 => (3, 4),
            Family::V6 => (2, 0),
        };
        let error = icmp_error(c.family, kind, code, quoted);
        let back = c.between(Outside, to);
        match c.family {
            Family::V4 => back.frame_v4(
                &Ipv4 {
                    source: Ipv4Addr::new(198, 51, 100, 1),
                    ..back.v4()
                },
                &error,
            ),
            Family::V6 => {
                let source = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 1);
                back.frame_v6(
                    &Ipv6 {
                        source,
                        ..back.v6()
                    },
                    &error,
                )
            }
        }
    };
    rows.extend(
        both("\"too big\" from a router on the way", move |c| {
            let asked = question(c);
            let back = c.back();
            vec![
                c.pass(asked.clone()),
                back.pass(by_router(c, &asked, Mallory)),
            ]
        })
        .into_iter()
        .map(|row| row.to(Outside)),
    );
    rows.extend(
        both("\"too big\" from a router, about TCP", move |c| {
            let asked = c.packet(&c.syn(80));
            let back = c.back();
            vec![
                c.pass(asked.clone()),
                back.pass(by_router(c, &asked, Mallory)),
            ]
        })
        .into_iter()
        .map(|row| row.to(Outside)),
    );
    rows.extend(
        both(
            "\"too big\" from a router, about nothing that was sent",
            move |c| {
                let never = c.packet(&udp_with(c.number, 53, &[0; 16]));
                let back = c.back();
                vec![back.drop("policy-default", by_router(c, &never, Mallory))]
            },
        )
        .into_iter()
        .map(|row| row.to(Outside)),
    );
    rows.extend(
        both(
            "\"too big\" from a router, about somebody else's connection",
            move |c| {
                let asked = question(c);
                let other = c.between(Outside, Bystander);
                vec![
                    c.pass(asked.clone()),
                    other.drop("icmp-error", by_router(c, &asked, Bystander)),
                ]
            },
        )
        .into_iter()
        .map(|row| row.to(Outside)),
    );
    rows.extend(
        both(
            "\"too big\" from a router, about a connection that never left the host",
            move |c| {
                let inner = c.between(Mallory, Victim);
                let asked = question(&inner);
                let back = c.back();
                vec![
                    inner.pass(asked.clone()),
                    back.drop("policy-default", by_router(c, &asked, Mallory)),
                ]
            },
        )
        .into_iter()
        .map(|row| row.to(Outside)),
    );
}

//! IPv6 extension headers: what cannot be read cannot be judged.

use crate::case::{Case, Row, cut, data, either_side, v6, with};
use crate::common::craft::{Family, Ipv6, UDP};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const NO_NEXT: u8 = 59;
const OPTIONS: u8 = 60;

/// 8 bytes of padding, as options.
const PAD: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

/// Puts extension headers behind a header.
type Chain = fn(Ipv6) -> Ipv6;

/// Chains that are understood: the ports behind them are found.
fn readable() -> Vec<(&'static str, Chain)> {
    vec![
        ("hop-by-hop options", |ip| ip.with(HOP_BY_HOP, &PAD)),
        ("destination options", |ip| ip.with(OPTIONS, &PAD)),
        ("an option that nobody knows", |ip| {
            ip.with(OPTIONS, &[0, 0, 0x1e, 4, 1, 2, 3, 4])
        }),
        ("a tunnel limit", |ip| {
            ip.with(OPTIONS, &[0, 0, 4, 1, 0, 1, 1, 0])
        }),
        ("a router alert", |ip| {
            ip.with(HOP_BY_HOP, &[0, 0, 5, 2, 0, 0, 1, 0])
        }),
        ("400 bytes of options", |ip| {
            ip.with(OPTIONS, &long_options(400))
        }),
        ("a finished route of type 2", |ip| {
            ip.with(ROUTING, &[0, 0, 2, 0, 0, 0, 0, 0])
        }),
        ("a finished route of type 3", |ip| {
            ip.with(ROUTING, &[0, 0, 3, 0, 0, 0, 0, 0])
        }),
        ("a finished route of type 4", |ip| {
            ip.with(ROUTING, &[0, 0, 4, 0, 0, 0, 0, 0])
        }),
        ("an authentication header", |ip| {
            ip.with(
                AUTHENTICATION,
                &[0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1],
            )
        }),
        ("hop-by-hop and destination options", |ip| {
            ip.with(HOP_BY_HOP, &PAD).with(OPTIONS, &PAD)
        }),
        ("six headers", |ip| {
            (0..6).fold(ip, |ip, _| ip.with(OPTIONS, &PAD))
        }),
        ("options before and behind a finished route", |ip| {
            ip.with(OPTIONS, &PAD)
                .with(ROUTING, &[0, 0, 2, 0, 0, 0, 0, 0])
                .with(OPTIONS, &PAD)
        }),
    ]
}

/// Chains that are not, or that lead elsewhere than the header says.
fn refused() -> Vec<(&'static str, Chain)> {
    vec![
        ("hop-by-hop in second place", |ip| {
            ip.with(OPTIONS, &PAD).with(HOP_BY_HOP, &PAD)
        }),
        ("hop-by-hop twice", |ip| {
            ip.with(HOP_BY_HOP, &PAD).with(HOP_BY_HOP, &PAD)
        }),
        ("hop-by-hop behind a fragment header", |ip| {
            ip.fragment(1, 0, false).with(HOP_BY_HOP, &PAD)
        }),
        ("routing header 0, finished", |ip| ip.with(ROUTING, &[0; 8])),
        ("routing header 0", |ip| ip.with(ROUTING, &route(0, 1))),
        ("a route of type 2 with a stop left", |ip| {
            ip.with(ROUTING, &route(2, 1))
        }),
        ("a route of type 3 with a stop left", |ip| {
            ip.with(ROUTING, &route(3, 1))
        }),
        ("a route of type 4 with a stop left", |ip| {
            ip.with(ROUTING, &route(4, 1))
        }),
        ("a route of no known type with stops left", |ip| {
            ip.with(ROUTING, &route(200, 255))
        }),
        ("routing header 0 behind options", |ip| {
            ip.with(OPTIONS, &PAD).with(ROUTING, &route(0, 1))
        }),
        ("a mobility header", |ip| ip.with(135, &PAD)),
        ("a host identity header", |ip| ip.with(139, &PAD)),
        ("a shim6 header", |ip| ip.with(140, &PAD)),
        ("an experiment, 253", |ip| ip.with(253, &PAD)),
        ("an experiment, 254", |ip| ip.with(254, &PAD)),
        ("an experiment behind options", |ip| {
            ip.with(OPTIONS, &PAD).with(253, &PAD)
        }),
        ("seven headers", |ip| {
            (0..7).fold(ip, |ip, _| ip.with(OPTIONS, &PAD))
        }),
        ("a hundred headers", |ip| {
            (0..100).fold(ip, |ip, _| ip.with(OPTIONS, &PAD))
        }),
        ("headers that begin beyond what is read", |ip| {
            ip.with(OPTIONS, &long_options(480)).with(OPTIONS, &PAD)
        }),
    ]
}

/// A routing header with one stop.
fn route(kind: u8, left: u8) -> [u8; 24] {
    let mut header = [0; 24];
    header[1..4].copy_from_slice(&[2, kind, left]);
    header
}

/// Options of so many bytes in all: padding of up to 255 bytes each.
fn long_options(length: usize) -> Vec<u8> {
    let mut bytes = vec![0, (length / 8 - 1) as u8];
    while bytes.len() < length {
        let room = (length - bytes.len()).min(200);
        if room == 1 {
            bytes.push(0);
        } else {
            bytes.extend([1, (room - 2) as u8]);
            bytes.extend(vec![0; room - 2]);
        }
    }
    bytes
}

fn fixed(c: &Case) -> Vec<u8> {
    c.frame_v6(&c.v6(), &c.udp(53))
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, chain) in readable() {
        let what = format!("the port is found behind {what}");
        rows.extend(either_side(&what, Family::V6, move |c| {
            vec![
                c.pass(c.frame_v6(&chain(c.v6()), &c.udp(53))),
                c.drop("policy-default", c.frame_v6(&chain(c.v6()), &c.udp(54))),
            ]
        }));
    }
    for (what, chain) in refused() {
        rows.extend(either_side(what, Family::V6, move |c| {
            vec![c.drop("ipv6-extension", c.frame_v6(&chain(c.v6()), &c.udp(53)))]
        }));
    }
    cut_off(&mut rows);
    headers(&mut rows);
    rows
}

fn cut_off(rows: &mut Vec<Row>) {
    rows.extend(either_side(
        "a transport header beyond what is read",
        Family::V6,
        |c| {
            let ip = c.v6().with(OPTIONS, &long_options(480));
            vec![c.drop("pull-failed", c.frame_v6(&ip, &c.udp(53)))]
        },
    ));
    rows.extend(either_side(
        "options that say more than there is",
        Family::V6,
        |c| {
            let ip = c.v6().with(OPTIONS, &[0, 200, 1, 4, 0, 0, 0, 0]);
            vec![c.drop("truncated", c.frame_v6(&ip, &c.udp(53)))]
        },
    ));
    rows.extend(either_side(
        "options that end just beyond the packet",
        Family::V6,
        |c| {
            let ip = c.v6().with(OPTIONS, &[0, 3, 1, 4, 0, 0, 0, 0]);
            vec![c.drop("truncated", c.frame_v6(&ip, &c.udp(53)))]
        },
    ));
    rows.extend(either_side(
        "options that are nothing but a number",
        Family::V6,
        |c| vec![c.drop("truncated", c.frame_v6(&c.v6(), &data(OPTIONS, 4)))],
    ));
    rows.extend(either_side(
        "options that swallow the transport header",
        Family::V6,
        |c| {
            // All 16 bytes of the datagram are options: what follows is a datagram of no bytes.
            let ip = c.v6().with(OPTIONS, &[0, 2, 1, 4, 0, 0, 0, 0]);
            vec![c.drop("l4-header", c.frame_v6(&ip, &c.udp(53)))]
        },
    ));
    rows.extend(either_side(
        "an open port behind the end of the chain",
        Family::V6,
        |c| {
            let ip = c.v6().with(OPTIONS, &PAD);
            let mut payload = c.udp(54);
            payload.bytes.extend(&c.udp(53).bytes);
            vec![c.drop("policy-default", c.frame_v6(&ip, &payload))]
        },
    ));
    rows.extend(either_side("nothing follows", Family::V6, |c| {
        vec![
            c.drop("policy-default", c.frame_v6(&c.v6(), &data(NO_NEXT, 0))),
            c.drop("policy-default", c.frame_v6(&c.v6(), &data(NO_NEXT, 16))),
        ]
    }));
}

fn headers(rows: &mut Vec<Row>) {
    for version in [0_u8, 4, 5, 7, 15] {
        let what = format!("version {version} behind IPv6's EtherType");
        rows.extend(either_side(&what, Family::V6, move |c| {
            vec![c.drop("ipv6-header", with(fixed(c), 14, &[version << 4]))]
        }));
    }
    rows.extend(either_side(
        "a packet longer than its frame",
        Family::V6,
        |c| {
            let ip = Ipv6 {
                payload_length: Some(17),
                ..c.v6()
            };
            vec![c.drop("truncated", c.frame_v6(&ip, &c.udp(53)))]
        },
    ));
    rows.extend(either_side(
        "a packet of 64 KiB in a small frame",
        Family::V6,
        |c| {
            let ip = Ipv6 {
                payload_length: Some(0xffff),
                ..c.v6()
            };
            vec![c.drop("truncated", c.frame_v6(&ip, &c.udp(53)))]
        },
    ));
    rows.extend(either_side("no length at all", Family::V6, |c| {
        let ip = Ipv6 {
            payload_length: Some(0),
            ..c.v6()
        };
        vec![c.drop("ipv6-header", c.frame_v6(&ip, &c.udp(53)))]
    }));
    rows.extend(either_side("a jumbogram", Family::V6, |c| {
        let option = [0, 0, 0xc2, 4, 0, 1, 0, 0];
        let ip = Ipv6 {
            payload_length: Some(0),
            ..c.v6().with(HOP_BY_HOP, &option)
        };
        vec![c.drop("ipv6-header", c.frame_v6(&ip, &c.udp(53)))]
    }));
    rows.extend(either_side(
        "a transport header that lies in the padding",
        Family::V6,
        |c| {
            let ip = Ipv6 {
                payload_length: Some(7),
                ..c.v6()
            };
            vec![c.drop("l4-header", c.frame_v6(&ip, &c.udp(53)))]
        },
    ));
    rows.extend(either_side("a padded frame", Family::V6, |c| {
        let mut frame = fixed(c);
        frame.extend([0xff; 20]);
        vec![c.pass(frame)]
    }));
    rows.extend(either_side("a header that is cut off", Family::V6, |c| {
        let mut frame = fixed(c);
        frame.truncate(14 + 39);
        vec![c.drop("truncated", frame)]
    }));
    rows.extend(either_side("a header and nothing else", Family::V6, |c| {
        vec![c.drop("l4-header", {
            let ip = Ipv6 {
                payload_length: Some(1),
                ..c.v6()
            };
            c.frame_v6(&ip, &cut(c.udp(53), 1))
        })]
    }));
    rows.push(v6("flow label and traffic class say nothing", |c| {
        vec![c.pass(with(fixed(c), 14, &[0x6f, 0xff, 0xff, 0xff]))]
    }));
    rows.push(v6("a protocol in IPv6 that is IPv4's", |c| {
        vec![
            c.drop("icmp-family", c.frame_v6(&c.v6(), &data(1, 16))),
            c.drop("policy-default", c.frame_v6(&c.v6(), &data(2, 16))),
        ]
    }));
    rows.push(v6("a datagram that says more than there is", |c| {
        vec![c.drop("l4-header", c.frame_v6(&c.v6(), &data(UDP, 16)))]
    }));
}

//! Fragments: each is judged as the whole packet would be, by what the first one said.

use crate::case::{Case, Row, Shot, both, cut, data, everywhere, v4, v6, with};
use crate::cast::{Bystander, Mallory, Outside, Peer, Victim};
use crate::common::craft::{
    Family, GRE, ICMP, ICMPV6, IGMP, Ipv4, Ipv6, Payload, SCTP, TCP, UDP, icmp_protocol, sctp,
    udp_with, unreachable,
};

/// More first fragments than one endpoint has places for.
const FLOOD: u16 = 200;

/// The first part of a datagram: its header and 16 bytes.
fn first(case: &Case, port: u16) -> Payload {
    udp_with(case.number, port, &[0x11; 16])
}

/// The same, as fragment.
fn opening(case: &Case, port: u16) -> Vec<u8> {
    case.fragment(0, true, &first(case, port))
}

/// A part of something whose protocol is only known from its first part.
fn rest(case: &Case, offset: u16, more: bool, length: usize) -> Vec<u8> {
    case.fragment(offset, more, &data(UDP, length))
}

/// The first part of an echo request: its header and 24 bytes.
fn ping_opening(case: &Case) -> Vec<u8> {
    let mut ping = case.ping();
    ping.bytes.resize(32, 0);
    case.fragment(0, true, &ping)
}

/// A later one.
fn ping_rest(case: &Case, offset: u16, more: bool, length: usize) -> Vec<u8> {
    case.fragment(offset, more, &data(icmp_protocol(case.family), length))
}

/// A first fragment that holds so much of a transport header.
fn stump(protocol: u8, length: usize) -> impl Fn(&Case) -> Vec<Shot> + Copy + Send + 'static {
    move |c| {
        let whole = match protocol {
            TCP => c.syn(80),
            UDP => first(c, 53),
            SCTP => sctp(c.number, 7),
            _ => c.ping(),
        };
        vec![c.drop("fragment", c.fragment(0, true, &cut(whole, length)))]
    }
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    legitimate(&mut rows);
    tiny(&mut rows);
    without_first(&mut rows);
    overlapping(&mut rows);
    oversized(&mut rows);
    of_other_protocols(&mut rows);
    of_ipv6(&mut rows);
    rows
}

fn legitimate(rows: &mut Vec<Row>) {
    rows.extend(everywhere("a fragmented datagram passes in order", |c| {
        vec![
            c.pass(opening(c, 53)),
            c.pass(rest(c, 24, true, 16)),
            c.pass(rest(c, 40, false, 5)),
        ]
    }));
    rows.extend(everywhere(
        "behind the first, fragments pass in any order",
        |c| {
            vec![
                c.pass(opening(c, 53)),
                c.pass(rest(c, 40, false, 5)),
                c.pass(rest(c, 24, true, 16)),
            ]
        },
    ));
    rows.extend(everywhere(
        "a fragment that comes twice passes twice",
        |c| {
            vec![
                c.pass(opening(c, 53)),
                c.pass(rest(c, 24, false, 16)),
                c.pass(rest(c, 24, false, 16)),
            ]
        },
    ));
    rows.extend(everywhere("a fragmented echo request passes", |c| {
        vec![c.pass(ping_opening(c)), c.pass(ping_rest(c, 32, false, 9))]
    }));
    rows.extend(everywhere(
        "behind the first, fragments of an echo request pass in any order",
        |c| {
            vec![
                c.pass(ping_opening(c)),
                c.pass(ping_rest(c, 48, false, 9)),
                c.pass(ping_rest(c, 32, true, 16)),
            ]
        },
    ));
    rows.extend(everywhere(
        "an echo request's first fragment comes first",
        |c| {
            vec![
                c.drop("fragment-unknown", ping_rest(c, 32, true, 16)),
                c.pass(ping_opening(c)),
                c.pass(ping_rest(c, 32, true, 16)),
            ]
        },
    ));
    rows.extend(everywhere(
        "fragmented TCP passes where the port is open",
        |c| {
            vec![
                c.pass(c.fragment(0, true, &tcp_with_data(c, 80, 4))),
                c.pass(c.fragment(24, false, &data(TCP, 30))),
            ]
        },
    ));
    rows.extend(everywhere(
        "fragmented SCTP passes where the port is open",
        |c| {
            vec![
                c.pass(c.fragment(0, true, &sctp(c.number, 7))),
                c.pass(c.fragment(16, false, &data(SCTP, 30))),
            ]
        },
    ));
    for (what, beyond) in [
        ("from the outside", Row::from as fn(Row, Peer) -> Row),
        ("to the outside", Row::to),
    ] {
        let datagram = both(&format!("a fragmented datagram {what} passes"), |c| {
            vec![
                c.pass(opening(c, 53)),
                c.pass(rest(c, 40, false, 5)),
                c.pass(rest(c, 24, true, 16)),
            ]
        });
        let ping = both(&format!("a fragmented echo request {what} passes"), |c| {
            vec![c.pass(ping_opening(c)), c.pass(ping_rest(c, 32, false, 9))]
        });
        let late = both(&format!("a first fragment {what} comes first"), |c| {
            vec![
                c.drop("fragment-unknown", rest(c, 24, false, 16)),
                c.pass(opening(c, 53)),
                c.pass(rest(c, 24, false, 16)),
            ]
        });
        let all = [datagram, ping, late].into_iter().flatten();
        rows.extend(all.map(|row| beyond(row, Outside)));
    }
    rows.extend(
        both(
            "a neighbour's flood of first fragments ends nobody's datagram",
            |c| {
                let own = c.between(Bystander, Victim);
                let flood = (1..=FLOOD).map(|index| c.nth(index));
                std::iter::once(own.pass(opening(&own, 53)))
                    .chain(flood.map(|c| c.pass(opening(&c, 53))))
                    .chain([own.pass(rest(&own, 24, false, 16))])
                    .collect()
            },
        )
        .into_iter()
        .map(|row| row.uses(FLOOD + 1)),
    );
    rows.extend(both("the answer's fragments pass without a rule", |c| {
        let answer = c.back();
        vec![
            c.pass(c.packet(&c.udp(53))),
            answer.pass(answer.fragment(0, true, &udp_with(53, c.number, &[0; 16]))),
            answer.pass(answer.fragment(24, false, &data(UDP, 8))),
        ]
    }));
    rows.extend(everywhere(
        "fragments of a closed port are dropped, all of them",
        |c| {
            vec![
                c.drop("policy-default", opening(c, 54)),
                c.drop("policy-default", rest(c, 24, true, 16)),
                c.drop("policy-default", rest(c, 40, false, 5)),
            ]
        },
    ));
    rows.push(v4("`more` and `do not` at once are no lie", |c| {
        let frame = opening(c, 53);
        vec![c.pass(with(frame, 20, &[0x60]))]
    }));
    rows.push(v4("the bit that RFC 3514 calls evil says nothing", |c| {
        vec![c.pass(with(c.packet(&c.udp(53)), 20, &[0x80]))]
    }));
}

fn tcp_with_data(case: &Case, port: u16, length: usize) -> Payload {
    let mut payload = case.syn(port);
    payload.bytes.extend(vec![0x11; length]);
    payload
}

fn tiny(rows: &mut Vec<Row>) {
    for length in [0, 8, 16] {
        let what = format!("a first fragment with {length} bytes of TCP's header");
        rows.extend(everywhere(&what, stump(TCP, length)));
    }
    rows.extend(everywhere(
        "a first fragment with nothing of UDP",
        stump(UDP, 0),
    ));
    rows.extend(everywhere(
        "a first fragment with 8 of SCTP's 12 bytes",
        stump(SCTP, 8),
    ));
    rows.extend(everywhere(
        "a first fragment with nothing of ICMP",
        stump(ICMP, 0),
    ));
    rows.extend(everywhere(
        "a first fragment without all of TCP's options",
        |c| {
            let mut segment = tcp_with_data(c, 80, 4);
            segment.bytes[12] = 0xf0;
            vec![c.drop("fragment", c.fragment(0, true, &segment))]
        },
    ));
    rows.extend(everywhere(
        "a fragment that is no multiple of 8, and not the last",
        |c| {
            vec![
                c.drop(
                    "fragment",
                    c.fragment(0, true, &udp_with(c.number, 53, &[0; 15])),
                ),
                c.pass(opening(c, 53)),
                c.drop("fragment", rest(c, 24, true, 15)),
            ]
        },
    ));
    rows.extend(everywhere("a later fragment without a byte", |c| {
        vec![
            c.pass(opening(c, 53)),
            c.drop("fragment", rest(c, 24, false, 0)),
        ]
    }));
}

fn without_first(rows: &mut Vec<Row>) {
    rows.extend(everywhere("a later fragment before its first", |c| {
        vec![
            c.drop("fragment-unknown", rest(c, 24, false, 16)),
            c.pass(opening(c, 53)),
            c.pass(rest(c, 24, false, 16)),
        ]
    }));
    rows.extend(everywhere("a later fragment without a first", |c| {
        vec![c.drop("fragment-unknown", rest(c, 64, true, 16))]
    }));
    rows.extend(everywhere("a later fragment of another packet", |c| {
        vec![
            c.pass(opening(c, 53)),
            c.drop("fragment-unknown", rest(&c.nth(1), 24, false, 16)),
        ]
    }));
    rows.push(v4("a later fragment of another protocol", |c| {
        vec![
            c.pass(opening(c, 53)),
            c.drop("fragment-unknown", c.fragment(24, false, &data(TCP, 16))),
        ]
    }));
    rows.push(v6(
        "a later fragment goes with its first, whatever protocol it says",
        |c| {
            vec![
                c.pass(opening(c, 53)),
                c.pass(c.fragment(24, false, &data(TCP, 16))),
                c.nth(1).drop("policy-default", opening(&c.nth(1), 54)),
                c.drop(
                    "policy-default",
                    c.nth(1).fragment(24, false, &data(TCP, 16)),
                ),
            ]
        },
    ));
    rows.extend(both("a later fragment to somebody else", |c| {
        let other = c.between(Mallory, crate::cast::Bystander);
        vec![
            c.pass(opening(c, 53)),
            other.drop("fragment-unknown", rest(&other, 24, false, 16)),
        ]
    }));
    rows.extend(both("a later fragment from somebody else", |c| {
        let other = c.between(crate::cast::Stranger, Victim);
        vec![
            c.pass(opening(c, 53)),
            other.drop("fragment-unknown", rest(&other, 24, false, 16)),
        ]
    }));
}

fn overlapping(rows: &mut Vec<Row>) {
    for protocol in [TCP, UDP, SCTP] {
        let what = format!("offset 1 lies over the header of protocol {protocol}");
        rows.extend(everywhere(&what, move |c| {
            let (whole, next) = match protocol {
                TCP => (tcp_with_data(c, 80, 4), 8),
                SCTP => (sctp(c.number, 7), 8),
                // UDP's header is 8 bytes: offset 1 is honest there, so it hides behind options.
                _ => (first(c, 53), 0),
            };
            let mut shots = vec![c.pass(c.fragment(0, true, &whole))];
            if next > 0 {
                shots.push(c.drop("fragment", c.fragment(next, false, &data(protocol, 32))));
            } else {
                shots.push(c.pass(c.fragment(8, false, &data(protocol, 32))));
            }
            shots
        }));
    }
    rows.extend(everywhere(
        "offset 2 lies over the end of TCP's header",
        |c| {
            vec![
                c.pass(c.fragment(0, true, &tcp_with_data(c, 80, 4))),
                c.drop("fragment", c.fragment(16, false, &data(TCP, 32))),
            ]
        },
    ));
    rows.extend(everywhere(
        "a second first fragment for a closed port replaces none",
        |c| {
            vec![
                c.pass(opening(c, 53)),
                c.drop("policy-default", opening(c, 54)),
                c.drop("policy-default", rest(c, 24, false, 16)),
            ]
        },
    ));
    rows.extend(everywhere(
        "a last fragment that begins before the end of another one",
        |c| {
            // Data over data: nothing that was judged by. The receiver throws the whole away (RFC 5722).
            vec![
                c.pass(opening(c, 53)),
                c.pass(rest(c, 24, true, 16)),
                c.pass(rest(c, 32, false, 16)),
            ]
        },
    ));
    rows.push(v6(
        "an offset lies over an extension header of the first",
        |c| {
            let headers = |offset, more| Ipv6::fragment(c.v6(), c.number.into(), offset, more);
            let options = headers(0, true).with(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
            vec![
                c.pass(c.frame_v6(&options, &first(c, 53))),
                c.drop("fragment", c.frame_v6(&headers(8, false), &data(UDP, 32))),
                c.pass(c.frame_v6(&headers(16, false), &data(UDP, 32))),
            ]
        },
    ));
}

fn oversized(rows: &mut Vec<Row>) {
    rows.extend(everywhere("a fragment that ends beyond 64 KiB", |c| {
        vec![
            c.pass(opening(c, 53)),
            c.drop("fragment", rest(c, 65528, false, 16)),
        ]
    }));
    rows.push(v4(
        "data that ends within 64 KiB, but not with its header",
        |c| {
            vec![
                c.pass(opening(c, 53)),
                c.drop("fragment", rest(c, 65512, false, 8)),
                c.pass(rest(c, 65504, false, 8)),
            ]
        },
    ));
    rows.push(v6(
        "data that ends within 64 KiB, but not with the headers before it",
        |c| {
            let long = c.v6().with(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
            let at = |offset| {
                c.frame_v6(
                    &long.clone().fragment(c.number.into(), offset, false),
                    &data(UDP, 8),
                )
            };
            vec![
                c.pass(opening(c, 53)),
                c.drop("fragment", at(65520)),
                c.pass(at(65512)),
            ]
        },
    ));
    rows.extend(everywhere("the farthest offset there is", |c| {
        vec![c.drop("fragment", rest(c, 65528, true, 64))]
    }));
}

fn of_other_protocols(rows: &mut Vec<Row>) {
    rows.extend(both("an error is never fragmented", |c| {
        let quoted = c.back().packet(&udp_with(53, c.number, &[0; 8]));
        let error = unreachable(c.family, &quoted);
        vec![c.drop("fragment", c.fragment(0, true, &pad(error)))]
    }));
    rows.push(v6("neighbour discovery is never fragmented", |c| {
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend(c.to.v6().octets());
        let ip = Ipv6 {
            hop_limit: 255,
            ..c.v6().fragment(c.number.into(), 0, true)
        };
        vec![c.drop("fragment", c.frame_v6(&ip, &c.icmp(message)))]
    }));
    rows.push(v6(
        "neighbour discovery behind an atomic fragment header",
        |c| {
            let mut message = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
            message.extend(c.from.v6().octets());
            let ip = Ipv6 {
                hop_limit: 255,
                ..c.v6().fragment(c.number.into(), 0, false)
            };
            vec![c.drop("neighbour-discovery", c.frame_v6(&ip, &c.icmp(message)))]
        },
    ));
    rows.push(v4("membership reports are never fragmented", |c| {
        let group = [224, 0, 0, 22].into();
        let ip = Ipv4 {
            destination: group,
            ttl: 1,
            more_fragments: true,
            ..c.v4()
        };
        let frame = with(c.frame_v4(&ip, &data(IGMP, 64)), 34, &[0x22]);
        vec![c.drop("policy-default", with(frame, 0, &[1, 0, 0x5e, 0, 0, 22]))]
    }));
    rows.extend(both("fragments of a protocol that no rule allows", |c| {
        vec![
            c.drop("policy-default", c.fragment(0, true, &data(GRE, 16))),
            c.drop("policy-default", c.fragment(16, false, &data(GRE, 16))),
        ]
    }));
    rows.push(v4("ICMPv6 in the first fragment of IPv4", |c| {
        vec![c.drop("icmp-family", c.fragment(0, true, &data(ICMPV6, 16)))]
    }));
    rows.extend(both("a rogue DHCP server's second fragment", |c| {
        let server = if c.family == Family::V4 { 67 } else { 547 };
        vec![
            c.drop(
                "dhcp-server",
                c.fragment(0, true, &udp_with(server, 53, &[0; 16])),
            ),
            c.drop("dhcp-server", rest(c, 24, false, 16)),
        ]
    }));
}

/// To a multiple of 8 bytes, as a first fragment has to be.
fn pad(mut payload: Payload) -> Payload {
    payload
        .bytes
        .resize(payload.bytes.len().next_multiple_of(8), 0);
    payload
}

fn of_ipv6(rows: &mut Vec<Row>) {
    let id = |c: &Case| u32::from(c.number);
    rows.push(v6("an atomic fragment is a whole packet", move |c| {
        vec![
            c.pass(c.frame_v6(&c.v6().fragment(id(c), 0, false), &c.udp(53))),
            c.drop(
                "policy-default",
                c.frame_v6(&c.v6().fragment(id(c), 0, false), &c.udp(54)),
            ),
        ]
    }));
    rows.push(v6(
        "an atomic fragment leaves nothing for others to follow",
        move |c| {
            vec![
                c.pass(c.frame_v6(&c.v6().fragment(id(c), 0, false), &c.udp(53))),
                c.drop("fragment-unknown", rest(c, 24, false, 16)),
            ]
        },
    ));
    for (what, second) in [
        ("atomic", (0, false)),
        ("first", (0, true)),
        ("later", (64, false)),
    ] {
        let (offset, more) = second;
        rows.push(v6(
            &format!("a second fragment header, of a {what} one"),
            move |c| {
                let ip = c
                    .v6()
                    .fragment(id(c), 0, false)
                    .fragment(id(c), offset, more);
                vec![c.drop("fragment", c.frame_v6(&ip, &c.udp(53)))]
            },
        ));
    }
    rows.push(v6(
        "a second fragment header in a first fragment",
        move |c| {
            let ip = c.v6().fragment(id(c), 0, true).fragment(id(c), 0, true);
            vec![c.drop("fragment", c.frame_v6(&ip, &c.udp(53)))]
        },
    ));
    rows.push(v6(
        "a first fragment that ends within its extension headers",
        move |c| {
            let ip = c
                .v6()
                .fragment(id(c), 0, true)
                .with(60, &[0, 1, 1, 4, 0, 0, 0, 0]);
            vec![c.drop("fragment", c.frame_v6(&ip, &data(UDP, 0)))]
        },
    ));
    rows.push(v6(
        "a first fragment that is nothing but headers",
        move |c| {
            let ip = c
                .v6()
                .fragment(id(c), 0, true)
                .with(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
            vec![c.drop("fragment", c.frame_v6(&ip, &data(UDP, 0)))]
        },
    ));
    rows.push(v6("a fragment header that is cut off", move |c| {
        let ip = Ipv6 {
            payload_length: Some(4),
            ..c.v6().fragment(id(c), 0, true)
        };
        vec![c.drop("truncated", c.frame_v6(&ip, &data(UDP, 0)))]
    }));
    rows.push(v6(
        "reserved bits of a fragment header say nothing",
        move |c| {
            let frame = c.frame_v6(&c.v6().fragment(id(c), 0, false), &c.udp(53));
            vec![c.pass(with(frame, 57, &[6]))]
        },
    ));
}

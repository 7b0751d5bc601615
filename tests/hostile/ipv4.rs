//! The IPv4 header and its options.

use crate::case::data;
use crate::case::{Case, Row, either_side, v4, with};
use crate::common::craft::{Family, ICMPV6, Ipv4};

fn fixed(c: &Case) -> Vec<u8> {
    c.frame_v4(&c.v4(), &c.udp(53))
}

fn optional(c: &Case, options: &[u8], port: u16) -> Vec<u8> {
    let ip = Ipv4 {
        options: options.to_vec(),
        ..c.v4()
    };
    c.frame_v4(&ip, &c.udp(port))
}

/// What a byte or two of the header say, and what that is.
const HEADERS: [(&str, usize, &[u8], &str); 16] = [
    ("version 0", 0, &[0x05], "ipv4-header"),
    ("version 5", 0, &[0x55], "ipv4-header"),
    ("version 6", 0, &[0x65], "ipv4-header"),
    ("version 15", 0, &[0xf5], "ipv4-header"),
    ("a header of no length", 0, &[0x40], "ipv4-header"),
    ("a header of 4 bytes", 0, &[0x41], "ipv4-header"),
    ("a header of 8 bytes", 0, &[0x42], "ipv4-header"),
    ("a header of 12 bytes", 0, &[0x43], "ipv4-header"),
    ("a header of 16 bytes", 0, &[0x44], "ipv4-header"),
    ("a header longer than the packet", 0, &[0x4f], "ipv4-header"),
    ("no total length", 2, &[0, 0], "ipv4-header"),
    ("a total length of 1", 2, &[0, 1], "ipv4-header"),
    (
        "a packet shorter than its header",
        2,
        &[0, 19],
        "ipv4-header",
    ),
    (
        "a packet one byte longer than its frame",
        2,
        &[0, 37],
        "truncated",
    ),
    (
        "a packet of 64 KiB in a small frame",
        2,
        &[0xff, 0xff],
        "truncated",
    ),
    (
        "a transport header that lies in the padding",
        2,
        &[0, 27],
        "l4-header",
    ),
];

/// Whole words of options, and why they are refused.
const REFUSED: [(&str, &[u8], &str); 20] = [
    (
        "a loose source route",
        &[131, 7, 4, 10, 77, 0, 13, 0],
        "ipv4-source-route",
    ),
    (
        "a strict source route",
        &[137, 7, 4, 10, 77, 0, 13, 0],
        "ipv4-source-route",
    ),
    (
        "a loose source route that is finished",
        &[131, 7, 8, 10, 77, 0, 13, 0],
        "ipv4-source-route",
    ),
    (
        "an empty loose source route",
        &[131, 3, 4, 0],
        "ipv4-source-route",
    ),
    (
        "a source route with a wrong length",
        &[131, 255, 4, 0],
        "ipv4-source-route",
    ),
    (
        "a source route with no length",
        &[137, 0, 0, 0],
        "ipv4-source-route",
    ),
    (
        "a source route in the last byte",
        &[1, 1, 1, 131],
        "ipv4-source-route",
    ),
    (
        "a source route behind 36 bytes of padding",
        &{
            let mut options = [1; 40];
            options[36] = 131;
            options[37] = 3;
            options[38] = 4;
            options
        },
        "ipv4-source-route",
    ),
    (
        "a source route in the 40th byte",
        &{
            let mut options = [1; 40];
            options[39] = 137;
            options
        },
        "ipv4-source-route",
    ),
    (
        "a source route behind a record route",
        &[7, 7, 4, 0, 0, 0, 0, 131, 3, 4, 0, 0],
        "ipv4-source-route",
    ),
    (
        "a source route behind an unknown option",
        &[94, 4, 0, 0, 131, 3, 4, 0],
        "ipv4-source-route",
    ),
    (
        "a source route in a timestamp that is too short",
        &[68, 2, 131, 3, 4, 0, 0, 0],
        "ipv4-source-route",
    ),
    ("an option of no length", &[148, 0, 0, 0], "ipv4-header"),
    (
        "an option of one byte that has a length",
        &[148, 1, 0, 0],
        "ipv4-header",
    ),
    (
        "an option beyond the header",
        &[148, 5, 0, 0],
        "ipv4-header",
    ),
    (
        "an option far beyond the header",
        &[7, 255, 4, 0],
        "ipv4-header",
    ),
    (
        "an option whose length is missing",
        &[1, 1, 1, 148],
        "ipv4-header",
    ),
    (
        "an unknown option whose length is missing",
        &[1, 1, 1, 255],
        "ipv4-header",
    ),
    (
        "an option beyond the header, behind others",
        &[148, 4, 0, 0, 7, 5, 4, 0],
        "ipv4-header",
    ),
    (
        "an option that ends before it begins",
        &[148, 4, 0, 0, 94, 1, 0, 0],
        "ipv4-header",
    ),
];

/// Options that are read over.
const READABLE: [(&str, &[u8]); 14] = [
    ("a router alert", &[148, 4, 0, 0]),
    (
        "a record route",
        &[
            7, 39, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
    ),
    ("a timestamp", &[68, 8, 5, 0, 0, 0, 0, 0]),
    ("a security label", &[134, 6, 0, 0, 0, 1, 0, 0]),
    ("an option that nobody knows", &[94, 4, 1, 2]),
    ("a word of padding", &[1, 1, 1, 1]),
    ("40 bytes of padding", &[1; 40]),
    ("an early end", &[0, 0, 0, 0]),
    ("a source route behind the end", &[0, 131, 3, 4]),
    ("nonsense behind the end", &[1, 0, 148, 0]),
    (
        "a source route in another option's data",
        &[94, 8, 131, 3, 4, 0, 0, 0],
    ),
    ("an experiment", &[30, 4, 0, 0]),
    ("an option of two bytes", &[94, 2, 1, 1]),
    ("an option that ends with the header", &[1, 1, 94, 2]),
];

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, offset, bytes, reason) in HEADERS {
        rows.extend(either_side(what, Family::V4, move |c| {
            vec![c.drop(reason, with(fixed(c), 14 + offset, bytes))]
        }));
    }
    for (what, options, reason) in REFUSED {
        rows.extend(either_side(what, Family::V4, move |c| {
            vec![c.drop(reason, optional(c, options, 53))]
        }));
    }
    for (what, options) in READABLE {
        let what = format!("the port is found behind {what}");
        rows.extend(either_side(&what, Family::V4, move |c| {
            vec![
                c.pass(optional(c, options, 53)),
                c.drop("policy-default", optional(c, options, 54)),
            ]
        }));
    }
    rows.extend(either_side(
        "a source route in a fragment",
        Family::V4,
        |c| {
            let ip = Ipv4 {
                options: vec![131, 3, 4, 0],
                more_fragments: true,
                ..c.v4()
            };
            vec![c.drop("ipv4-source-route", c.frame_v4(&ip, &c.udp(53)))]
        },
    ));
    rows.extend(either_side(
        "a source route in a later fragment",
        Family::V4,
        |c| {
            let ip = Ipv4 {
                options: vec![131, 3, 4, 0],
                offset: 64,
                ..c.v4()
            };
            vec![c.drop("ipv4-source-route", c.frame_v4(&ip, &data(17, 16)))]
        },
    ));
    rows.extend(either_side(
        "an open port behind a header that is shorter than it says",
        Family::V4,
        |c| {
            // The options are a datagram for the open port; behind them is one for the closed port.
            let ip = Ipv4 {
                options: vec![0, 9, 0, 53, 0, 16, 0, 0],
                ..c.v4()
            };
            vec![c.drop("policy-default", c.frame_v4(&ip, &c.udp(54)))]
        },
    ));
    rows.extend(either_side("a padded frame", Family::V4, |c| {
        let mut frame = fixed(c);
        frame.extend([0xff; 20]);
        vec![c.pass(frame)]
    }));
    rows.extend(either_side("a header that is cut off", Family::V4, |c| {
        let mut frame = fixed(c);
        frame.truncate(14 + 19);
        vec![c.drop("truncated", frame)]
    }));
    rows.extend(either_side("options that are cut off", Family::V4, |c| {
        let mut frame = optional(c, &[1; 40], 53);
        frame.truncate(14 + 40);
        vec![c.drop("truncated", frame)]
    }));
    rows.push(v4("type of service and time to live say nothing", |c| {
        let frame = with(fixed(c), 15, &[0xff]);
        vec![c.pass(frame.clone()), c.pass(with(frame, 22, &[0]))]
    }));
    rows.push(v4("a wrong checksum is the receiver's business", |c| {
        vec![c.pass(with(fixed(c), 24, &[0xde, 0xad]))]
    }));
    rows.push(v4("a protocol in IPv4 that is IPv6's", |c| {
        vec![c.drop("icmp-family", c.frame_v4(&c.v4(), &data(ICMPV6, 16)))]
    }));
    rows.push(v4("extension headers are no headers in IPv4", |c| {
        let protocols = [0, 43, 44, 51, 60, 135, 139, 140, 253, 254];
        protocols
            .map(|protocol| {
                let mut payload = data(protocol, 8);
                payload.bytes[..8].copy_from_slice(&[17, 0, 1, 4, 0, 0, 0, 0]);
                payload.bytes.extend(&c.udp(53).bytes);
                c.drop("policy-default", c.frame_v4(&c.v4(), &payload))
            })
            .into()
    }));
    rows
}

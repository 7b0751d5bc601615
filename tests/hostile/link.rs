//! Below IP: tags, and everything that is neither IPv4, IPv6 nor ARP.

use crate::case::{Case, Row, either_side, row, with};
use crate::cast::{Mallory, Stranger};
use crate::common::craft::{ACK, FAMILIES, Family, vlan_tagged};

/// EtherTypes that have no business on a container's interface.
const ETHERTYPES: [(&str, u16); 26] = [
    ("MPLS", 0x8847),
    ("MPLS multicast", 0x8848),
    ("PPPoE discovery", 0x8863),
    ("PPPoE session", 0x8864),
    ("LLDP", 0x88cc),
    ("MACsec", 0x88e5),
    ("a backbone bridge's tag", 0x88e7),
    ("an old QinQ tag", 0x9100),
    ("another old QinQ tag", 0x9200),
    ("RARP", 0x8035),
    ("wake-on-LAN", 0x0842),
    ("IPX", 0x8137),
    ("AppleTalk", 0x809b),
    ("AppleTalk ARP", 0x80f3),
    ("802.1X", 0x888e),
    ("802.11 preauthentication", 0x88c7),
    ("PTP", 0x88f7),
    ("TRILL", 0x22f3),
    ("Fibre Channel", 0x8906),
    ("RoCE", 0x8915),
    ("EtherCAT", 0x88a4),
    ("loopback", 0x9000),
    ("NSH", 0x894f),
    ("ERSPAN", 0x88be),
    ("the lowest EtherType", 0x0600),
    ("the highest EtherType", 0xffff),
];

fn datagram(c: &Case) -> Vec<u8> {
    c.packet(&c.udp(53))
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    tags(&mut rows);
    for (what, ethertype) in ETHERTYPES {
        rows.extend(either_side(what, Family::V4, move |c| {
            vec![c.drop("ethertype", with(datagram(c), 12, &ethertype.to_be_bytes()))]
        }));
    }
    logical_link(&mut rows);
    mixed(&mut rows);
    rows
}

fn tags(rows: &mut Vec<Row>) {
    let kinds: [(&str, &[u16]); 7] = [
        ("a tag", &[0x8100]),
        ("a provider's tag", &[0x88a8]),
        ("a tag in a provider's tag", &[0x8100, 0x88a8]),
        ("a tag in a tag", &[0x8100, 0x8100]),
        ("a provider's tag in a tag", &[0x88a8, 0x8100]),
        ("three tags", &[0x8100, 0x8100, 0x88a8]),
        ("an old QinQ tag in a tag", &[0x9100, 0x8100]),
    ];
    for (what, tags) in kinds {
        for family in FAMILIES {
            rows.extend(either_side(what, family, move |c| {
                let frame = tags
                    .iter()
                    .fold(datagram(c), |frame, tag| vlan_tagged(&frame, *tag));
                vec![c.drop("vlan", frame)]
            }));
        }
    }
    let numbers: [(&str, [u8; 2]); 4] = [
        ("a priority tag", [0xe0, 0]),
        ("a tag of no priority and no number", [0, 0]),
        ("a tag that may be dropped", [0x10, 0]),
        ("a tag of the last number", [0x0f, 0xff]),
    ];
    for (what, control) in numbers {
        for kind in [0x8100, 0x88a8] {
            let what = format!("{what}, {kind:#06x}");
            rows.extend(either_side(&what, Family::V4, move |c| {
                vec![c.drop("vlan", with(vlan_tagged(&datagram(c), kind), 14, &control))]
            }));
        }
    }
    rows.push(row("ARP in a tag", |c| {
        let frame = crate::arp::request(c);
        vec![c.drop("vlan", vlan_tagged(&frame, 0x8100))]
    }));
    rows.extend(either_side("a tag with nothing in it", Family::V4, |c| {
        let mut frame = vlan_tagged(&datagram(c), 0x8100);
        frame.truncate(20);
        vec![c.drop("vlan", frame)]
    }));
    rows.extend(either_side(
        "a tag and less than two bytes behind it, which the kernel itself refuses",
        Family::V4,
        |c| {
            let mut frame = vlan_tagged(&datagram(c), 0x8100);
            frame.truncate(18);
            let whole_tag = frame.clone();
            frame.truncate(16);
            vec![c.gone(whole_tag), c.gone(frame)]
        },
    ));
}

/// IEEE 802.2: a length in place of the EtherType.
fn logical_link(rows: &mut Vec<Row>) {
    let of_802_3 = |c: &Case, header: &[u8], payload: &[u8]| {
        let body = [header, payload].concat();
        c.ethernet(body.len() as u16, &body)
    };
    let unit = [0_u8; 35];
    rows.extend(either_side("spanning tree", Family::V4, move |c| {
        vec![c.drop("ethertype", of_802_3(c, &[0x42, 0x42, 0x03], &unit))]
    }));
    rows.push(row("spanning tree, to all bridges", move |c| {
        let frame = of_802_3(c, &[0x42, 0x42, 0x03], &unit);
        vec![c.drop("ethertype", with(frame, 0, &[0x01, 0x80, 0xc2, 0, 0, 0]))]
    }));
    rows.push(row("LLDP, to the nearest bridge", |c| {
        let frame = c.ethernet(0x88cc, &[0; 46]);
        vec![c.drop("ethertype", with(frame, 0, &[0x01, 0x80, 0xc2, 0, 0, 0x0e]))]
    }));
    rows.push(row("slow protocols", |c| {
        let frame = c.ethernet(0x8809, &[1; 110]);
        vec![c.drop("ethertype", with(frame, 0, &[0x01, 0x80, 0xc2, 0, 0, 2]))]
    }));
    for (what, ethertype) in [("IPv4", 0x0800_u16), ("IPv6", 0x86dd), ("ARP", 0x0806)] {
        let what = format!("{what} behind a SNAP header");
        rows.extend(either_side(&what, Family::V4, move |c| {
            let snap = [&[0xaa, 0xaa, 0x03, 0, 0, 0][..], &ethertype.to_be_bytes()].concat();
            vec![c.drop("ethertype", of_802_3(c, &snap, &datagram(c)[14..]))]
        }));
    }
    rows.extend(either_side(
        "IPv4 behind an LLC header",
        Family::V4,
        move |c| {
            vec![c.drop(
                "ethertype",
                of_802_3(c, &[0x06, 0x06, 0x03], &datagram(c)[14..]),
            )]
        },
    ));
    rows.extend(either_side("Novell's raw 802.3", Family::V4, move |c| {
        vec![c.drop("ethertype", of_802_3(c, &[0xff, 0xff], &datagram(c)[14..]))]
    }));
    for length in [0_u16, 1, 46, 1500, 0x5ff] {
        let what = format!("an 802.3 frame that says it has {length} bytes");
        rows.extend(either_side(&what, Family::V4, move |c| {
            vec![c.drop("ethertype", with(datagram(c), 12, &length.to_be_bytes()))]
        }));
    }
}

fn mixed(rows: &mut Vec<Row>) {
    rows.push(row("IPv6 behind IPv4's EtherType", |c| {
        let packet = c.v6().carry(&c.udp(53));
        vec![c.drop("source-ipv4", c.ethernet(0x0800, &packet))]
    }));
    rows.push(
        row("IPv6 behind IPv4's EtherType", |c| {
            let packet = c.v6().carry(&c.udp(53));
            vec![c.drop("ipv4-header", c.ethernet(0x0800, &packet))]
        })
        .from(Stranger),
    );
    rows.push(row("IPv4 behind IPv6's EtherType", |c| {
        let packet = c.v4().carry(&crate::case::data(17, 60));
        vec![c.drop("source-ipv6", c.ethernet(0x86dd, &packet))]
    }));
    rows.push(
        row("IPv4 behind IPv6's EtherType", |c| {
            let packet = c.v4().carry(&crate::case::data(17, 60));
            vec![c.drop("ipv6-header", c.ethernet(0x86dd, &packet))]
        })
        .from(Stranger),
    );
    rows.push(row("IPv4 behind ARP's EtherType", |c| {
        vec![c.drop("arp", with(c.packet(&c.tcp(80, ACK)), 12, &[0x08, 0x06]))]
    }));
    for (what, ethertype) in [("IPv4", 0x0800), ("IPv6", 0x86dd), ("ARP", 0x0806)] {
        for from in [Mallory, Stranger] {
            if (from, ethertype) == (Stranger, 0x0806) {
                continue;
            }
            let what = format!("{what} with nothing behind the Ethernet header");
            rows.push(
                row(&what, move |c| {
                    vec![c.drop("truncated", c.ethernet(ethertype, &[]))]
                })
                .from(from),
            );
        }
    }
}

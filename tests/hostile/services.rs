//! Who hands out addresses, who asks for groups: the network's own services, which no container is.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::case::{Case, Row, both, row, v4, v6, with};
use crate::cast::{Host, Victim};
use crate::common::craft::{BROADCAST, Family, IGMP, Ipv4, Ipv6, Payload, udp_with};

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    address_servers(&mut rows);
    group_queries_v4(&mut rows);
    group_queries_v6(&mut rows);
    redirects(&mut rows);
    rows
}

/// DHCP's (server, client) ports.
fn dhcp(family: Family) -> (u16, u16) {
    match family {
        Family::V4 => (67, 68),
        Family::V6 => (547, 546),
    }
}

fn address_servers(rows: &mut Vec<Row>) {
    let offer = |source, destination| udp_with(source, destination, &[2; 244]);
    rows.extend(both("a DHCP server's offer", move |c| {
        let (server, client) = dhcp(c.family);
        vec![
            c.drop("dhcp-server", c.packet(&offer(server, client))),
            c.drop("dhcp-server", c.packet(&offer(server, 53))),
            c.drop("dhcp-server", c.packet(&offer(server, server))),
        ]
    }));
    rows.extend(both("a DHCP server's offer from another port", move |c| {
        let (_, client) = dhcp(c.family);
        vec![
            c.drop("dhcp-server", c.packet(&offer(c.number, client))),
            c.drop("dhcp-server", c.packet(&offer(client, client))),
            c.drop("dhcp-server", c.packet(&offer(0, client))),
        ]
    }));
    rows.push(v4("a DHCP server's offer to everybody", move |c| {
        let ip = Ipv4 {
            destination: Ipv4Addr::BROADCAST,
            ..c.v4()
        };
        let offer = |source| with(c.frame_v4(&ip, &offer(source, 68)), 0, &BROADCAST);
        vec![
            c.drop("dhcp-server", offer(67)),
            c.drop("dhcp-server", offer(c.number)),
        ]
    }));
    rows.push(v6("a DHCP server's advertisement to everybody", move |c| {
        let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let ip = Ipv6::new(c.from.link_local(), all);
        let frame = c.frame_v6(&ip, &offer(547, 546));
        vec![c.drop("dhcp-server", with(frame, 0, &[0x33, 0x33, 0, 0, 0, 1]))]
    }));
    rows.push(v6("a DHCP server's offer behind options", move |c| {
        let ip = c.v6().with(60, &[0, 0, 1, 4, 0, 0, 0, 0]);
        vec![c.drop("dhcp-server", c.frame_v6(&ip, &offer(547, 546)))]
    }));
    rows.push(v4("a DHCP server's offer in another's name", move |c| {
        let ip = Ipv4 {
            source: Host.v4(),
            ..c.v4()
        };
        vec![c.drop("source-ipv4", c.frame_v4(&ip, &offer(67, 68)))]
    }));
    rows.extend(both("a DHCP client's question", move |c| {
        let (server, client) = dhcp(c.family);
        vec![c.pass(c.packet(&offer(client, server)))]
    }));
    rows.extend(both(
        "server's and client's ports of TCP are ports like others",
        move |c| {
            let (server, client) = dhcp(c.family);
            let segment = |port| crate::common::craft::tcp(port, 80, 2);
            vec![
                c.pass(c.packet(&segment(server))),
                c.pass(c.packet(&segment(client))),
            ]
        },
    ));
}

fn igmp(kind: u8, length: usize) -> Payload {
    let mut bytes = vec![0; length];
    bytes[0] = kind;
    Payload {
        protocol: IGMP,
        bytes,
    }
}

fn to_group(c: &Case, ip: Ipv4, group: [u8; 4], payload: &Payload) -> Vec<u8> {
    let ip = Ipv4 {
        destination: group.into(),
        ttl: 1,
        ..ip
    };
    let [_, x, y, z] = group;
    with(
        c.frame_v4(&ip, payload),
        0,
        &[0x01, 0, 0x5e, x & 0x7f, y, z],
    )
}

const ALL_SYSTEMS: [u8; 4] = [224, 0, 0, 1];
const ALL_REPORTS: [u8; 4] = [224, 0, 0, 22];
const A_GROUP: [u8; 4] = [239, 1, 2, 3];

fn group_queries_v4(rows: &mut Vec<Row>) {
    for (version, length) in [("1 or 2", 8), ("3", 12)] {
        rows.push(v4(
            &format!("an IGMP query of version {version}"),
            move |c| {
                let query = igmp(0x11, length);
                let alert = Ipv4 {
                    options: vec![148, 4, 0, 0],
                    ..c.v4()
                };
                vec![
                    c.drop("multicast-query", to_group(c, c.v4(), ALL_SYSTEMS, &query)),
                    c.drop("multicast-query", to_group(c, alert, ALL_SYSTEMS, &query)),
                    c.drop("multicast-query", to_group(c, c.v4(), A_GROUP, &query)),
                    c.drop("multicast-query", c.frame_v4(&c.v4(), &query)),
                ]
            },
        ));
    }
    let reports = [
        ("1", 0x12, A_GROUP),
        ("2", 0x16, A_GROUP),
        ("3", 0x22, ALL_REPORTS),
    ];
    for (version, kind, group) in reports {
        rows.push(v4(
            &format!("an IGMP report of version {version}"),
            move |c| {
                let alert = Ipv4 {
                    options: vec![148, 4, 0, 0],
                    ..c.v4()
                };
                vec![
                    c.pass(to_group(c, c.v4(), group, &igmp(kind, 16))),
                    c.pass(to_group(c, alert, group, &igmp(kind, 16))),
                ]
            },
        ));
        rows.push(v4(
            &format!("an IGMP report of version {version} that is no link's upkeep"),
            move |c| {
                let report = igmp(kind, 16);
                let far = with(to_group(c, c.v4(), group, &report), 22, &[64]);
                let to_one = Ipv4 { ttl: 1, ..c.v4() };
                let part = Ipv4 {
                    more_fragments: true,
                    ..c.v4()
                };
                vec![
                    c.drop("policy-default", far),
                    c.drop("policy-default", c.frame_v4(&to_one, &report)),
                    c.drop("address", with(c.frame_v4(&to_one, &report), 0, &BROADCAST)),
                    c.drop("policy-default", to_group(c, part, group, &report)),
                ]
            },
        ));
    }
    rows.push(v4("an IGMP leave", |c| {
        vec![c.pass(to_group(c, c.v4(), [224, 0, 0, 2], &igmp(0x17, 8)))]
    }));
    for (what, kind) in [
        ("DVMRP", 0x13),
        ("PIM of version 1", 0x14),
        ("mtrace", 0x1f),
        ("a router's advertisement", 0x30),
        ("nothing that is known", 0xff),
    ] {
        rows.push(v4(&format!("IGMP that is {what}"), move |c| {
            vec![c.drop(
                "policy-default",
                to_group(c, c.v4(), ALL_SYSTEMS, &igmp(kind, 16)),
            )]
        }));
    }
    rows.push(v4("IGMP of 7 bytes", |c| {
        vec![c.drop(
            "l4-header",
            to_group(c, c.v4(), ALL_SYSTEMS, &igmp(0x16, 7)),
        )]
    }));
}

const ALERT: [u8; 8] = [0, 0, 5, 2, 0, 0, 1, 0];
const ALERT_LAST: [u8; 8] = [0, 0, 1, 0, 5, 2, 0, 0];

/// An MLD message to a group, with these options before it.
fn mld(c: &Case, source: Ipv6Addr, hop_limit: u8, options: Option<[u8; 8]>, kind: u8) -> Vec<u8> {
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
    let mut ip = Ipv6 {
        hop_limit,
        ..Ipv6::new(source, group)
    };
    if let Some(options) = options {
        ip = ip.with(0, &options);
    }
    let mut bytes = vec![0; 28];
    bytes[0] = kind;
    let payload = Payload {
        protocol: 58,
        bytes,
    };
    with(c.frame_v6(&ip, &payload), 0, &[0x33, 0x33, 0, 0, 0, 0x16])
}

const MLD_QUERY: u8 = 130;

fn group_queries_v6(rows: &mut Vec<Row>) {
    rows.push(v6("an MLD query", |c| {
        let source = c.from.link_local();
        vec![
            c.drop("multicast-query", mld(c, source, 1, Some(ALERT), MLD_QUERY)),
            c.drop(
                "multicast-query",
                mld(c, source, 1, Some(ALERT_LAST), MLD_QUERY),
            ),
            c.drop("multicast-query", mld(c, source, 1, None, MLD_QUERY)),
            c.drop(
                "multicast-query",
                mld(c, source, 64, Some(ALERT), MLD_QUERY),
            ),
            c.drop(
                "multicast-query",
                mld(c, Ipv6Addr::UNSPECIFIED, 1, Some(ALERT), MLD_QUERY),
            ),
            c.drop(
                "source-ipv6",
                mld(c, Ipv6Addr::UNSPECIFIED, 1, None, MLD_QUERY),
            ),
            c.drop(
                "source-ipv6",
                mld(c, Host.link_local(), 1, Some(ALERT), MLD_QUERY),
            ),
        ]
    }));
    rows.push(v6("an MLD query to one", |c| {
        let mut bytes = vec![0; 24];
        bytes[0] = MLD_QUERY;
        let payload = Payload {
            protocol: 58,
            bytes,
        };
        let ip = Ipv6 {
            hop_limit: 1,
            ..c.v6()
        };
        vec![
            c.drop(
                "multicast-query",
                c.frame_v6(&ip.clone().with(0, &ALERT), &payload),
            ),
            c.drop("multicast-query", c.frame_v6(&ip, &payload)),
        ]
    }));
    for (what, kind) in [
        ("report of version 1", 131),
        ("done", 132),
        ("report of version 2", 143),
    ] {
        rows.push(v6(&format!("an MLD {what}"), move |c| {
            let source = c.from.link_local();
            vec![
                c.pass(mld(c, source, 1, Some(ALERT), kind)),
                c.pass(mld(c, source, 1, Some(ALERT_LAST), kind)),
                c.pass(mld(c, Ipv6Addr::UNSPECIFIED, 1, Some(ALERT), kind)),
            ]
        }));
        rows.push(v6(
            &format!("an MLD {what} that is no link's upkeep"),
            move |c| {
                let source = c.from.link_local();
                vec![
                    c.drop("policy-default", mld(c, source, 64, Some(ALERT), kind)),
                    c.drop(
                        "source-ipv6",
                        mld(c, Ipv6Addr::UNSPECIFIED, 64, Some(ALERT), kind),
                    ),
                    c.drop("source-ipv6", mld(c, Ipv6Addr::UNSPECIFIED, 1, None, kind)),
                    c.drop(
                        "source-ipv6",
                        mld(c, Victim.link_local(), 1, Some(ALERT), kind),
                    ),
                ]
            },
        ));
    }
    rows.push(v6(
        "an echo request behind a router alert is no membership",
        |c| {
            let ip = c.v6().with(0, &ALERT);
            vec![c.pass(c.frame_v6(&ip, &c.ping()))]
        },
    ));
}

/// ICMP messages by which a router speaks.
fn redirects(rows: &mut Vec<Row>) {
    for (what, kind, code) in [
        ("a redirect for a network", 5, 0),
        ("a redirect for a host", 5, 1),
        ("a redirect for a service", 5, 3),
        ("a router's advertisement", 9, 0),
        ("a mobile agent's advertisement", 9, 16),
    ] {
        rows.push(v4(&format!("ICMP: {what}"), move |c| {
            let quoted = c.back().packet(&c.udp(53));
            let message = [
                &[kind, code, 0, 0][..],
                &c.from.v4().octets(),
                &quoted[14..],
            ]
            .concat();
            vec![c.drop("router-advertisement", c.packet(&c.icmp(message)))]
        }));
    }
    rows.push(row("ICMP: is there a router", |c| {
        vec![c.drop(
            "policy-default",
            c.packet(&c.icmp(vec![10, 0, 0, 0, 0, 0, 0, 0])),
        )]
    }));
}

//! Neighbour discovery: it passes without a rule, so nobody may speak for anybody else.

use std::net::Ipv6Addr;

use crate::case::{Case, Row, Shot, v6, with};
use crate::cast::{Bystander, Host, Mallory, Outside, Stranger, Victim};
use crate::common::craft::Ipv6;
use crate::common::frame::Mac;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    honest_discovery(&mut rows);
    lying_about_addresses(&mut rows);
    out_of_form(&mut rows);
    routers(&mut rows);
    leaving_the_link(&mut rows);
    on_the_link(&mut rows);
    rows
}

/// Makes a frame.
type Build = fn(&Case) -> Vec<u8>;

/// A message of neighbour discovery; `rest` is what stands behind its checksum.
fn discovery(c: &Case, ip: Ipv6, kind: u8, rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(rest.concat());
    let ip = Ipv6 {
        hop_limit: 255,
        ..ip
    };
    let mut payload = c.icmp(bytes);
    payload.protocol = 58;
    c.frame_v6(&ip, &payload)
}

fn option(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

/// The group that everybody with such an address is in (RFC 4291, 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (a & 0xff), b)
}

fn to_group(frame: Vec<u8>, group: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c, d] = group.octets();
    with(frame, 0, &[0x33, 0x33, a, b, c, d])
}

fn solicitation(c: &Case, ip: Ipv6, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    discovery(c, ip, SOLICITATION, &[&[0; 4], &target.octets(), options])
}

/// Where the target is, as the sender says.
fn advertisement(c: &Case, target: Ipv6Addr, mac: Mac) -> Vec<u8> {
    let options = option(TARGET_ADDRESS, mac);
    discovery(
        c,
        c.v6(),
        ADVERTISEMENT,
        &[&[0x60, 0, 0, 0], &target.octets(), &options],
    )
}

/// An honest answer.
pub fn own_advertisement(c: &Case) -> Vec<u8> {
    advertisement(c, c.from.v6(), c.from.mac())
}

/// Is somebody there? From no address.
fn duplicate_probe(c: &Case, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let group = solicited_node(target);
    let ip = Ipv6::new(Ipv6Addr::UNSPECIFIED, group);
    to_group(solicitation(c, ip, target, options), group)
}

/// The attacker's own link-local address to somebody.
fn local(c: &Case, to: Ipv6Addr) -> Ipv6 {
    Ipv6::new(c.from.link_local(), to)
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

fn honest_discovery(rows: &mut Vec<Row>) {
    rows.push(v6("a solicitation", |c| {
        let group = solicited_node(c.to.v6());
        let own = option(SOURCE_ADDRESS, c.from.mac());
        let ip = Ipv6::new(c.from.v6(), group);
        vec![
            c.pass(to_group(solicitation(c, ip, c.to.v6(), &own), group)),
            c.pass(solicitation(c, c.v6(), c.to.v6(), &own)),
            c.pass(solicitation(c, c.v6(), c.to.v6(), &[])),
            c.pass(solicitation(
                c,
                local(c, c.to.link_local()),
                c.to.link_local(),
                &own,
            )),
        ]
    }));
    rows.push(v6("an advertisement", |c| {
        vec![
            c.pass(advertisement(c, c.from.v6(), c.from.mac())),
            c.pass(advertisement(c, c.from.link_local(), c.from.mac())),
        ]
    }));
    rows.push(v6("an announcement to all", |c| {
        let ip = Ipv6::new(c.from.v6(), ALL_NODES);
        let options = option(TARGET_ADDRESS, c.from.mac());
        let frame = discovery(
            c,
            ip,
            ADVERTISEMENT,
            &[&[0x20, 0, 0, 0], &c.from.v6().octets(), &options],
        );
        vec![c.pass(to_group(frame, ALL_NODES))]
    }));
    rows.push(v6("duplicate detection of its own addresses", |c| {
        vec![
            c.pass(duplicate_probe(c, c.from.v6(), &[])),
            c.pass(duplicate_probe(c, c.from.link_local(), &[])),
            c.pass(duplicate_probe(c, c.from.v6(), &[14, 1, 1, 2, 3, 4, 5, 6])),
        ]
    }));
    rows.push(v6("is there a router", |c| {
        let own = option(SOURCE_ADDRESS, c.from.mac());
        let ip = local(c, ALL_ROUTERS);
        let with_option = discovery(c, ip.clone(), ROUTER_SOLICITATION, &[&[0; 4], &own]);
        let without = discovery(c, ip, ROUTER_SOLICITATION, &[&[0; 4]]);
        vec![
            c.pass(to_group(with_option, ALL_ROUTERS)),
            c.pass(to_group(without, ALL_ROUTERS)),
        ]
    }));
}

fn lying_about_addresses(rows: &mut Vec<Row>) {
    let others: [(&str, Ipv6Addr); 7] = [
        ("the victim", Victim.v6()),
        ("the victim's link-local address", Victim.link_local()),
        ("a neighbour", Bystander.v6()),
        ("the gateway", Host.v6()),
        ("the gateway's link-local address", Host.link_local()),
        ("nobody", Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x200)),
        ("a group", ALL_NODES),
    ];
    for (whom, address) in others {
        rows.push(v6(&format!("an advertisement for {whom}"), move |c| {
            let options = option(TARGET_ADDRESS, c.from.mac());
            let rest: [&[u8]; 3] = [&[0x20, 0, 0, 0], &address.octets(), &options];
            let to_all = discovery(c, Ipv6::new(c.from.v6(), ALL_NODES), ADVERTISEMENT, &rest);
            vec![
                c.drop(
                    "neighbour-discovery",
                    advertisement(c, address, c.from.mac()),
                ),
                c.drop("neighbour-discovery", to_group(to_all, ALL_NODES)),
            ]
        }));
        rows.push(v6(
            &format!("duplicate detection in the name of {whom}"),
            move |c| vec![c.drop("neighbour-discovery", duplicate_probe(c, address, &[]))],
        ));
        rows.push(v6(&format!("{whom} as sender"), move |c| {
            let ip = Ipv6 {
                source: address,
                ..c.v6()
            };
            let own = option(SOURCE_ADDRESS, c.from.mac());
            vec![
                c.drop("source-ipv6", solicitation(c, ip.clone(), c.to.v6(), &own)),
                c.drop(
                    "source-ipv6",
                    discovery(c, ip, ADVERTISEMENT, &[&[0; 4], &address.octets()]),
                ),
            ]
        }));
    }
    for (whose, mac) in [
        ("the victim's", Victim.mac()),
        ("the gateway's", Host.mac()),
        ("no", [0; 6]),
    ] {
        rows.push(v6(
            &format!("its own address at {whose} MAC address"),
            move |c| {
                let option = option(SOURCE_ADDRESS, mac);
                let nonce = [&[14, 1, 1, 2, 3, 4, 5, 6][..], &option].concat();
                vec![
                    c.drop("neighbour-discovery", advertisement(c, c.from.v6(), mac)),
                    c.drop(
                        "neighbour-discovery",
                        solicitation(c, c.v6(), c.to.v6(), &option),
                    ),
                    c.drop(
                        "neighbour-discovery",
                        solicitation(c, c.v6(), c.to.v6(), &nonce),
                    ),
                    c.drop(
                        "neighbour-discovery",
                        discovery(
                            c,
                            local(c, ALL_ROUTERS),
                            ROUTER_SOLICITATION,
                            &[&[0; 4], &option],
                        ),
                    ),
                ]
            },
        ));
    }
}

fn out_of_form(rows: &mut Vec<Row>) {
    for limit in [254_u8, 64, 1, 0] {
        rows.push(v6(&format!("hop limit {limit}"), move |c| {
            let lowered = |frame| with(frame, 21, &[limit]);
            vec![
                c.drop(
                    "neighbour-discovery",
                    lowered(solicitation(c, c.v6(), c.to.v6(), &[])),
                ),
                c.drop(
                    "neighbour-discovery",
                    lowered(advertisement(c, c.from.v6(), c.from.mac())),
                ),
                c.drop(
                    "neighbour-discovery",
                    lowered(duplicate_probe(c, c.from.v6(), &[])),
                ),
            ]
        }));
    }
    let malformed: [(&str, Build); 11] = [
        ("a code", |c| {
            with(solicitation(c, c.v6(), c.to.v6(), &[]), 55, &[1])
        }),
        ("a target of 15 bytes", |c| {
            discovery(
                c,
                c.v6(),
                SOLICITATION,
                &[&[0; 4], &c.to.v6().octets()[..15]],
            )
        }),
        ("no target", |c| {
            discovery(c, c.v6(), SOLICITATION, &[&[0; 4]])
        }),
        ("an option of no length", |c| {
            solicitation(c, c.v6(), c.to.v6(), &[200, 0, 0, 0, 0, 0, 0, 0])
        }),
        ("an option beyond the end", |c| {
            solicitation(c, c.v6(), c.to.v6(), &[200, 2, 0, 0, 0, 0, 0, 0])
        }),
        ("a MAC address of 14 bytes", |c| {
            let long = [&option(SOURCE_ADDRESS, c.from.mac())[..], &[0; 8]].concat();
            solicitation(c, c.v6(), c.to.v6(), &with(long, 1, &[2]))
        }),
        ("three options", |c| {
            solicitation(
                c,
                c.v6(),
                c.to.v6(),
                &option(SOURCE_ADDRESS, c.from.mac()).repeat(3),
            )
        }),
        ("half an option", |c| {
            solicitation(
                c,
                c.v6(),
                c.to.v6(),
                &option(SOURCE_ADDRESS, c.from.mac())[..4],
            )
        }),
        ("duplicate detection that says where the address is", |c| {
            duplicate_probe(c, c.from.v6(), &option(SOURCE_ADDRESS, c.from.mac()))
        }),
        ("duplicate detection to all", |c| {
            let ip = Ipv6::new(Ipv6Addr::UNSPECIFIED, ALL_NODES);
            to_group(solicitation(c, ip, c.from.v6(), &[]), ALL_NODES)
        }),
        ("is there a router, from no address", |c| {
            let ip = Ipv6::new(Ipv6Addr::UNSPECIFIED, ALL_ROUTERS);
            to_group(
                discovery(c, ip, ROUTER_SOLICITATION, &[&[0; 4]]),
                ALL_ROUTERS,
            )
        }),
    ];
    for (what, frame) in malformed {
        rows.push(v6(what, move |c| {
            vec![c.drop("neighbour-discovery", frame(c))]
        }));
    }
    for (what, number, header) in [
        ("hop-by-hop options", 0, [0, 0, 1, 4, 0, 0, 0, 0]),
        ("a router alert", 0, [0, 0, 5, 2, 0, 0, 1, 0]),
        ("destination options", 60, [0, 0, 1, 4, 0, 0, 0, 0]),
        ("a finished route", 43, [0, 0, 2, 0, 0, 0, 0, 0]),
    ] {
        rows.push(v6(&format!("behind {what}"), move |c| {
            let ip = || c.v6().with(number, &header);
            let rest: [&[u8]; 2] = [&[0; 4], &c.from.v6().octets()];
            vec![
                c.drop("neighbour-discovery", solicitation(c, ip(), c.to.v6(), &[])),
                c.drop(
                    "neighbour-discovery",
                    discovery(c, ip(), ADVERTISEMENT, &rest),
                ),
                c.drop(
                    "router-advertisement",
                    discovery(c, ip(), ROUTER_ADVERTISEMENT, &rest),
                ),
                c.drop("router-advertisement", discovery(c, ip(), REDIRECT, &rest)),
            ]
        }));
    }
    // Inverse discovery, secure discovery, renumbering: of no use on this link, and judged by rules.
    for kind in [138, 139, 141, 142, 148, 149, 151, 153] {
        rows.push(v6(&format!("ICMPv6 type {kind}"), move |c| {
            vec![c.drop("policy-default", discovery(c, c.v6(), kind, &[&[0; 20]]))]
        }));
    }
}

fn routers(rows: &mut Vec<Row>) {
    let lifetime = [64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    let prefix: [u8; 32] = {
        let mut option = [0; 32];
        option[..4].copy_from_slice(&[3, 4, 64, 0xc0]);
        option[16] = 0x20;
        option
    };
    rows.push(v6("a router advertisement", move |c| {
        let ip = local(c, ALL_NODES);
        let frame = to_group(
            discovery(c, ip, ROUTER_ADVERTISEMENT, &[&lifetime, &prefix]),
            ALL_NODES,
        );
        vec![
            c.drop("router-advertisement", frame.clone()),
            c.drop("router-advertisement", with(frame, 21, &[64])),
            c.drop(
                "router-advertisement",
                discovery(
                    c,
                    local(c, c.to.link_local()),
                    ROUTER_ADVERTISEMENT,
                    &[&lifetime],
                ),
            ),
            c.drop(
                "router-advertisement",
                discovery(c, c.v6(), ROUTER_ADVERTISEMENT, &[&[0; 4]]),
            ),
        ]
    }));
    rows.push(v6(
        "a router advertisement in the gateway's name",
        move |c| {
            let ip = Ipv6::new(Host.link_local(), ALL_NODES);
            let frame = discovery(c, ip, ROUTER_ADVERTISEMENT, &[&lifetime, &prefix]);
            vec![c.drop("source-ipv6", to_group(frame, ALL_NODES))]
        },
    ));
    rows.push(v6("a redirect", move |c| {
        let target = c.from.link_local().octets();
        let destination = Outside.v6().octets();
        vec![
            c.drop(
                "router-advertisement",
                discovery(
                    c,
                    local(c, c.to.v6()),
                    REDIRECT,
                    &[&[0; 4], &target, &destination],
                ),
            ),
            c.drop(
                "router-advertisement",
                discovery(c, c.v6(), REDIRECT, &[&[0; 4]]),
            ),
        ]
    }));
    rows.push(v6("a redirect in the gateway's name", move |c| {
        let ip = Ipv6::new(Host.link_local(), c.to.v6());
        let rest: [&[u8]; 3] = [
            &[0; 4],
            &c.from.link_local().octets(),
            &Outside.v6().octets(),
        ];
        vec![c.drop("source-ipv6", discovery(c, ip, REDIRECT, &rest))]
    }));
}

/// What passes without a rule must not become a way out for those who have none.
fn leaving_the_link(rows: &mut Vec<Row>) {
    let secret = [&[200, 16][..], &[0x53; 126]].concat();
    let smuggle = move |c: &Case| -> Vec<Shot> {
        let rest: [&[u8]; 3] = [&[0; 4], &c.from.v6().octets(), &secret];
        vec![
            c.drop(
                "neighbour-discovery",
                solicitation(c, c.v6(), c.to.v6(), &secret),
            ),
            c.drop(
                "neighbour-discovery",
                discovery(c, c.v6(), ADVERTISEMENT, &rest),
            ),
            c.drop(
                "neighbour-discovery",
                discovery(c, c.v6(), ROUTER_SOLICITATION, &[&[0; 4], &secret]),
            ),
        ]
    };
    rows.push(v6("data in options, to a machine beyond the link", smuggle).to(Outside));
    rows.push(v6("a solicitation to a group beyond the link", |c| {
        let group = Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 0x101);
        let ip = Ipv6::new(c.from.v6(), group);
        vec![c.drop(
            "neighbour-discovery",
            to_group(solicitation(c, ip, c.to.v6(), &[]), group),
        )]
    }));
    rows.push(
        v6("a solicitation to the gateway", |c| {
            vec![
                c.pass(solicitation(
                    c,
                    c.v6(),
                    c.to.v6(),
                    &option(SOURCE_ADDRESS, c.from.mac()),
                )),
                c.pass(solicitation(
                    c,
                    local(c, c.to.link_local()),
                    c.to.link_local(),
                    &[],
                )),
            ]
        })
        .to(Host),
    );
}

/// A machine on the link may ask and answer like everybody, but not in the name of who is watched.
fn on_the_link(rows: &mut Vec<Row>) {
    rows.push(
        v6("a machine on the link for itself", |c| {
            vec![
                c.pass(solicitation(
                    c,
                    c.v6(),
                    c.to.v6(),
                    &option(SOURCE_ADDRESS, c.from.mac()),
                )),
                c.pass(advertisement(c, c.from.v6(), c.from.mac())),
            ]
        })
        .from(Stranger),
    );
    rows.push(
        v6("from further than the link", |c| {
            vec![
                c.drop(
                    "neighbour-discovery",
                    with(solicitation(c, c.v6(), c.to.v6(), &[]), 21, &[254]),
                ),
                c.drop(
                    "neighbour-discovery",
                    with(advertisement(c, c.from.v6(), c.from.mac()), 21, &[64]),
                ),
                c.drop(
                    "neighbour-discovery",
                    with(solicitation(c, c.v6(), c.to.v6(), &[]), 55, &[1]),
                ),
            ]
        })
        .from(Stranger),
    );
    for (whom, peer) in [("a container", Mallory), ("the gateway", Host)] {
        rows.push(
            v6(
                &format!("a machine on the link in the name of {whom}"),
                move |c| {
                    let ip = Ipv6 {
                        source: peer.v6(),
                        ..c.v6()
                    };
                    let options = option(TARGET_ADDRESS, c.from.mac());
                    let rest: [&[u8]; 3] = [&[0x60, 0, 0, 0], &peer.v6().octets(), &options];
                    vec![
                        c.drop(
                            "neighbour-discovery",
                            advertisement(c, peer.v6(), c.from.mac()),
                        ),
                        c.drop("source-unproven", discovery(c, ip, ADVERTISEMENT, &rest)),
                    ]
                },
            )
            .from(Stranger),
        );
    }
}

//! Who sends: nobody speaks for somebody else.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::case::{Case, Row, both, row, v4, v6, with};
use crate::cast::{Bystander, Host, Mallory, Outside, Peer, Stranger, Victim};
use crate::common::craft::{FAMILIES, Family, Ipv4, Ipv6, SYN};

/// Sources that are not the attacker's, whoever's they are.
const FOREIGN_V4: [(&str, [u8; 4]); 16] = [
    ("the victim's", [10, 77, 0, 12]),
    ("a neighbour's", [10, 77, 0, 13]),
    ("the gateway's", [10, 77, 0, 1]),
    ("the host's towards the outside", [192, 0, 2, 1]),
    ("an outside machine's", [192, 0, 2, 2]),
    ("nobody's in its network", [10, 77, 0, 200]),
    ("its network's", [10, 77, 0, 0]),
    ("its network's broadcast", [10, 77, 0, 255]),
    ("the broadcast", [255, 255, 255, 255]),
    ("a group's", [224, 0, 0, 1]),
    ("the loopback's", [127, 0, 0, 1]),
    ("no", [0, 0, 0, 0]),
    ("another network's", [172, 17, 0, 2]),
    ("a link-local", [169, 254, 1, 1]),
    ("a public", [8, 8, 8, 8]),
    ("a reserved", [240, 0, 0, 1]),
];

const FOREIGN_V6: [(&str, &str); 20] = [
    ("the victim's", "fd77::c"),
    ("a neighbour's", "fd77::d"),
    ("the gateway's", "fd77::1"),
    ("the host's towards the outside", "2001:db8:1::1"),
    ("an outside machine's", "2001:db8:1::2"),
    ("nobody's in its network", "fd77::200"),
    ("the victim's link-local", "fe80::42:aff:fe4d:c"),
    ("the gateway's link-local", "fe80::bb:ff:fe00:0"),
    ("nobody's link-local", "fe80::1"),
    ("its own link-local of another form", "fe80::242:aff:fe4d:b"),
    (
        "its own link-local in another network of fe80::/10",
        "fe80:1::42:aff:fe4d:b",
    ),
    ("its own, mapped", "::ffff:10.77.0.11"),
    ("its own, in the form of old", "::10.77.0.11"),
    ("its own, as 6to4", "2002:0a4d:000b::1"),
    ("its own, as NAT64", "64:ff9b::10.77.0.11"),
    ("the loopback's", "::1"),
    ("no", "::"),
    ("a group's", "ff02::1"),
    ("a public", "2606:4700::1"),
    ("Teredo's", "2001:0:a4d:b::1"),
];

fn from_v4(c: &Case, source: Ipv4Addr) -> Vec<u8> {
    c.frame_v4(&Ipv4 { source, ..c.v4() }, &c.udp(53))
}

fn from_v6(c: &Case, source: Ipv6Addr) -> Vec<u8> {
    c.frame_v6(&Ipv6 { source, ..c.v6() }, &c.udp(53))
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (whose, source) in FOREIGN_V4 {
        rows.push(v4(&format!("{whose} address"), move |c| {
            vec![c.drop("source-ipv4", from_v4(c, source.into()))]
        }));
    }
    for (whose, source) in FOREIGN_V6 {
        let source: Ipv6Addr = source.parse().expect("an address");
        rows.push(v6(&format!("{whose} address"), move |c| {
            vec![c.drop("source-ipv6", from_v6(c, source))]
        }));
    }
    for to in [Host, Outside, Bystander] {
        for family in FAMILIES {
            rows.push(lie(family, Victim).to(to));
        }
    }
    of_mac_addresses(&mut rows);
    by_other_means(&mut rows);
    honest(&mut rows);
    on_the_link(&mut rows);
    from_outside(&mut rows);
    rows
}

/// A datagram that says it is somebody else's.
fn lie(family: Family, whose: Peer) -> Row {
    match family {
        Family::V4 => v4(&format!("{whose:?}'s address on another way"), move |c| {
            vec![c.drop("source-ipv4", from_v4(c, whose.v4()))]
        }),
        Family::V6 => v6(&format!("{whose:?}'s address on another way"), move |c| {
            vec![c.drop("source-ipv6", from_v6(c, whose.v6()))]
        }),
    }
}

fn of_mac_addresses(rows: &mut Vec<Row>) {
    let foreign: [(&str, [u8; 6]); 8] = [
        ("the victim's", Victim.mac()),
        ("a neighbour's", Bystander.mac()),
        ("the gateway's", Host.mac()),
        ("nobody's", [0x02, 0x42, 1, 2, 3, 4]),
        ("no", [0; 6]),
        ("the broadcast's", [0xff; 6]),
        ("a group's", [0x01, 0, 0x5e, 0, 0, 1]),
        ("its own, but for one bit", {
            let mut mac = Mallory.mac();
            mac[5] ^= 1;
            mac
        }),
    ];
    for (whose, mac) in foreign {
        rows.extend(both(&format!("{whose} MAC address"), move |c| {
            vec![c.drop("source-mac", with(c.packet(&c.udp(53)), 6, &mac))]
        }));
    }
}

/// What else could carry a foreign address past the check.
fn by_other_means(rows: &mut Vec<Row>) {
    rows.push(v4("the victim's address, in a fragment", |c| {
        let ip = Ipv4 {
            source: Victim.v4(),
            more_fragments: true,
            ..c.v4()
        };
        vec![c.drop("source-ipv4", c.frame_v4(&ip, &c.udp(53)))]
    }));
    rows.push(v4("the victim's address, in a header with options", |c| {
        let ip = Ipv4 {
            source: Victim.v4(),
            options: vec![1; 8],
            ..c.v4()
        };
        vec![c.drop("source-ipv4", c.frame_v4(&ip, &c.udp(53)))]
    }));
    rows.push(v6("the victim's address, behind hop-by-hop options", |c| {
        let ip = Ipv6 {
            source: Victim.v6(),
            ..c.v6()
        }
        .with(0, &[0, 0, 1, 4, 0, 0, 0, 0]);
        vec![c.drop("source-ipv6", c.frame_v6(&ip, &c.udp(53)))]
    }));
    rows.push(v6("no address, and hop-by-hop options", |c| {
        let ip = Ipv6 {
            source: Ipv6Addr::UNSPECIFIED,
            ..c.v6()
        }
        .with(0, &[0, 0, 5, 2, 0, 0, 1, 0]);
        vec![c.drop("source-ipv6", c.frame_v6(&ip, &c.udp(53)))]
    }));
    rows.push(v6("no address, and an echo request", |c| {
        let ip = Ipv6 {
            source: Ipv6Addr::UNSPECIFIED,
            ..c.v6()
        };
        vec![c.drop("source-ipv6", c.frame_v6(&ip, &c.ping()))]
    }));
    rows.push(v6("no address, and TCP", |c| {
        let ip = Ipv6 {
            source: Ipv6Addr::UNSPECIFIED,
            ..c.v6()
        };
        vec![c.drop("source-ipv6", c.frame_v6(&ip, &c.tcp(80, SYN)))]
    }));
    rows.push(row("an answer in another's name", |c| {
        let asked = c.between(Bystander, Victim);
        let forged = with(
            asked
                .back()
                .packet(&crate::common::craft::udp(53, c.number)),
            6,
            &Mallory.mac(),
        );
        let answer = c.between(Mallory, Bystander);
        vec![
            asked.pass(asked.packet(&asked.udp(53))),
            answer.drop("source-ipv4", forged),
        ]
    }));
}

fn honest(rows: &mut Vec<Row>) {
    rows.extend(both("its own address", |c| {
        vec![c.pass(c.packet(&c.udp(53)))]
    }));
    rows.push(v6("its own link-local address", |c| {
        vec![c.pass(from_v6(c, Mallory.link_local()))]
    }));
    rows.push(v6("link-local to link-local", |c| {
        let ip = Ipv6::new(Mallory.link_local(), Victim.link_local());
        vec![
            c.pass(c.frame_v6(&ip, &c.udp(53))),
            c.drop("policy-default", c.frame_v6(&ip, &c.udp(54))),
        ]
    }));
    for to in [Host, Outside] {
        let title = "its own address on another way";
        rows.extend(
            both(title, |c| vec![c.pass(c.packet(&c.udp(53)))])
                .into_iter()
                .map(|row| row.to(to)),
        );
    }
    rows.extend(both("to whom the frame is not addressed", |c| {
        // The packet is for the victim, who may have it; the frame leads to somebody else.
        let frame = with(c.packet(&c.udp(53)), 0, &Bystander.mac());
        vec![c.between(Mallory, Bystander).drop("mark", frame)]
    }));
}

/// What a machine on the same link says that nobody watches.
fn on_the_link(rows: &mut Vec<Row>) {
    let sources: [(&str, Peer, &'static str); 4] = [
        ("a container's address", Mallory, "source-unproven"),
        ("another container's address", Bystander, "source-unproven"),
        ("the gateway's address", Host, "source-unproven"),
        ("the receiver's own address", Victim, "address"),
    ];
    for (whose, peer, reason) in sources {
        rows.extend(
            both(whose, move |c| {
                let frame = match c.family {
                    Family::V4 => from_v4(c, peer.v4()),
                    Family::V6 => from_v6(c, peer.v6()),
                };
                vec![c.drop(reason, frame)]
            })
            .into_iter()
            .map(|row| row.from(Stranger)),
        );
    }
    for (whose, peer) in [("a container's", Mallory), ("the gateway's", Host)] {
        let row = v6(&format!("{whose} link-local address"), move |c| {
            let ip = Ipv6::new(peer.link_local(), Victim.link_local());
            vec![c.drop("source-unproven", c.frame_v6(&ip, &c.udp(53)))]
        });
        rows.push(row.from(Stranger));
    }
    rows.extend(
        both("a container's address and its MAC address", |c| {
            let frame = match c.family {
                Family::V4 => from_v4(c, Mallory.v4()),
                Family::V6 => from_v6(c, Mallory.v6()),
            };
            vec![c.drop("source-unproven", with(frame, 6, &Mallory.mac()))]
        })
        .into_iter()
        .map(|row| row.from(Stranger)),
    );
    rows.push(
        row("for another MAC address than the receiver's", |c| {
            let frame = with(c.packet(&c.udp(53)), 0, &[0x02, 0x42, 9, 9, 9, 9]);
            vec![c.drop("not-addressed", frame)]
        })
        .from(Stranger),
    );
}

fn from_outside(rows: &mut Vec<Row>) {
    for (whose, peer) in [
        ("a container's", Mallory),
        ("another container's", Bystander),
    ] {
        rows.extend(
            both(&format!("{whose} address"), move |c| {
                let frame = match c.family {
                    Family::V4 => from_v4(c, peer.v4()),
                    Family::V6 => from_v6(c, peer.v6()),
                };
                vec![c.drop("source-unproven", frame)]
            })
            .into_iter()
            .map(|row| row.from(Outside)),
        );
    }
    let row = v4(
        "the gateway's address, which the kernel itself refuses",
        |c| vec![c.gone(from_v4(c, Host.v4()))],
    );
    rows.push(row.from(Outside));
    let row = v6("the gateway's address", |c| {
        vec![c.drop("source-unproven", from_v6(c, Host.v6()))]
    });
    rows.push(row.from(Outside));
}

//! ARP: it passes without a rule, so nobody may speak for anybody else.

use std::net::Ipv4Addr;

use crate::case::{Case, Row, row, with};
use crate::cast::{Bystander, Host, Mallory, Outside, Peer, Stranger, Victim};
use crate::common::craft::{Arp, BROADCAST};
use crate::common::frame::Mac;

const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// Who somebody says it is, and what it wants.
fn arp(c: &Case, operation: u16, sender: (Mac, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    let message = Arp {
        operation,
        sender_mac: sender.0,
        sender: sender.1,
        target_mac: if operation == REQUEST {
            [0; 6]
        } else {
            c.to.mac()
        },
        target,
    };
    c.ethernet(0x0806, &message.bytes())
}

/// An honest question.
pub fn request(c: &Case) -> Vec<u8> {
    arp(c, REQUEST, (c.from.mac(), c.from.v4()), c.to.v4())
}

/// The same, to everybody.
fn broadcast(frame: Vec<u8>) -> Vec<u8> {
    with(frame, 0, &BROADCAST)
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    honest(&mut rows);
    dishonest(&mut rows);
    on_the_link(&mut rows);
    rows
}

fn honest(rows: &mut Vec<Row>) {
    rows.push(row("a request", |c| {
        vec![c.pass(broadcast(request(c))), c.pass(request(c))]
    }));
    rows.push(row("a reply", |c| {
        vec![c.pass(arp(c, REPLY, (c.from.mac(), c.from.v4()), c.to.v4()))]
    }));
    rows.push(row("an announcement of its own address", |c| {
        let own = (c.from.mac(), c.from.v4());
        vec![
            c.pass(broadcast(arp(c, REQUEST, own, own.1))),
            c.pass(broadcast(arp(c, REPLY, own, own.1))),
        ]
    }));
    rows.push(row("a probe for its own address", |c| {
        let nobody = (c.from.mac(), Ipv4Addr::UNSPECIFIED);
        vec![c.pass(broadcast(arp(c, REQUEST, nobody, c.from.v4())))]
    }));
    rows.push(row("padded as Ethernet wants it", |c| {
        let mut frame = request(c);
        frame.resize(60, 0);
        vec![c.pass(frame)]
    }));
}

fn dishonest(rows: &mut Vec<Row>) {
    let others: [(&str, Ipv4Addr); 6] = [
        ("the victim", Victim.v4()),
        ("a neighbour", Bystander.v4()),
        ("the gateway", Host.v4()),
        ("nobody", Ipv4Addr::new(10, 77, 0, 200)),
        ("an outside machine", Outside.v4()),
        ("everybody", Ipv4Addr::BROADCAST),
    ];
    for (whom, address) in others {
        rows.push(row(&format!("a reply for {whom}"), move |c| {
            vec![c.drop("arp", arp(c, REPLY, (c.from.mac(), address), c.to.v4()))]
        }));
        rows.push(row(&format!("a request in the name of {whom}"), move |c| {
            vec![c.drop(
                "arp",
                broadcast(arp(c, REQUEST, (c.from.mac(), address), c.to.v4())),
            )]
        }));
        rows.push(row(&format!("an announcement for {whom}"), move |c| {
            vec![
                c.drop(
                    "arp",
                    broadcast(arp(c, REQUEST, (c.from.mac(), address), address)),
                ),
                c.drop(
                    "arp",
                    broadcast(arp(c, REPLY, (c.from.mac(), address), address)),
                ),
            ]
        }));
        rows.push(row(&format!("a probe for {whom}"), move |c| {
            let nobody = (c.from.mac(), Ipv4Addr::UNSPECIFIED);
            vec![c.drop("arp", broadcast(arp(c, REQUEST, nobody, address)))]
        }));
    }
    rows.push(row("a reply from no address", |c| {
        let nobody = (c.from.mac(), Ipv4Addr::UNSPECIFIED);
        vec![c.drop("arp", arp(c, REPLY, nobody, c.from.v4()))]
    }));
    for (whose, mac) in [
        ("the victim's", Victim.mac()),
        ("the gateway's", Host.mac()),
        ("no", [0; 6]),
    ] {
        rows.push(row(
            &format!("its own address at {whose} MAC address"),
            move |c| {
                let lie = (mac, c.from.v4());
                vec![
                    c.drop("arp", arp(c, REPLY, lie, c.to.v4())),
                    c.drop("arp", broadcast(arp(c, REQUEST, lie, c.to.v4()))),
                ]
            },
        ));
    }
    let malformed: [(&str, usize, &[u8]); 9] = [
        ("no Ethernet", 14, &[0, 6]),
        ("no IPv4", 16, &[0x86, 0xdd]),
        ("MAC addresses of 8 bytes", 18, &[8]),
        ("addresses of 16 bytes", 19, &[16]),
        ("operation 0", 20, &[0, 0]),
        ("operation 3 (RARP)", 20, &[0, 3]),
        ("operation 4 (RARP's reply)", 20, &[0, 4]),
        ("operation 8 (InARP)", 20, &[0, 8]),
        ("operation 513", 20, &[2, 1]),
    ];
    for (what, offset, bytes) in malformed {
        rows.push(row(what, move |c| {
            vec![c.drop("arp", with(request(c), offset, bytes))]
        }));
    }
    for length in [27, 20] {
        rows.push(row(&format!("{length} of 28 bytes"), move |c| {
            let mut frame = request(c);
            frame.truncate(14 + length);
            vec![c.drop("truncated", frame)]
        }));
    }
}

/// A machine on the link may ask and answer like everybody, but not in the name of who is watched.
fn on_the_link(rows: &mut Vec<Row>) {
    rows.push(
        row("a machine on the link for itself", |c| {
            vec![
                c.pass(request(c)),
                c.pass(arp(c, REPLY, (c.from.mac(), c.from.v4()), c.to.v4())),
            ]
        })
        .from(Stranger),
    );
    for (whom, peer) in [("a container", Mallory), ("the gateway", Host)] {
        rows.push(
            row(
                &format!("a machine on the link in the name of {whom}"),
                move |c| {
                    let lie: (Mac, Ipv4Addr) = (c.from.mac(), Peer::v4(peer));
                    vec![
                        c.drop("arp", arp(c, REPLY, lie, c.to.v4())),
                        c.drop("arp", broadcast(arp(c, REQUEST, lie, lie.1))),
                    ]
                },
            )
            .from(Stranger),
        );
    }
}

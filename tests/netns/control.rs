//! The positive controls: without a firewall everything gets through, spoofed packets too. So what
//! the other tests see dropped, bridgewall dropped.

use std::net::IpAddr;

use crate::common::frame::{self, UDP, Witness};
use crate::common::probe::{self, Outcome};
use crate::common::sandbox::Sandbox;
use crate::common::service::Service;
use crate::common::stream::Stream;
use crate::common::{BRIEFLY, eventually};

#[test]
fn without_a_firewall_everybody_reaches_everybody() {
    let mut sandbox = Sandbox::new(&["web", "db"]);
    sandbox.add_far(1400);
    let nodes = [
        sandbox.container("web"),
        sandbox.container("db"),
        sandbox.outside(),
        sandbox.host(),
    ];
    for target in nodes {
        let tcp = Service::tcp(&target.namespace, 80, "hello");
        let udp = Service::udp(&target.namespace, 53);
        let others = nodes.iter().filter(|node| node.ipv4 != target.ipv4);
        let mut attempts = 0;
        for source in others {
            // A host answers UDP from its nearest address, so it is asked at that.
            let is_local =
                target.ipv4 == sandbox.host().ipv4 && source.ipv4 != sandbox.outside().ipv4;
            let addresses = if is_local {
                sandbox.gateway()
            } else {
                target.addresses()
            };
            for address in addresses {
                probe::assert_connects(&source.namespace, (address, 80).into());
                probe::assert_refused(&source.namespace, (address, 81).into());
                probe::assert_echoes(&source.namespace, (address, 53).into());
                probe::assert_pings(&source.namespace, address);
                attempts += 1;
            }
        }
        assert_eq!((tcp.heard(), udp.heard()), (attempts, attempts));
    }
}

#[test]
fn silence_is_told_from_refusal() {
    let sandbox = Sandbox::new(&["web", "db"]);
    let db = sandbox.container("db");
    db.namespace.run(
        "nft",
        &[concat!(
            "add table inet quiet;",
            "add chain inet quiet in { type filter hook input priority 0; };",
            "add rule inet quiet in meta l4proto { tcp, udp } drop",
        )],
    );
    let web = &sandbox.container("web").namespace;
    for to in db.sockets(80) {
        assert_eq!(probe::tcp_within(web, to, BRIEFLY), Outcome::Silence);
        assert_eq!(probe::udp_within(web, to, BRIEFLY), Outcome::Silence);
        probe::assert_pings(web, to.ip());
    }
}

#[test]
fn without_a_firewall_spoofed_packets_arrive() {
    let sandbox = Sandbox::new(&["web", "db", "thief"]);
    let (web, db, thief) = (
        sandbox.container("web"),
        sandbox.container("db"),
        sandbox.container("thief"),
    );
    let service = Service::udp(&db.namespace, 53);
    let mut witness = Witness::at(&db.namespace, "eth0");
    for (source, target) in web.addresses().into_iter().zip(db.addresses()) {
        let datagram = frame::udp((thief.mac, db.mac), (source, target), (4000, 53), b"stolen");
        let before = service.heard();
        // Again and again: a link that has just come up may lose the first one.
        eventually("the spoofed datagram is heard", || {
            frame::send(&thief.namespace, "eth0", &datagram);
            (service.heard() > before).then_some(())
        });
    }
    assert!(witness.count(|packet| packet.source_mac == thief.mac && packet.protocol == UDP) >= 2);
}

#[test]
fn without_a_firewall_neighbours_are_poisoned() {
    let sandbox = Sandbox::new(&["web", "db", "thief"]);
    let (web, db, thief) = (
        sandbox.container("web"),
        sandbox.container("db"),
        sandbox.container("thief"),
    );
    for address in web.addresses() {
        probe::assert_pings(&db.namespace, address);
    }
    let claims = [
        frame::arp_reply((thief.mac, db.mac), web.ipv4.octets(), db.ipv4.octets()),
        frame::neighbour_advertisement((thief.mac, db.mac), (web.ipv6.into(), db.ipv6.into())),
    ];
    for (address, claim) in web.addresses().into_iter().zip(&claims) {
        eventually("the neighbour table names the thief", || {
            // Again and again: an entry that was just confirmed is not changed for a second.
            frame::send(&thief.namespace, "eth0", claim);
            let entry = db
                .namespace
                .run("ip", &["neighbour", "show", &address.to_string()]);
            entry
                .contains(&crate::common::sandbox::mac_text(thief.mac))
                .then_some(())
        });
    }
}

#[test]
fn a_small_mtu_on_the_way_is_answered_with_packet_too_big() {
    let mut sandbox = Sandbox::new(&["web"]);
    sandbox.add_far(1400);
    let web = sandbox.container("web");
    let mut witness = Witness::at(&web.namespace, "eth0");
    for far in [
        IpAddr::from([203, 0, 113, 2]),
        "2001:db8:f::2".parse().expect("an address"),
    ] {
        probe::send_large_udp(&web.namespace, (far, 9).into());
    }
    eventually("both families' errors arrive", || {
        let too_big = (
            witness.of_icmp(frame::ICMP, 3),
            witness.of_icmp(frame::ICMPV6, 2),
        );
        (too_big == (1, 1)).then_some(())
    });
}

#[test]
fn without_a_firewall_streams_lose_nothing() {
    let sandbox = Sandbox::new(&["web", "db"]);
    let (web, db) = (sandbox.container("web"), sandbox.container("db"));
    for to in db.sockets(5000) {
        for stream in [
            Stream::udp(&web.namespace, &db.namespace, to),
            Stream::tcp(&web.namespace, &db.namespace, to),
        ] {
            stream.assert_flowing();
            stream.finish().assert_no_loss();
        }
    }
}

#[test]
fn a_cut_stream_is_known_to_have_ended() {
    let sandbox = Sandbox::new(&["web", "db"]);
    let (web, db) = (sandbox.container("web"), sandbox.container("db"));
    let [to, _] = db.sockets(5000);
    let udp = Stream::udp(&web.namespace, &db.namespace, to);
    let tcp = Stream::tcp(&web.namespace, &db.namespace, to);
    sandbox.host().namespace.ip("link set db nomaster");
    udp.assert_ended();
    tcp.assert_ended();
    let report = udp.finish();
    assert!(report.received < report.sent, "{report:?}");
    let report = tcp.finish();
    assert!(report.received < report.sent, "{report:?}");
}

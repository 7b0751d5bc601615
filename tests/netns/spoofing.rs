//! A container sends as itself, or not at all. Without a firewall all of this works: see `control`.

use std::net::IpAddr;

use super::firewall;
use crate::common::eventually;
use crate::common::frame::{self, UDP, Witness};
use crate::common::probe;
use crate::common::sandbox::{Sandbox, mac_text};

/// Everything honest is allowed: only the lie is left to drop.
const ALLOW_ALL: &str = r#"
    [[allow]]
    from = "any"
    to   = "any"
"#;

on_both_hooks! {
    fn a_source_address_that_is_not_the_senders_is_dropped(attach) {
        let sandbox = Sandbox::new(&["web", "db", "thief"]);
        let daemon = firewall(&sandbox, attach, ALLOW_ALL);
        let [web, db, thief] = ["web", "db", "thief"].map(|name| sandbox.container(name));
        let monitor = daemon.monitor();
        let strangers: [IpAddr; 2] = [[10, 77, 0, 200].into(), "fd77::200".parse().expect("an address")];
        for (family, reason) in ["source-ipv4", "source-ipv6"].into_iter().enumerate() {
            for source in [web.addresses()[family], sandbox.gateway()[family], strangers[family]] {
                let mut witness = Witness::at(&db.namespace, "eth0");
                let before = daemon.drops(reason);
                let datagram = frame::udp(
                    (thief.mac, db.mac),
                    (source, db.addresses()[family]),
                    (4000, 53),
                    b"stolen",
                );
                frame::send(&thief.namespace, "eth0", &datagram);
                eventually("the spoofed datagram is counted", || {
                    (daemon.drops(reason) == before + 1).then_some(())
                });
                assert_eq!(witness.for_port(UDP, 53), 0);
                monitor.expect("the thief is named", |event| {
                    event["reason"] == reason
                        && event["source"]["address"] == source.to_string()
                        && event["endpoint"] == "thief"
                });
            }
        }
        for address in db.addresses() {
            probe::assert_pings(&thief.namespace, address);
        }
    }

    fn a_mac_address_that_is_not_the_senders_is_dropped(attach) {
        let sandbox = Sandbox::new(&["web", "db", "thief"]);
        let daemon = firewall(&sandbox, attach, ALLOW_ALL);
        let [web, db, thief] = ["web", "db", "thief"].map(|name| sandbox.container(name));
        let mut witness = Witness::at(&db.namespace, "eth0");
        for (source, target) in thief.addresses().into_iter().zip(db.addresses()) {
            let datagram = frame::udp((web.mac, db.mac), (source, target), (4000, 53), b"stolen");
            frame::send(&thief.namespace, "eth0", &datagram);
        }
        eventually("both are counted", || (daemon.drops("source-mac") == 2).then_some(()));
        assert_eq!(witness.for_port(UDP, 53), 0);
    }

    fn nobody_answers_for_a_neighbour(attach) {
        let sandbox = Sandbox::new(&["web", "db", "thief"]);
        let daemon = firewall(&sandbox, attach, ALLOW_ALL);
        let [web, db, thief] = ["web", "db", "thief"].map(|name| sandbox.container(name));
        for address in web.addresses() {
            probe::assert_pings(&db.namespace, address);
        }
        frame::send(
            &thief.namespace,
            "eth0",
            &frame::arp_reply((thief.mac, db.mac), web.ipv4.octets(), db.ipv4.octets()),
        );
        frame::send(
            &thief.namespace,
            "eth0",
            &frame::neighbour_advertisement((thief.mac, db.mac), (web.ipv6.into(), db.ipv6.into())),
        );
        eventually("the ARP lie is counted", || (daemon.drops("arp") == 1).then_some(()));
        eventually("the discovery lie is counted", || {
            let counted = daemon.drops("neighbour-discovery") + daemon.drops("source-ipv6");
            (counted == 1).then_some(())
        });
        for address in web.addresses() {
            let entry = db.namespace.run("ip", &["neighbour", "show", &address.to_string()]);
            assert!(entry.contains(&mac_text(web.mac)), "{entry}");
        }
    }
}

//! ICMP is a protocol like any other, with types in the place of ports; what the network itself has to
//! say passes without a rule.

use super::firewall;
use crate::common::eventually;
use crate::common::frame::{ICMP, ICMPV6, Witness};
use crate::common::probe;
use crate::common::sandbox::Sandbox;
use crate::common::service::Service;
use crate::common::verdict::Traffic::{Icmp4, Icmp6, Ping, Tcp, Udp};
use crate::common::verdict::{Verdicts, why};

on_both_hooks! {
    fn a_rule_for_echo_allows_echo_and_nothing_else(attach) {
        let sandbox = Sandbox::new(&["web", "db"]);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [[allow]]
            name = "ping"
            from = "web"
            to   = "db"
            icmp = ["echo-request"]
            "#,
        );
        let (web, db) = (sandbox.container("web"), sandbox.container("db"));
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, db, Ping);
        for traffic in [Tcp(80), Udp(53), Icmp4(13, 0), Icmp4(17, 0), Icmp4(0, 0), Icmp6(139, 0), Icmp6(129, 0)] {
            verdicts.dropped(web, db, traffic, why::DEFAULT);
        }
        // The answer passes, a question of one's own does not.
        verdicts.dropped(db, web, Ping, why::DEFAULT);
        assert_eq!(daemon.hits("ping"), 2, "a new connection in each family");
    }

    fn type_0_is_no_wildcard(attach) {
        let sandbox = Sandbox::new(&["web", "db"]);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [[allow]]
            from = "web"
            to   = "db"
            icmp = ["ipv4:0"]
            "#,
        );
        let (web, db) = (sandbox.container("web"), sandbox.container("db"));
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, db, Icmp4(0, 0));
        for traffic in [Ping, Icmp4(13, 0), Icmp6(128, 0), Icmp6(139, 0), Tcp(80)] {
            verdicts.dropped(web, db, traffic, why::DEFAULT);
        }
    }

    fn types_codes_and_ranges_are_kept_apart(attach) {
        let sandbox = Sandbox::new(&["web", "db"]);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [[allow]]
            from = "web"
            to   = "db"
            icmp = ["ipv4:13-15", "ipv4:42/1", "ipv6:139"]
            "#,
        );
        let (web, db) = (sandbox.container("web"), sandbox.container("db"));
        let verdicts = Verdicts::of(&daemon);
        for traffic in [Icmp4(13, 0), Icmp4(15, 0), Icmp4(42, 1), Icmp6(139, 0), Icmp6(139, 1)] {
            verdicts.allowed(web, db, traffic);
        }
        for traffic in [Icmp4(16, 0), Icmp4(42, 0), Icmp4(8, 0), Icmp6(140, 0), Icmp6(128, 0)] {
            verdicts.dropped(web, db, traffic, why::DEFAULT);
        }
    }

    fn a_rule_for_a_port_allows_no_ping_but_packet_too_big_arrives(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        sandbox.add_far(1400);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [defaults]
            egress = "deny"

            [[allow]]
            from  = "web"
            to    = "internet"
            ports = ["80/tcp", "9/udp"]
            "#,
        );
        let (web, far) = (sandbox.container("web"), sandbox.far());
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, far, Tcp(80));
        verdicts.dropped(web, far, Ping, why::DEFAULT);
        verdicts.dropped(web, far, Tcp(81), why::DEFAULT);

        let mut witness = Witness::at(&web.namespace, "eth0");
        let _services = [Service::udp(&far.namespace, 9)];
        for to in far.sockets(9) {
            probe::send_large_udp(&web.namespace, to);
        }
        eventually("the router's errors arrive", || {
            (witness.of_icmp(ICMP, 3) == 1 && witness.of_icmp(ICMPV6, 2) == 1).then_some(())
        });
        // And they are believed: a connection that needs them works.
        for to in far.sockets(80) {
            probe::assert_bulk(&web.namespace, &far.namespace, to);
        }
    }

    fn neighbour_discovery_works_under_default_deny(attach) {
        let sandbox = Sandbox::new(&["web", "db"]);
        let _daemon = firewall(
            &sandbox,
            attach,
            r#"
            [defaults]
            ingress = "deny"
            egress  = "deny"
            "#,
        );
        let (web, db) = (sandbox.container("web"), sandbox.container("db"));
        for (asker, target) in [(web, db.addresses()), (db, web.addresses()), (web, sandbox.gateway())] {
            for address in target {
                asker.namespace.run("ip", &["neighbour", "flush", "all"]);
                probe::assert_no_ping(&asker.namespace, address);
                let entry = asker.namespace.run("ip", &["neighbour", "show", &address.to_string()]);
                assert!(entry.contains("lladdr"), "{address} was not found: {entry:?}");
            }
        }
    }
}

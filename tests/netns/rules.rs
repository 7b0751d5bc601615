//! How rules come together.

use super::firewall;
use crate::common::sandbox::Sandbox;
use crate::common::verdict::Traffic::{Ping, Tcp, Udp};
use crate::common::verdict::{Verdicts, why};

on_both_hooks! {
    fn rules_are_a_union(attach) {
        let sandbox = Sandbox::new(&["web", "api", "db"]);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [[allow]]
            name  = "web and api"
            from  = ["web", "api"]
            to    = "db"
            ports = ["3306/tcp"]

            [[allow]]
            name  = "web only"
            from  = "web"
            to    = "db"
            ports = ["8000-8100/udp", "22"]
            icmp  = ["echo-request"]
            "#,
        );
        let [web, api, db] = ["web", "api", "db"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        for traffic in [Tcp(3306), Tcp(22), Udp(8000), Udp(8100), Ping] {
            verdicts.allowed(web, db, traffic);
        }
        verdicts.allowed(api, db, Tcp(3306));
        assert_eq!(daemon.hits("web and api"), 4);
        assert_eq!(daemon.hits("web only"), 8);
        for (from, traffic) in [
            (web, Tcp(3307)),
            (web, Udp(3306)),
            (web, Udp(7999)),
            (web, Udp(8101)),
            (web, Tcp(8000)),
            (api, Tcp(22)),
            (api, Ping),
        ] {
            verdicts.dropped(from, db, traffic, why::DEFAULT);
        }
    }

    fn deny_beats_allow_in_whatever_order(attach) {
        let sandbox = Sandbox::new(&["web", "api", "db"]);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [[deny]]
            name = "no api"
            from = "api"
            to   = "any"

            [[allow]]
            from = "containers"
            to   = "db"

            [[deny]]
            name  = "no shell"
            from  = "any"
            to    = "db"
            ports = ["22"]
            "#,
        );
        let [web, api, db] = ["web", "api", "db"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, db, Tcp(80));
        verdicts.allowed(web, db, Ping);
        verdicts.dropped(web, db, Tcp(22), why::DENIED);
        verdicts.dropped(api, db, Tcp(80), why::DENIED);
        verdicts.dropped(api, db, Ping, why::DENIED);
        assert_eq!(daemon.hits("no shell"), 2);
        verdicts.monitor().expect("the rule is named", |event| {
            event["rule"]["name"] == "no shell" && event["verdict"] == "deny"
        });
    }

    fn both_sides_judge(attach) {
        let sandbox = Sandbox::new(&["web", "db"]);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [defaults]
            ingress = "deny"
            egress  = "deny"

            [[allow]]
            from  = "web"
            to    = "db"
            ports = ["1/tcp"]

            [[allow]]
            from  = "web"
            to    = "db"
            ports = ["2/tcp"]
            side  = "egress"

            [[allow]]
            from  = "web"
            to    = "db"
            ports = ["3/tcp"]
            side  = "ingress"
            "#,
        );
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, db, Tcp(1));
        verdicts.dropped(web, db, Tcp(2), why::DEFAULT);
        verdicts.dropped(web, db, Tcp(3), why::DEFAULT);
        for (port, side) in [(2, "ingress"), (3, "egress")] {
            verdicts.monitor().expect("the other side decided", |event| {
                event["destination"]["port"] == port && event["side"] == side
            });
        }
    }

    fn the_host_is_a_peer_of_its_own(attach) {
        let sandbox = Sandbox::new(&["web"]);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [defaults]
            egress = "deny"

            [[allow]]
            from  = "host"
            to    = "web"
            ports = ["80/tcp"]

            [[allow]]
            from  = "web"
            to    = "host"
            ports = ["53/udp"]
            "#,
        );
        let (web, host) = (sandbox.container("web"), sandbox.bridge_node());
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(&host, web, Tcp(80));
        verdicts.dropped(&host, web, Tcp(81), why::DEFAULT);
        verdicts.dropped(&host, web, Ping, why::DEFAULT);
        verdicts.allowed(web, &host, Udp(53));
        verdicts.dropped(web, &host, Tcp(53), why::DEFAULT);
        verdicts.dropped(web, &host, Ping, why::DEFAULT);
    }

    fn audit_lets_pass_and_tells_what_it_would_have_dropped(attach) {
        let sandbox = Sandbox::new(&["web", "db"]);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [defaults]
            mode = "audit"

            [[allow]]
            from  = "web"
            to    = "db"
            ports = ["80/tcp"]
            "#,
        );
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, db, Tcp(80));
        assert_eq!(verdicts.monitor().count(|event| event["verdict"] == "audit"), 0);
        verdicts.audited(web, db, Tcp(22));
        verdicts.audited(web, db, Ping);
        assert_eq!(daemon.drops(why::DEFAULT), 0, "nothing is dropped");
    }

    fn unidentified_endpoints_are_left_alone_or_policed_as_told(attach) {
        let sandbox = Sandbox::new(&["web", "stranger", "drifter"]);
        let start = |unidentified: &str| {
            format!(
                r#"
                [defaults]
                unidentified = "{unidentified}"

                [identities.web]
                interface = "web"

                [[deny]]
                from  = "any"
                to    = "any"
                ports = ["22"]
                "#
            )
        };
        let daemon = crate::common::daemon::Daemon::start(
            sandbox.place(),
            attach,
            &sandbox.configuration(),
            &start("allow"),
            3,
        );
        let [web, stranger, drifter] =
            ["web", "stranger", "drifter"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(stranger, drifter, Tcp(80));
        verdicts.dropped(stranger, drifter, Tcp(22), why::DENIED);
        verdicts.allowed(web, stranger, Tcp(80));
        verdicts.dropped(stranger, web, Tcp(80), why::DEFAULT);

        daemon.edit(&start("deny"));
        verdicts.dropped(stranger, drifter, Tcp(80), why::DEFAULT);
        verdicts.dropped(web, stranger, Tcp(80), why::DEFAULT);
    }
}

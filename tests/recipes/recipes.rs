//! One test for each recipe: who gets where with it, and who does not.

use std::collections::BTreeSet;
use std::process::Command;

use crate::common::probe::{self, Outcome};
use crate::common::service::Service;
use crate::common::verdict::Traffic::{Icmp4, Icmp6, Ping, Tcp, Udp};
use crate::common::verdict::why;
use crate::common::{BRIEFLY, PATIENCE, eventually};
use crate::scene::{PROJECT, SERVICE, Scene, folder};

/// Declares the tests, and so which recipes have one.
macro_rules! recipes {
    ($(fn $test:ident($name:literal) $body:block)+) => {
        const TESTED: &[&str] = &[$($name),+];
        $(#[test] fn $test() $body)+
    };
}

#[test]
fn every_recipe_is_tested_and_holds_by_its_own_tests() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("list the recipes")
        .map(|entry| entry.expect("list the recipes").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let tested = TESTED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(files, tested);
    for name in files {
        let file = folder().join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&file).expect("read a recipe");
        assert!(text.starts_with("# "), "{name} says what it is for");
        assert!(text.contains("[[test]]"), "{name} tests itself");
        let output = Command::new(env!("CARGO_BIN_EXE_bridgewall"))
            .arg("check")
            .arg(&file)
            .output()
            .expect("run check");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
    }
}

recipes! {
    fn nobody_reaches_an_app_that_is_denied_to_all("deny-all-to-one-app") {
        let scene = Scene::new(
            "deny-all-to-one-app",
            &[("vault", &[(SERVICE, "vault")]), ("web", &[(SERVICE, "web")])],
        );
        for peer in ["web", "host", "office"] {
            scene.denies(peer, "vault", &[Tcp(443)]);
        }
        scene.denies("web", "vault", &[Udp(53), Ping]);
        scene.allows("vault", "internet", &[Tcp(443)]);
        scene.allows("vault", "web", &[Ping]);
        scene.allows("internet", "web", &[Tcp(80)]);
    }

    fn only_the_web_server_uses_the_database("one-app-to-another") {
        let scene = Scene::new(
            "one-app-to-another",
            &[
                ("web", &[(SERVICE, "web")]),
                ("db", &[(SERVICE, "db")]),
                ("other", &[]),
            ],
        );
        scene.allows("web", "db", &[Tcp(3306)]);
        scene.drops("web", "db", &[Tcp(22), Udp(3306), Ping]);
        for peer in ["other", "host", "internet"] {
            scene.drops(peer, "db", &[Tcp(3306)]);
        }
        scene.allows("internet", "web", &[Tcp(80)]);
        scene.allows("web", "other", &[Tcp(80)]);
    }

    fn a_compose_project_is_closed_but_for_what_is_written("compose-default-deny") {
        let scene = Scene::new(
            "compose-default-deny",
            &[
                ("web", &[(PROJECT, "shop"), (SERVICE, "web")]),
                ("db", &[(PROJECT, "shop"), (SERVICE, "db")]),
                ("other", &[(SERVICE, "web")]),
            ],
        );
        scene.allows("internet", "web", &[Tcp(80)]);
        scene.allows("web", "db", &[Tcp(3306)]);
        scene.allows("db", "internet", &[Udp(53)]);
        scene.drops("internet", "web", &[Tcp(22)]);
        scene.drops("web", "internet", &[Tcp(443)]);
        scene.drops("db", "web", &[Tcp(80)]);
        scene.drops("other", "db", &[Tcp(3306)]);
        scene.drops("db", "other", &[Ping]);
    }

    fn compose_projects_do_not_see_each_other("no-cross-project") {
        let scene = Scene::new(
            "no-cross-project",
            &[
                ("shop-web", &[(PROJECT, "shop")]),
                ("shop-db", &[(PROJECT, "shop")]),
                ("blog", &[(PROJECT, "blog")]),
                ("loner", &[]),
            ],
        );
        scene.allows("shop-web", "shop-db", &[Tcp(3306), Ping]);
        scene.allows("internet", "shop-web", &[Tcp(80)]);
        scene.allows("host", "loner", &[Tcp(80)]);
        scene.allows("blog", "internet", &[Tcp(443)]);
        scene.drops("blog", "shop-db", &[Tcp(3306), Ping]);
        scene.drops("shop-web", "loner", &[Tcp(80)]);
        scene.drops("loner", "blog", &[Udp(53)]);
    }

    fn a_published_port_is_for_the_office_only("published-from-office") {
        let scene = Scene::with(
            "published-from-office",
            &[("admin", &[(SERVICE, "admin")]), ("other", &[])],
            |name, recipe| if name == "admin" { recipe.publish(8443, 443) } else { recipe },
        );
        let admin = Service::tcp(&scene.node("admin").namespace, 443, "hello");
        let of_host = |who| match who {
            "office" => ["203.0.113.1", "2001:db8:1::1"],
            "internet" => ["198.51.100.1", "2001:db8:51::1"],
            _ => ["10.88.1.1", "fd88:1::1"],
        };
        for (who, may) in [("office", true), ("internet", false), ("other", false)] {
            for address in of_host(who) {
                let to = (address.parse::<std::net::IpAddr>().expect("an address"), 8443).into();
                let (heard, drops) = (admin.heard(), scene.daemon.drops(why::DEFAULT));
                let patience = if may { PATIENCE } else { BRIEFLY };
                let outcome = probe::tcp_within(&scene.node(who).namespace, to, patience);
                if may {
                    assert_eq!(outcome, Outcome::Answered, "{who} to {to}");
                    assert!(admin.heard() > heard, "{who} to {to}");
                    continue;
                }
                assert_eq!(outcome, Outcome::Silence, "{who} to {to}");
                eventually(&format!("the drop of {who} to {to} is counted"), || {
                    (scene.daemon.drops(why::DEFAULT) > drops).then_some(())
                });
                assert_eq!(admin.heard(), heard, "{who} to {to}");
            }
        }
        drop(admin);
        scene.drops("office", "admin", &[Tcp(8443)]);
        scene.drops("host", "admin", &[Tcp(443)]);
    }

    fn only_the_reverse_proxy_reaches_the_apps("only-reverse-proxy") {
        let scene = Scene::new(
            "only-reverse-proxy",
            &[
                ("proxy", &[(SERVICE, "proxy")]),
                ("app", &[("tier", "app")]),
                ("second", &[("tier", "app")]),
            ],
        );
        scene.allows("internet", "proxy", &[Tcp(443), Udp(443)]);
        scene.allows("app", "proxy", &[Tcp(80)]);
        scene.allows("proxy", "app", &[Tcp(8080)]);
        scene.drops("proxy", "app", &[Tcp(8081)]);
        scene.drops("internet", "proxy", &[Tcp(22)]);
        for peer in ["second", "host", "internet"] {
            scene.drops(peer, "app", &[Tcp(8080)]);
        }
    }

    fn containers_use_the_internet_but_not_the_lan("internet-but-not-lan") {
        let scene = Scene::new("internet-but-not-lan", &[("app", &[]), ("other", &[])]);
        scene.allows("app", "internet", &[Tcp(443), Ping]);
        scene.denies("app", "lan", &[Tcp(445), Udp(53), Ping]);
        // Containers and the host are nobody's LAN, whatever their addresses are.
        scene.allows("app", "other", &[Tcp(80)]);
        scene.allows("app", "host", &[Tcp(80)]);
        scene.allows("lan", "app", &[Tcp(80)]);
    }

    fn a_worker_speaks_dns_and_https_only("only-dns-and-https") {
        let scene = Scene::new(
            "only-dns-and-https",
            &[("worker", &[(SERVICE, "worker")]), ("other", &[])],
        );
        scene.allows("worker", "internet", &[Tcp(443), Udp(53), Tcp(53)]);
        scene.allows("worker", "lan", &[Udp(53)]);
        scene.drops("worker", "internet", &[Tcp(25), Udp(443), Ping]);
        scene.drops("worker", "other", &[Tcp(443)]);
        scene.drops("worker", "host", &[Udp(53)]);
        scene.allows("other", "internet", &[Tcp(25)]);
    }

    fn monitoring_pings_and_nobody_else_does("ping-for-monitoring") {
        let scene = Scene::new(
            "ping-for-monitoring",
            &[("web", &[]), ("prober", &[("role", "monitoring")])],
        );
        scene.allows("office", "web", &[Ping]);
        scene.allows("prober", "web", &[Ping]);
        for peer in ["internet", "lan", "host"] {
            scene.drops(peer, "web", &[Ping]);
        }
        scene.drops("web", "prober", &[Ping]);
        scene.drops("office", "web", &[Icmp4(13, 0), Icmp6(139, 0), Tcp(80)]);
    }

    fn nobody_talks_to_a_blocklist_nor_it_to_anybody("blocklist") {
        let scene = Scene::new("blocklist", &[("web", &[]), ("other", &[])]);
        // 203.0.113.0/24 and 2001:db8:1::/48 stand in the list.
        scene.denies("office", "web", &[Tcp(80), Ping]);
        scene.denies("web", "office", &[Tcp(443)]);
        scene.allows("internet", "web", &[Tcp(80)]);
        scene.allows("web", "internet", &[Tcp(443)]);
        scene.allows("web", "other", &[Ping]);
    }

    fn the_host_is_closed_but_for_the_office("host-ssh-from-office") {
        let scene = Scene::new("host-ssh-from-office", &[("web", &[])]);
        scene.allows("office", "host beside office", &[Tcp(22), Ping]);
        scene.drops("office", "host beside office", &[Tcp(80)]);
        for (peer, host) in [
            ("internet", "host beside internet"),
            ("lan", "host beside lan"),
            ("web", "host"),
        ] {
            scene.drops(peer, host, &[Tcp(22), Ping]);
        }
        scene.allows("host", "web", &[Tcp(80)]);
        scene.allows("host beside internet", "internet", &[Tcp(443), Ping]);
        scene.allows("internet", "web", &[Tcp(80)]);
    }

    fn audit_drops_nothing_and_tells_what_it_would("audit-first") {
        let scene = Scene::new(
            "audit-first",
            &[("web", &[(SERVICE, "web")]), ("db", &[(SERVICE, "db")])],
        );
        scene.audits("web", "db", &[Tcp(3306)]);
        scene.audits("internet", "web", &[Ping]);
        scene.allows("internet", "web", &[Tcp(80)]);
    }
}

//! Endpoints come and go.

use super::{firewall, policy};
use crate::common::daemon::Daemon;
use crate::common::frame::Witness;
use crate::common::probe;
use crate::common::sandbox::Sandbox;
use crate::common::service::Service;
use crate::common::verdict::Traffic::{Ping, Tcp};
use crate::common::verdict::{Verdicts, why};

const RULES: &str = r#"
    [[allow]]
    from  = "web"
    to    = "late"
    ports = ["80/tcp"]
"#;

on_both_hooks! {
    fn an_interface_that_appears_later_is_armed_then(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        let configuration = sandbox.configuration_expecting("late", 50);
        let mut daemon = Daemon::start(sandbox.place(), attach, &configuration, &policy(&["late", "web"], RULES), 1);
        sandbox.add_as("late", 50);
        daemon.await_endpoints(2);
        let [web, late] = ["web", "late"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, late, Tcp(80));
        verdicts.dropped(web, late, Ping, why::DEFAULT);
    }

    fn an_interface_that_is_made_anew_is_armed_anew(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        sandbox.add_as("late", 50);
        let configuration = sandbox.configuration();
        let mut daemon = Daemon::start(sandbox.place(), attach, &configuration, &policy(&["late", "web"], RULES), 2);
        for _ in 0..3 {
            sandbox.remove("late");
            daemon.await_endpoints(1);
            sandbox.add_as("late", 50);
            daemon.await_endpoints(2);
            let [web, late] = ["web", "late"].map(|name| sandbox.container(name));
            let verdicts = Verdicts::of(&daemon);
            verdicts.allowed(web, late, Tcp(80));
            verdicts.dropped(web, late, Ping, why::DEFAULT);
        }
    }

    fn what_is_not_named_is_not_touched(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        let configuration = sandbox.configuration();
        sandbox.add("bystander");
        sandbox.add("neighbour");
        let _daemon = Daemon::start(sandbox.place(), attach, &configuration, &policy(&["web"], ""), 1);
        let [one, other] = ["bystander", "neighbour"].map(|name| sandbox.container(name));
        for address in other.addresses() {
            probe::assert_pings(&one.namespace, address);
        }
        let disciplines = sandbox.host().namespace.run("tc", &["qdisc", "show", "dev", "bystander"]);
        assert!(!disciplines.contains("clsact"), "{disciplines}");
    }

    fn frames_for_others_do_not_reach_an_endpoint(attach) {
        let sandbox = Sandbox::new(&["db", "thief", "web"]);
        let daemon = firewall(&sandbox, attach, "[[allow]]\nfrom = \"web\"\nto = \"db\"\n");
        let [web, db, thief] = ["web", "db", "thief"].map(|name| sandbox.container(name));
        let mut witness = Witness::at(&thief.namespace, "eth0");
        let _service = Service::udp(&db.namespace, 53);
        // The bridge forgets where db is, and so floods.
        sandbox.host().namespace.ip("link set db type bridge_slave learning off flood on\nlink set thief type bridge_slave flood on");
        sandbox.host().namespace.run("bridge", &["fdb", "flush", "dev", "br0"]);
        for to in db.sockets(53) {
            probe::assert_echoes(&web.namespace, to);
        }
        assert_eq!(witness.count(|packet| packet.destination == db.addresses()[0]), 0);
        assert_eq!(daemon.drops(why::DEFAULT), 0);
    }
}

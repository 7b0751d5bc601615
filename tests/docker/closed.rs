//! A host that is closed to the outside, and the ports of containers that it publishes: those are the
//! containers', and open where a rule lets in who comes.

use std::net::{IpAddr, SocketAddr};

use super::engine_uses_a_proxy;
use super::reloads::Rules;
use crate::common::daemon::{Attach, Daemon};
use crate::common::docker::Engine;
use crate::common::namespace::Namespace;
use crate::common::probe::{self, Outcome};
use crate::common::service::Service;
use crate::common::verdict::why;
use crate::common::{BRIEFLY, PATIENCE, eventually};

/// The container's ports 80 and 443 at the host, and one that is the host's own.
const WEB: u16 = 18080;
const HIDDEN: u16 = 18443;
const OWN: u16 = 18022;

const CLOSED: &str = r#"
[defaults.host]
ingress = "deny"

[identities.web]
labels = { role = "web" }
"#;

const OPEN_TO_THE_INTERNET: &str = r#"
[[allow]]
from  = "internet"
to    = "web"
ports = ["80/tcp"]
"#;

/// A port of the host, at its addresses towards the outside.
fn host(port: u16) -> [SocketAddr; 2] {
    ["198.51.100.1", "2001:db8:51::1"]
        .map(|address| (address.parse::<IpAddr>().expect("an address"), port).into())
}

#[track_caller]
fn firewall(engine: &Engine, policy: &str) -> Daemon {
    let configuration = format!(
        "{}\n[uplinks]\ninterfaces = [\"bwtestup\"]\n[management]\nenabled = false\n",
        Engine::configuration()
    );
    let daemon = Daemon::start(engine.place(), Attach::Auto, &configuration, policy, 1);
    eventually("the uplink is guarded", || {
        let uplink = &daemon.status()["uplinks"][0];
        uplink["attached"].as_str().map(drop)
    });
    daemon
}

/// Who is outside reaches the service at each of these.
#[track_caller]
fn assert_open(outside: &Namespace, service: &Service, to: [SocketAddr; 2]) {
    for socket in to {
        let heard = service.heard();
        let outcome = probe::tcp_within(outside, socket, PATIENCE);
        assert_eq!(outcome, Outcome::Answered, "to {socket}");
        assert!(service.heard() > heard, "to {socket}");
    }
}

/// Who is outside reaches nobody at any of these, and each attempt is counted.
#[track_caller]
fn assert_closed(daemon: &Daemon, outside: &Namespace, service: &Service, to: [SocketAddr; 2]) {
    let heard = service.heard();
    for socket in to {
        let before = daemon.drops(why::DEFAULT);
        let outcome = probe::tcp_within(outside, socket, BRIEFLY);
        assert_eq!(outcome, Outcome::Silence, "to {socket}");
        eventually(
            &format!("the drop on the way to {socket} is counted"),
            || (daemon.drops(why::DEFAULT) > before).then_some(()),
        );
    }
    assert_eq!(service.heard(), heard);
}

#[test]
fn a_closed_host_s_published_ports_are_as_open_as_their_containers() {
    let mut engine = Engine::take();
    let outside = engine.outside().namespace.duplicate();
    let network = engine.network(1);
    let web = engine
        .container("web")
        .label("role", "web")
        .publish(WEB, 80)
        .publish(HIDDEN, 443)
        .start(network);
    let [open, hidden] = [80, 443].map(|port| Service::tcp(web.namespace(), port, "hello"));
    let here = Namespace::current();
    // The host's own server has the container's port, which is another one outside.
    let [own, same] = [OWN, 80].map(|port| Service::tcp(&here, port, "not for you"));

    let daemon = firewall(&engine, CLOSED);
    assert_closed(&daemon, &outside, &open, host(WEB));
    daemon.edit(&format!("{CLOSED}{OPEN_TO_THE_INTERNET}"));
    assert_open(&outside, &open, host(WEB));
    assert_closed(&daemon, &outside, &hidden, host(HIDDEN));
    assert_closed(&daemon, &outside, &own, host(OWN));
    assert_closed(&daemon, &outside, &same, host(80));
    drop((open, hidden));

    // When the container is gone its ports are nobody's, and what the host itself has there is closed.
    web.remove();
    eventually("the endpoint is gone", || {
        (daemon.status()["endpoints"]["total"] == 0).then_some(())
    });
    let service = Service::tcp(&here, WEB, "not for you");
    assert_closed(&daemon, &outside, &service, host(WEB));
}

/// Where nothing translates addresses, `docker-proxy` accepts a client's connection and opens one of its
/// own: the host's. So it takes a rule for the host, and no other helps.
#[test]
fn what_the_proxy_carries_on_comes_from_the_host_and_takes_a_rule_for_the_host() {
    let mut engine = Engine::take();
    let outside = engine.outside().namespace.duplicate();
    let network = engine.network(1);
    let web = engine
        .container("web")
        .label("role", "web")
        .publish(WEB, 80)
        .start(network);
    if !engine_uses_a_proxy(WEB) {
        return;
    }
    let service = Service::tcp(web.namespace(), 80, "hello");
    let here = engine.place().namespace.duplicate();
    let _rules = Rules::save(&here);
    for program in ["iptables", "ip6tables"] {
        here.run(program, &["-t", "nat", "-F"]);
    }

    let daemon = firewall(&engine, &format!("{CLOSED}{OPEN_TO_THE_INTERNET}"));
    let before = daemon.drops(why::DEFAULT);
    for socket in host(WEB) {
        // The proxy itself accepts; what it is told, it cannot tell anybody.
        assert_ne!(
            probe::tcp_within(&outside, socket, BRIEFLY),
            Outcome::Answered
        );
    }
    assert!(daemon.drops(why::DEFAULT) > before);
    assert_eq!(service.heard(), 0);
    daemon.edit(&format!(
        "{CLOSED}[[allow]]\nfrom = \"host\"\nto = \"web\"\nports = [\"80/tcp\"]\n"
    ));
    assert_open(&outside, &service, host(WEB));
}

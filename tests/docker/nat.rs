//! Who is who behind address translation: a container that takes the way through the host is still
//! itself, and the host's addresses carry no rights.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::{engine_uses_a_proxy, firewall};
use crate::common::daemon::Daemon;
use crate::common::docker::{Container, Engine};
use crate::common::namespace::Namespace;
use crate::common::probe::{self, Outcome};
use crate::common::service::Service;
use crate::common::verdict::why;
use crate::common::{BRIEFLY, PATIENCE, eventually};

const PUBLISHED: u16 = 18080;

/// Who may use the web server: a peer, or a list of them, as TOML.
fn open_to(from: &str) -> String {
    format!(
        r#"
[identities.web]
labels = {{ role = "web" }}

[identities.friend]
labels = {{ role = "friend" }}

[identities.stranger]
labels = {{ role = "stranger" }}

[[allow]]
from  = {from}
to    = "web"
ports = ["80/tcp"]
"#
    )
}

/// A web server with a published port on the first network, with a friend and a stranger; the same two
/// on the second; a machine outside.
struct Town {
    web: Container,
    near: [Container; 2],
    far: [Container; 2],
    outside: Namespace,
    service: Service,
    engine: Engine,
}

impl Town {
    fn new() -> Self {
        let mut engine = Engine::take();
        let [first, second] = [1, 2].map(|number| engine.network(number));
        let web = engine
            .container("web")
            .label("role", "web")
            .publish(PUBLISHED, 80)
            .start(first);
        let service = Service::tcp(web.namespace(), 80, "hello");
        let outside = engine.outside().namespace.duplicate();
        let pair = |name: &str, network| {
            ["friend", "stranger"].map(|role| {
                engine
                    .container(&format!("{name}-{role}"))
                    .label("role", role)
                    .start(network)
            })
        };
        Self {
            near: pair("near", first),
            far: pair("far", second),
            web,
            outside,
            service,
            engine,
        }
    }

    fn firewall(&self, policy: &str) -> Daemon {
        firewall(&self.engine, policy, 5)
    }

    /// The published port at addresses of the host: outside, and on both bridges.
    fn published(&self) -> Vec<SocketAddr> {
        ["198.51.100.1", "2001:db8:51::1", "10.88.1.1", "fd88:2::1"]
            .map(|address| (address.parse::<IpAddr>().expect("an address"), PUBLISHED).into())
            .to_vec()
    }

    /// It is answered, and by the web server.
    #[track_caller]
    fn reaches(&self, from: &Namespace, to: SocketAddr) {
        let before = self.service.heard();
        let outcome = probe::tcp_within(from, to, PATIENCE);
        assert_eq!(outcome, Outcome::Answered, "to {to}");
        assert!(self.service.heard() > before, "to {to}");
    }

    /// Engines keep their bridges apart; who lifts that has only this firewall left.
    fn lift_the_engines_isolation(&self) {
        let host = &self.engine.place().namespace;
        for program in ["iptables", "ip6tables"] {
            host.run(program, &["-I", "FORWARD", "-j", "ACCEPT"]);
            host.run(program, &["-t", "raw", "-I", "PREROUTING", "-j", "ACCEPT"]);
        }
    }

    /// A port of the machine outside.
    fn outside_sockets(&self, port: u16) -> [SocketAddr; 2] {
        ["198.51.100.2", "2001:db8:51::2"]
            .map(|address| (address.parse::<IpAddr>().expect("an address"), port).into())
    }

    /// Nothing arrives at the web server, and an event says who it was to that: on its way to the host's
    /// port where it was sent, or to the server's own where it would arrive.
    #[track_caller]
    fn is_dropped_as(&self, daemon: &Daemon, name: &str, from: &Container, to: SocketAddr) {
        let before = (self.service.heard(), daemon.drops(why::DEFAULT));
        let monitor = daemon.monitor();
        let outcome = probe::tcp_within(from.namespace(), to, BRIEFLY);
        assert_eq!(outcome, Outcome::Silence, "from {} to {to}", from.name);
        eventually(&format!("the drop on the way to {to} is counted"), || {
            (daemon.drops(why::DEFAULT) > before.1).then_some(())
        });
        assert_eq!(self.service.heard(), before.0, "from {} to {to}", from.name);
        monitor.expect(
            &format!("{} on the way to {to} is taken for {name}", from.name),
            |event| {
                event["reason"] == why::DEFAULT
                    && event["source"]["name"] == name
                    && event["destination"]["name"] == self.web.name
                    && [80, PUBLISHED]
                        .map(Value::from)
                        .contains(&event["destination"]["port"])
            },
        );
    }
}

/// What the ways through the host have in common: who is on the way, and whether the engine has a
/// process of the host stand in between (docker-proxy), or translates addresses alone.
fn judged_through_the_host(town: &Town, [friend, stranger]: &[Container; 2]) {
    let ways = town.published();
    for to in &ways {
        town.reaches(stranger.namespace(), *to);
    }
    // The host's rights are not theirs, whatever address the packets bear, and whoever speaks for them.
    let daemon = town.firewall(&open_to(r#""host""#));
    for to in &ways {
        town.is_dropped_as(&daemon, &friend.name, friend, *to);
        town.is_dropped_as(&daemon, &stranger.name, stranger, *to);
    }
    daemon.edit(&open_to(r#"["friend", "host"]"#));
    for to in &ways {
        town.reaches(friend.namespace(), *to);
        town.is_dropped_as(&daemon, &stranger.name, stranger, *to);
    }
    // What may go to the host may not go to what the host publishes; what may go to the container may,
    // though it may send to nobody else.
    let closed = |to: &str| {
        open_to(r#"["friend", "host"]"#).replace("labels = {", "egress = \"deny\"\nlabels = {")
            + &format!("\n[[allow]]\nfrom = \"stranger\"\nto = {to}\nside = \"egress\"\n")
    };
    daemon.edit(&closed(r#""host""#));
    for to in &ways {
        town.reaches(friend.namespace(), *to);
        town.is_dropped_as(&daemon, &stranger.name, stranger, *to);
    }
    daemon.edit(&open_to(r#""friend""#));
    for to in &ways {
        town.is_dropped_as(&daemon, &stranger.name, stranger, *to);
        if engine_uses_a_proxy(PUBLISHED) {
            // Whom the proxy speaks for cannot be known where it speaks: there it is the host, and the
            // host is no friend. (It goes on trying for a while: so this comes last.)
            town.is_dropped_as(&daemon, "host", friend, *to);
        } else {
            town.reaches(friend.namespace(), *to);
        }
    }
}

#[test]
fn through_a_port_published_on_their_own_bridge_containers_are_who_they_are() {
    let town = Town::new();
    judged_through_the_host(&town, &town.near);
}

#[test]
fn through_a_port_published_on_another_bridge_containers_are_who_they_are() {
    let town = Town::new();
    town.lift_the_engines_isolation();
    judged_through_the_host(&town, &town.far);
}

#[test]
fn on_their_own_bridge_containers_are_who_they_are() {
    let town = Town::new();
    let [friend, stranger] = &town.near;
    let daemon = town.firewall(&open_to(r#""friend""#));
    for to in town.web.sockets(80) {
        town.reaches(friend.namespace(), to);
        town.is_dropped_as(&daemon, &stranger.name, stranger, to);
    }
}

#[test]
fn the_host_is_the_host_also_through_its_own_ports() {
    let town = Town::new();
    let host = Namespace::current();
    let mut ways = town.published();
    ways.push((Ipv4Addr::LOCALHOST, PUBLISHED).into());
    ways.extend(town.web.sockets(80));
    let daemon = town.firewall(&open_to(r#"["containers", "world"]"#));
    for to in &ways {
        let before = (town.service.heard(), daemon.drops(why::DEFAULT));
        // Where a proxy stands in between, it takes the connection, and gets nowhere with it.
        let outcome = probe::tcp_within(&host, *to, BRIEFLY);
        assert_ne!(outcome, Outcome::Answered, "to {to}");
        eventually(&format!("the drop on the way to {to} is counted"), || {
            (daemon.drops(why::DEFAULT) > before.1).then_some(())
        });
        assert_eq!(town.service.heard(), before.0, "to {to}");
    }
    daemon.edit(&open_to(r#""host""#));
    for to in &ways {
        town.reaches(&host, *to);
    }
}

#[test]
fn across_bridges_containers_are_who_they_are() {
    let town = Town::new();
    let [friend, stranger] = &town.far;
    town.lift_the_engines_isolation();
    for to in town.web.sockets(80) {
        town.reaches(stranger.namespace(), to);
    }
    let daemon = town.firewall(&open_to(r#""friend""#));
    for to in town.web.sockets(80) {
        town.reaches(friend.namespace(), to);
        town.is_dropped_as(&daemon, &stranger.name, stranger, to);
    }
}

#[test]
fn the_gateways_addresses_carry_no_rights() {
    let town = Town::new();
    let [friend, _] = &town.near;
    let gateways = [
        "10.88.1.1/32",
        "10.88.2.1/32",
        "fd88:1::1/128",
        "fd88:2::1/128",
        "198.51.100.1/32",
    ];
    let daemon = town.firewall(&open_to(&format!("{gateways:?}")));
    town.is_dropped_as(&daemon, &friend.name, friend, town.web.sockets(80)[0]);
    let host = Namespace::current();
    for to in town.web.sockets(80) {
        assert_eq!(probe::tcp_within(&host, to, BRIEFLY), Outcome::Silence);
    }
    daemon.edit(&open_to(r#""host""#));
    for to in town.web.sockets(80) {
        town.reaches(&host, to);
    }
}

#[test]
fn to_the_outside_containers_are_who_they_are() {
    let town = Town::new();
    let [friend, stranger] = &town.far;
    let outside = town.outside_sockets(9000);
    let service = Service::tcp(&town.outside, 9000, "hello");
    let policy = open_to(r#""friend""#).replace("labels =", "egress = \"deny\"\nlabels =")
        + "\n[[allow]]\nfrom = \"friend\"\nto = \"internet\"\nports = [\"9000/tcp\"]\n";
    let _daemon = town.firewall(&policy);
    for to in outside {
        let before = service.heard();
        probe::assert_connects(friend.namespace(), to);
        probe::assert_dropped(stranger.namespace(), to);
        assert_eq!(service.heard(), before + 1);
    }
}

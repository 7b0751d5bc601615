//! Published ports: rules speak of the container's port and of the real client, wherever the port is
//! published, and for as long as it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{engine_uses_a_proxy, firewall};
use crate::common::daemon::Daemon;
use crate::common::docker::{Container, Engine, Network};
use crate::common::namespace::Namespace;
use crate::common::probe::{self, Outcome};
use crate::common::service::Service;
use crate::common::verdict::why;
use crate::common::{BRIEFLY, PATIENCE, eventually};

fn policy(from: &str, port: u16) -> String {
    format!(
        "[identities.web]\nlabels = {{ role = \"web\" }}\n\n[[allow]]\nfrom = \"{from}\"\nto = \"web\"\nports = [\"{port}/tcp\"]\n"
    )
}

/// A port of the host, at its addresses towards the outside.
fn outside_of_the_host(port: u16) -> [SocketAddr; 2] {
    ["198.51.100.1", "2001:db8:51::1"]
        .map(|address| (address.parse::<IpAddr>().expect("an address"), port).into())
}

/// Nothing answers, nothing arrives, and the drop is counted.
#[track_caller]
fn is_dropped(daemon: &Daemon, service: &Service, from: &Namespace, to: SocketAddr) {
    let (before, heard) = (daemon.drops(why::DEFAULT), service.heard());
    assert_eq!(
        probe::tcp_within(from, to, BRIEFLY),
        Outcome::Silence,
        "to {to}"
    );
    eventually(&format!("the drop on the way to {to} is counted"), || {
        (daemon.drops(why::DEFAULT) > before).then_some(())
    });
    assert_eq!(service.heard(), heard, "to {to}");
}

#[track_caller]
fn reaches(service: &Service, from: &Namespace, to: SocketAddr) {
    let heard = service.heard();
    assert_eq!(
        probe::tcp_within(from, to, PATIENCE),
        Outcome::Answered,
        "to {to}"
    );
    assert!(service.heard() > heard, "to {to}");
}

#[test]
fn a_published_port_is_judged_as_the_containers_port_and_the_real_client() {
    let mut engine = Engine::take();
    let network = engine.network(1);
    let web = engine
        .container("web")
        .label("role", "web")
        .publish(18080, 80)
        .start(network);
    let service = Service::tcp(web.namespace(), 80, "hello");
    let outside = engine.outside().namespace.duplicate();
    let ways = outside_of_the_host(18080);
    for to in ways {
        reaches(&service, &outside, to);
    }

    // The published number is not what rules speak of, and other clients are not this one.
    let daemon = firewall(&engine, &policy("lan", 80), 1);
    let monitor = daemon.monitor();
    for closed in [
        policy("internet", 18080),
        policy("203.0.113.0/24", 80),
        policy("host", 80),
    ] {
        daemon.edit(&closed);
        for to in ways {
            is_dropped(&daemon, &service, &outside, to);
        }
    }
    for client in ["198.51.100.2", "2001:db8:51::2"] {
        monitor.expect("the real client is named", |event| {
            event["source"]["address"] == client
                && event["destination"]["name"] == "bwtest-web"
                && event["destination"]["port"] == 80
        });
    }

    for (open, reached) in [
        (policy("internet", 80), &ways[..]),
        (policy("198.51.100.0/24", 80), &ways[..1]),
        (policy("2001:db8:51::/48", 80), &ways[1..]),
    ] {
        daemon.edit(&open);
        for to in ways {
            if reached.contains(&to) {
                reaches(&service, &outside, to);
            } else {
                is_dropped(&daemon, &service, &outside, to);
            }
        }
    }
}

#[test]
fn a_port_published_at_one_address_is_not_published_at_others() {
    let mut engine = Engine::take();
    let network = engine.network(1);
    let outside = engine.outside().namespace.duplicate();
    let web = engine
        .container("web")
        .label("role", "web")
        .argument("--publish=198.51.100.1:18080:80")
        .argument("--publish=127.0.0.1:18081:80")
        .start(network);
    let friend = engine.container("friend").start(network);
    let service = Service::tcp(web.namespace(), 80, "hello");
    let host = Namespace::current();
    let own = Service::tcp(&host, 18082, "the host's own");
    let at = |address: [u8; 4], port: u16| SocketAddr::from((Ipv4Addr::from(address), port));
    let (published, local) = (at([198, 51, 100, 1], 18080), at([127, 0, 0, 1], 18081));

    // Who is on the host comes as the host, whether a process or the kernel carries it on.
    let daemon = firewall(&engine, &policy("host", 80), 2);
    reaches(&service, &host, local);
    is_dropped(&daemon, &service, &outside, published);
    is_dropped(&daemon, &service, friend.namespace(), published);
    daemon.edit(&policy("internet", 80));
    reaches(&service, &outside, published);
    let before = daemon.drops(why::DEFAULT);
    assert_ne!(
        probe::tcp_within(&host, local, BRIEFLY),
        Outcome::Answered,
        "the host is not the internet"
    );
    eventually("the host's attempt is counted", || {
        (daemon.drops(why::DEFAULT) > before).then_some(())
    });

    // From a container, the ports that are published elsewhere are the host's own: closed, or its own
    // server's.
    let gateway = network.gateway()[0];
    for port in [18080, 18081] {
        assert_eq!(
            probe::tcp_within(friend.namespace(), (gateway, port).into(), PATIENCE),
            Outcome::Refused,
            "{gateway}:{port} is nobody's"
        );
    }
    reaches(&own, friend.namespace(), (gateway, 18082).into());
}

/// Containers of one network: a closed one, which may use the web server and nothing else, and the two
/// that have the published port in turn.
struct Street {
    engine: Engine,
    network: Network,
    friend: Container,
    web: Container,
}

impl Street {
    fn new() -> Self {
        let engine = Engine::take();
        let network = engine.network(1);
        let friend = engine
            .container("friend")
            .label("role", "friend")
            .start(network);
        let web = engine
            .container("web")
            .label("role", "web")
            .publish(18080, 80)
            .start(network);
        Self {
            engine,
            network,
            friend,
            web,
        }
    }

    /// The host may reach all, so that a proxy in between is no hindrance.
    fn firewall(&self) -> Daemon {
        let policy = r#"
[identities.friend]
labels = { role = "friend" }
egress = "deny"

[identities.web]
labels = { role = "web" }

[identities.other]
labels = { role = "other" }

[[allow]]
from = "friend"
to = "web"
ports = ["80/tcp"]

[[allow]]
from = "host"
to = "containers"
"#;
        firewall(&self.engine, policy, 2)
    }

    fn way(&self) -> SocketAddr {
        (self.network.gateway()[0], 18080).into()
    }
}

#[test]
fn a_port_that_another_container_takes_over_is_that_ones() {
    let street = Street::new();
    let (friend, way) = (street.friend.namespace(), street.way());
    let mut daemon = street.firewall();
    let service = Service::tcp(street.web.namespace(), 80, "hello");
    reaches(&service, friend, way);
    drop(service);

    street.web.stop();
    daemon.await_endpoints(1);
    let other = street
        .engine
        .container("other")
        .label("role", "other")
        .publish(18080, 80)
        .start(street.network);
    daemon.await_endpoints(2);
    let service = Service::tcp(other.namespace(), 80, "hello");
    is_dropped(&daemon, &service, friend, way);
    drop(service);

    // And back again, with another interface, and perhaps another address.
    other.remove();
    daemon.await_endpoints(1);
    let web = street.web.start();
    daemon.await_endpoints(2);
    let service = Service::tcp(web.namespace(), 80, "hello");
    eventually("the port is known to be web's", || {
        let answered = probe::tcp_within(friend, way, BRIEFLY) == Outcome::Answered;
        answered.then_some(())
    });
    assert!(service.heard() > 0);
}

#[test]
fn what_is_left_of_a_port_opens_nothing_while_no_daemon_runs() {
    let street = Street::new();
    let (friend, way) = (street.friend.namespace(), street.way());
    let mut daemon = street.firewall();
    let service = Service::tcp(street.web.namespace(), 80, "hello");
    reaches(&service, friend, way);
    drop(service);

    daemon.kill();
    street.web.stop();
    // The host's own server has the port now, and friend has no rights to the host.
    let own = Service::tcp(&Namespace::current(), 18080, "the host's own");
    assert_eq!(probe::tcp_within(friend, way, BRIEFLY), Outcome::Silence);
    assert_eq!(own.heard(), 0);
}

#[test]
fn a_container_in_two_networks_is_judged_by_the_one_that_its_port_leads_to() {
    let engine = Engine::take();
    let [first, second] = [1, 2].map(|number| engine.network(number));
    let web = engine
        .container("web")
        .label("role", "web")
        .publish(18080, 80)
        .start(second);
    web.connect(first);
    let friend = engine
        .container("friend")
        .label("role", "friend")
        .start(second);
    let service = Service::tcp(web.namespace(), 80, "hello");
    let policy = |network: &str| {
        format!(
            r#"
[identities.friend]
labels = {{ role = "friend" }}
egress = "deny"

[identities.web]
labels = {{ role = "web" }}
network = "{network}"

[[allow]]
from = "friend"
to = "web"

[[allow]]
from = "host"
to = "containers"
"#
        )
    };
    let way = (second.gateway()[0], 18080).into();
    // The engine publishes ports by the network that leads outside; here, the first by name.
    let daemon = firewall(&engine, &policy("bwtest-2"), 3);
    is_dropped(&daemon, &service, friend.namespace(), way);
    daemon.edit(&policy("bwtest-1"));
    if engine_uses_a_proxy(18080) {
        reaches(&service, friend.namespace(), way);
    }
}

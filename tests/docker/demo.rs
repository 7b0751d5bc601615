//! The demo: who may land on the deathstar.

use std::net::SocketAddr;

use super::firewall;
use crate::common::docker::{Container, Engine, Network};
use crate::common::verdict::Traffic::{Connect, Ping, Tcp};
use crate::common::verdict::{Verdicts, why};
use crate::common::{BRIEFLY, PATIENCE, eventually_equals, probe};

/// Answers requests to land, and nothing else.
const DEATHSTAR: &str = r#"
mkdir -p /srv
cat > /srv/answer <<'END'
#!/bin/sh
read -r method path version
while read -r header && [ ${#header} -gt 1 ]; do :; done
case "$method $path" in
"POST /v1/request-landing") printf 'HTTP/1.0 200 OK\r\n\r\nShip landed\n' ;;
*) printf 'HTTP/1.0 404 Not Found\r\n\r\n' ;;
esac
END
chmod +x /srv/answer
exec nc -ll -p 80 -e /srv/answer
"#;

const IDENTITIES: &str = r#"
[identities.deathstar]
labels = { org = "empire", class = "deathstar" }

[identities.empire]
labels = { org = "empire" }

[identities.alliance]
labels = { org = "alliance" }
"#;

const LANDING: &str = r#"
[[allow]]
name  = "landing"
from  = "empire"
to    = "deathstar"
ports = ["80/tcp"]
"#;

const PING: &str = r#"
[[allow]]
name = "hailing"
from = "alliance"
to   = "deathstar"
icmp = ["echo-request"]
"#;

fn fleet(engine: &Engine, network: Network) -> [Container; 3] {
    let ship = |name: &str, org: &str| engine.container(name).label("org", org);
    [
        ship("deathstar", "empire")
            .label("class", "deathstar")
            .script(DEATHSTAR)
            .start(network),
        ship("tiefighter", "empire").start(network),
        ship("xwing", "alliance").start(network),
    ]
}

fn request_landing(
    ship: &Container,
    to: SocketAddr,
    patience: std::time::Duration,
) -> Option<(u16, String)> {
    probe::http_within(
        ship.namespace(),
        to,
        "POST",
        "/v1/request-landing",
        patience,
    )
}

#[test]
fn the_empire_lands_and_the_alliance_does_not() {
    let engine = Engine::take();
    let network = engine.network(1);
    let [deathstar, tiefighter, xwing] = fleet(&engine, network);
    let landed = Some((200, "Ship landed".to_owned()));
    let lands = |ship: &Container| {
        for to in deathstar.sockets(80) {
            eventually_equals(&format!("{} lands", ship.name), &landed, || {
                request_landing(ship, to, PATIENCE)
            });
        }
    };
    let is_refused = |ship: &Container| {
        for to in deathstar.sockets(80) {
            assert_eq!(
                request_landing(ship, to, BRIEFLY),
                None,
                "{} lands",
                ship.name
            );
        }
    };

    // Before a policy, everybody lands.
    for ship in [&tiefighter, &xwing] {
        lands(ship);
    }

    let mut daemon = firewall(&engine, &format!("{IDENTITIES}{LANDING}"), 3);
    let verdicts = Verdicts::of(&daemon);
    lands(&tiefighter);
    is_refused(&xwing);
    verdicts.dropped(&xwing.node, &deathstar.node, Connect(80), why::DEFAULT);
    verdicts.dropped(&tiefighter.node, &deathstar.node, Tcp(81), why::DEFAULT);
    for ship in [&tiefighter, &xwing] {
        verdicts.dropped(&ship.node, &deathstar.node, Ping, why::DEFAULT);
    }
    verdicts
        .monitor()
        .expect("ships are known by name", |event| {
            event["source"]["name"] == "bwtest-xwing"
                && event["destination"]["name"] == "bwtest-deathstar"
                && event["side"] == "ingress"
        });
    assert!(daemon.hits("landing") >= 2);

    // A live edit lets the alliance hail, but not land.
    daemon.edit(&format!("{IDENTITIES}{LANDING}{PING}"));
    verdicts.allowed(&xwing.node, &deathstar.node, Ping);
    verdicts.dropped(&tiefighter.node, &deathstar.node, Ping, why::DEFAULT);
    is_refused(&xwing);
    lands(&tiefighter);

    // And another one turns the tables.
    daemon.edit(&format!(
        "{IDENTITIES}{}",
        LANDING.replace("\"empire\"", "\"alliance\"")
    ));
    lands(&xwing);
    is_refused(&tiefighter);

    drop(verdicts);
    daemon.stop_and_detach();
    for ship in [&tiefighter, &xwing] {
        lands(ship);
    }
}

//! Containers start, stop, move and return; their rights go with them, not with their addresses.

use super::firewall;
use crate::common::docker::Engine;
use crate::common::frame::{TCP, Witness};
use crate::common::verdict::Traffic::{Ping, Tcp};
use crate::common::verdict::{Verdicts, why};
use crate::common::{eventually, probe};

const POLICY: &str = r#"
[identities.web]
labels = { role = "web" }

[identities.db]
labels = { role = "db" }

[[allow]]
from  = "web"
to    = "db"
ports = ["3306/tcp"]
"#;

#[test]
fn a_container_started_after_the_daemon_is_policed_from_its_first_packet() {
    let engine = Engine::take();
    let network = engine.network(1);
    let db = engine
        .container("db")
        .label("role", "db")
        .at(network, 10)
        .start(network);
    let mut daemon = firewall(&engine, POLICY, 1);
    let mut witness = Witness::at(db.namespace(), "eth0");

    // Its first act is to send to where nobody has let it.
    let hasty = engine
        .container("hasty")
        .label("role", "web")
        .script(&format!(
            "while :; do nc -w 1 {} 9999 & usleep 20000; done",
            db.node.ipv4
        ))
        .start(network);
    let web = engine.container("web").label("role", "web").start(network);
    let stranger = engine.container("stranger").start(network);
    daemon.await_endpoints(4);
    let verdicts = Verdicts::of(&daemon);
    for container in [&web, &hasty] {
        verdicts.allowed(&container.node, &db.node, Tcp(3306));
        verdicts.dropped(&container.node, &db.node, Tcp(3307), why::DEFAULT);
    }
    verdicts.dropped(&stranger.node, &db.node, Tcp(3306), why::DEFAULT);
    verdicts
        .monitor()
        .expect("the hasty one is noticed", |event| {
            event["source"]["name"] == "bwtest-hasty" && event["destination"]["port"] == 9999
        });
    assert_eq!(
        witness.for_port(TCP, 9999),
        0,
        "not one of its packets got through"
    );
}

#[test]
fn an_address_carries_no_rights_to_the_next_container() {
    let engine = Engine::take();
    let network = engine.network(1);
    let db = engine
        .container("db")
        .label("role", "db")
        .at(network, 10)
        .start(network);
    let web = engine.container("web").label("role", "web").start(network);
    let mut daemon = firewall(&engine, POLICY, 2);
    let verdicts = Verdicts::of(&daemon);
    verdicts.allowed(&web.node, &db.node, Tcp(3306));
    drop(verdicts);

    web.stop();
    daemon.await_endpoints(1);
    let squatter = engine.container("squatter").start(network);
    assert_eq!(
        squatter.node.ipv4, web.node.ipv4,
        "the engine gives a free address again"
    );
    daemon.await_endpoints(2);
    let verdicts = Verdicts::of(&daemon);
    verdicts.dropped(&squatter.node, &db.node, Tcp(3306), why::DEFAULT);
    drop(verdicts);

    let web_again = web.start();
    assert_ne!(web_again.node.ipv4, web.node.ipv4);
    daemon.await_endpoints(3);
    let verdicts = Verdicts::of(&daemon);
    verdicts.allowed(&web_again.node, &db.node, Tcp(3306));
    verdicts.dropped(&web_again.node, &db.node, Ping, why::DEFAULT);
    verdicts.dropped(&squatter.node, &db.node, Tcp(3306), why::DEFAULT);
}

#[test]
fn a_second_network_is_an_endpoint_of_its_own() {
    let engine = Engine::take();
    let [first, second] = [1, 2].map(|number| engine.network(number));
    let web = engine.container("web").label("role", "web").start(first);
    let db = engine.container("db").label("role", "db").start(second);
    let policy = POLICY.replace(
        "[identities.db]",
        "[identities.backstage]\nnetwork = \"bwtest-2\"\nlabels = { role = \"web\" }\n\n[identities.db]",
    ) + "\n[[allow]]\nfrom = \"backstage\"\nto = \"db\"\nports = [\"3307/tcp\"]\n";
    let mut daemon = firewall(&engine, &policy, 2);
    assert_eq!(
        probe::connect_within(web.namespace(), db.sockets(3306)[0], crate::common::BRIEFLY),
        probe::Outcome::Silence,
        "networks are kept apart by the engine itself"
    );

    let backstage = web.connect(second);
    daemon.await_endpoints(3);
    let verdicts = Verdicts::of(&daemon);
    verdicts.allowed(&backstage.node, &db.node, Tcp(3306));
    verdicts.allowed(&backstage.node, &db.node, Tcp(3307));
    verdicts.dropped(&backstage.node, &db.node, Tcp(3308), why::DEFAULT);
    verdicts.dropped(&db.node, &backstage.node, Tcp(3306), why::DEFAULT);

    web.stop();
    daemon.await_endpoints(1);
    eventually("the list of endpoints forgets it", || {
        let endpoints = daemon.json(&["list", "endpoints"]);
        let names: Vec<_> = endpoints
            .as_array()?
            .iter()
            .map(|endpoint| endpoint["name"].clone())
            .collect();
        (names == ["bwtest-db"]).then_some(())
    });
}

#[test]
fn unidentified_containers_are_left_alone_unless_told_otherwise() {
    let engine = Engine::take();
    let network = engine.network(1);
    let [one, other] = ["one", "other"].map(|name| engine.container(name).start(network));
    let daemon = firewall(&engine, POLICY, 2);
    let verdicts = Verdicts::of(&daemon);
    verdicts.allowed(&one.node, &other.node, Tcp(80));
    daemon.edit(&format!("[defaults]\nunidentified = \"deny\"\n{POLICY}"));
    verdicts.dropped(&one.node, &other.node, Tcp(80), why::DEFAULT);
}

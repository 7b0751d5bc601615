//! A real engine's containers come and go, and so does the engine, with its containers or without them:
//! in the end the kernel holds what a fresh start builds. The order is random, and the same for the same
//! `BRIDGEWALL_HISTORY`.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use serde_json::Value;

use super::firewall;
use crate::common::daemon::Daemon;
use crate::common::docker::{Engine, Network, docker};
use crate::common::eventually_equals;
use crate::common::kernel_state::KernelState;

const POLICY: &str = r#"
    [defaults]
    unidentified = "deny"
    [identities.web]
    labels = { role = "web" }
    [identities.db]
    labels = { role = "db" }
    [[allow]]
    from  = "web"
    to    = "db"
    ports = ["3306/tcp"]
"#;

const NAMES: [&str; 3] = ["one", "two", "three"];
const STEPS: usize = 12;

/// An endpoint, as the engine or the daemon says: name, id, network, MAC address, addresses, identity.
type Said = (String, String, String, String, BTreeSet<String>, String);

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What the engine says of the containers that run.
fn expected() -> BTreeSet<Said> {
    let ids = docker(&["ps", "--quiet", "--filter", "label=bridgewall-test"]);
    let mut said = BTreeSet::new();
    for id in ids.split_whitespace() {
        let all: Value = serde_json::from_str(&docker(&["inspect", id])).expect("JSON");
        let networks = all[0]["NetworkSettings"]["Networks"].as_object();
        for (network, attachment) in networks.into_iter().flatten() {
            let addresses = ["IPAddress", "GlobalIPv6Address"].map(|key| text(&attachment[key]));
            said.insert((
                text(&all[0]["Name"]).trim_start_matches('/').to_owned(),
                text(&all[0]["Id"]),
                network.clone(),
                text(&attachment["MacAddress"]),
                addresses.into(),
                text(&all[0]["Config"]["Labels"]["role"]),
            ));
        }
    }
    said
}

/// What the daemon says of all that are armed.
fn seen(daemon: &Daemon) -> BTreeSet<Said> {
    let endpoints = daemon.json(&["list", "endpoints"]);
    let endpoints = endpoints.as_array().into_iter().flatten();
    endpoints
        .map(|endpoint| {
            let addresses = endpoint["addresses"].as_array().into_iter().flatten();
            let armed = if endpoint["armed"] == true {
                ""
            } else {
                "not armed: "
            };
            (
                format!("{armed}{}", text(&endpoint["name"])),
                text(&endpoint["container"]),
                text(&endpoint["network"]),
                text(&endpoint["mac"]),
                addresses.map(text).collect(),
                text(&endpoint["identities"][0]),
            )
        })
        .collect()
}

fn await_agreement(daemon: &Daemon) {
    eventually_equals("all endpoints are known", &expected(), || seen(daemon));
    eventually_equals("the daemon has no trouble", &true, || {
        daemon.status()["healthy"] == true
    });
}

/// Containers that there are, run or not.
fn exists(name: &str) -> bool {
    let filter = format!("name=^/?{name}$");
    !docker(&["ps", "--all", "--quiet", "--filter", &filter]).is_empty()
}

fn is(name: &str, state: &str) -> bool {
    docker(&["inspect", "--format", "{{.State.Status}}", name]) == state
}

/// Something happens; gives what it was.
fn step(engine: &Engine, networks: [Network; 2], mut below: impl FnMut(usize) -> usize) -> String {
    let name = format!("bwtest-{}", NAMES[below(NAMES.len())]);
    let what = below(10);
    if what == 0 {
        let live = below(2) == 0;
        engine.restart(live);
        return format!("the engine is restarted, and will keep its containers: {live}");
    }
    if !exists(&name) {
        let role = ["web", "db"][below(2)];
        let plain = name.trim_start_matches("bwtest-");
        let network = networks[below(2)];
        engine.container(plain).label("role", role).start(network);
        return format!("{role} {name} is run");
    }
    let verb = match what {
        _ if is(&name, "paused") => "unpause",
        _ if !is(&name, "running") => ["start", "rm"][below(2)],
        1 => "pause",
        2 => "stop",
        3 | 4 => "restart",
        5 | 6 => {
            let network = networks[below(2)].name();
            let joined = docker(&[
                "inspect",
                "--format",
                "{{json .NetworkSettings.Networks}}",
                &name,
            ]);
            let verb = if joined.contains(&network) {
                "disconnect"
            } else {
                "connect"
            };
            docker(&["network", verb, &network, &name]);
            return format!("{verb} {name} {network}");
        }
        7 => {
            let other = format!("{name}-once");
            docker(&["rename", &name, &other]);
            docker(&["rename", &other, &name]);
            return format!("{name} is called {other}, and {name} again");
        }
        _ => {
            docker(&["rm", "--force", &name]);
            return format!("{name} is removed");
        }
    };
    match verb {
        "stop" | "restart" => docker(&[verb, "--time", "0", &name]),
        verb => docker(&[verb, &name]),
    };
    format!("{verb} {name}")
}

/// Shows what has happened, if the test fails.
#[derive(Default)]
struct History(Vec<String>);

impl Drop for History {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the history\n{}\n----", self.0.join("\n"));
        }
    }
}

#[test]
fn after_a_history_of_a_real_engine_the_kernel_holds_what_a_fresh_start_builds() {
    let engine = Engine::take();
    let number = std::env::var("BRIDGEWALL_HISTORY").ok();
    let number: u64 = number.and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut history = History(vec![format!("BRIDGEWALL_HISTORY={number}")]);
    let networks = [1, 2].map(|number| engine.network(number));
    let mut daemon = firewall(&engine, POLICY, 0);
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ (number + 1);
    for _ in 0..STEPS {
        let what = step(&engine, networks, |limit| {
            // xorshift64 (Marsaglia, 2003)
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % limit as u64) as usize
        });
        history.0.push(what);
    }
    // With its containers, once at least.
    engine.restart(true);
    engine.restart(false);
    await_agreement(&daemon);

    let place = Arc::clone(engine.place());
    let grown = KernelState::left_by(&mut daemon, &place);
    daemon.launch();
    await_agreement(&daemon);
    daemon.stop_and_detach();
    for entry in fs::read_dir(place.state()).expect("list").flatten() {
        fs::remove_file(entry.path()).expect("remove what was kept");
    }
    daemon.launch();
    await_agreement(&daemon);
    let fresh = KernelState::left_by(&mut daemon, &place);
    pretty_assertions::assert_eq!(grown, fresh);
}

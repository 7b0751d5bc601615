//! Who belongs to an identity, by every way there is to say it.

use super::firewall;
use crate::common::docker::{Engine, IMAGE};
use crate::common::verdict::Traffic::Tcp;
use crate::common::verdict::{Verdicts, why};

/// Each identity may reach a port of its own, so that a container shows by the ports it reaches what it
/// belongs to.
fn policy(identities: &[(u16, &str)]) -> String {
    let mut text = "[identities.target]\nname = \"bwtest-target\"\n".to_owned();
    for (port, selector) in identities {
        text += &format!(
            "\n[identities.p{port}]\n{selector}\n\n[[allow]]\nfrom = \"p{port}\"\nto = \"target\"\nports = [\"{port}/tcp\"]\n"
        );
    }
    text
}

/// A container's name, its labels, and the ports it is to reach.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [u16],
);

#[test]
fn every_label_operator_selects_whom_it_says() {
    let engine = Engine::take();
    let network = engine.network(1);
    let target = engine.container("target").start(network);
    let ports = [
        (8001, r#"labels = { env = "prod" }"#),
        (
            8002,
            r#"match = [{ key = "env", op = "in", values = ["prod", "staging"] }]"#,
        ),
        (
            8003,
            r#"match = [{ key = "env", op = "not-in", values = ["prod", "staging"] }]"#,
        ),
        (8004, r#"match = [{ key = "env", op = "exists" }]"#),
        (
            8005,
            r#"match = [{ key = "env", op = "absent" }]
name = "bwtest-[a-d]*""#,
        ),
        (8006, r#"labels = { env = "prod", role = "db" }"#),
        (
            8007,
            r#"labels = { role = "db" }
match = [{ key = "env", op = "not-in", values = ["prod"] }]"#,
        ),
    ];
    let containers: [Case; 4] = [
        (
            "a",
            &[("env", "prod"), ("role", "db")],
            &[8001, 8002, 8004, 8006],
        ),
        ("b", &[("env", "staging"), ("role", "web")], &[8002, 8004]),
        ("c", &[("env", "dev"), ("role", "db")], &[8003, 8004, 8007]),
        ("d", &[("role", "db")], &[8003, 8005, 8007]),
    ];
    let nodes = containers.map(|(name, labels, _)| {
        let recipe = engine.container(name);
        labels
            .iter()
            .fold(recipe, |recipe, (key, value)| recipe.label(key, value))
            .start(network)
    });
    let daemon = firewall(&engine, &policy(&ports), 5);
    let verdicts = Verdicts::of(&daemon);
    for (container, (_, _, reached)) in nodes.iter().zip(containers) {
        for (port, _) in ports {
            if reached.contains(&port) {
                verdicts.allowed(&container.node, &target.node, Tcp(port));
            } else {
                verdicts.dropped(&container.node, &target.node, Tcp(port), why::DEFAULT);
            }
        }
    }
}

#[test]
fn name_image_network_and_project_select_too_and_all_given_must_hold() {
    let engine = Engine::take();
    let network = engine.network(1);
    let target = engine.container("target").start(network);
    let ports = [
        (8001, "name = \"bwtest-worker-*\"".to_owned()),
        (8002, format!("image = \"{IMAGE}\"\nname = \"bwtest-*-2\"")),
        (
            8003,
            "network = \"bwtest-1\"\nproject = \"shop\"".to_owned(),
        ),
        (
            8004,
            "network = \"bwtest-2\"\nproject = \"shop\"".to_owned(),
        ),
        (8005, "image = \"nginx*\"".to_owned()),
    ];
    let worker_1 = engine.container("worker-1").start(network);
    let worker_2 = engine
        .container("worker-2")
        .label("com.docker.compose.project", "shop")
        .start(network);
    let identities: Vec<(u16, &str)> = ports
        .iter()
        .map(|(port, text)| (*port, text.as_str()))
        .collect();
    let daemon = firewall(&engine, &policy(&identities), 3);
    let verdicts = Verdicts::of(&daemon);
    for (container, reached) in [(&worker_1, &[8001][..]), (&worker_2, &[8001, 8002, 8003])] {
        for (port, _) in &identities {
            if reached.contains(port) {
                verdicts.allowed(&container.node, &target.node, Tcp(*port));
            } else {
                verdicts.dropped(&container.node, &target.node, Tcp(*port), why::DEFAULT);
            }
        }
    }
}

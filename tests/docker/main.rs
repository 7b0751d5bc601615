//! The whole product end to end: the built daemon beside a real Docker engine, with containers on
//! bridge networks, and real packets. Needs root.

#[path = "../common/mod.rs"]
mod common;

mod closed;
mod control;
mod demo;
mod histories;
mod labels;
mod lifecycle;
mod nat;
mod published;
mod reloads;
mod wordpress;

use common::daemon::{Attach, Daemon};
use common::docker::Engine;

/// Whether a published port has a process of the host behind it (docker-proxy), at whatever address.
fn engine_uses_a_proxy(port: u16) -> bool {
    let port = port.to_string();
    // Engines of other tests may run elsewhere on this machine.
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let ours = namespace("self");
    std::fs::read_dir("/proc")
        .expect("list processes")
        .flatten()
        .filter(|process| namespace(&process.file_name().to_string_lossy()) == ours)
        .filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok())
        .any(|command| {
            let words: Vec<&str> = command.split('\0').collect();
            words[0].ends_with("docker-proxy") && words.contains(&port.as_str())
        })
}

/// A daemon that watches the networks of this test, on which there are so many attachments.
#[track_caller]
fn firewall(engine: &Engine, policy: &str, endpoints: u64) -> Daemon {
    Daemon::start(
        engine.place(),
        Attach::Auto,
        &Engine::configuration(),
        policy,
        endpoints,
    )
}

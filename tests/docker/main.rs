//! The whole product end to end: the built daemon beside a real Docker engine, with containers on
//! bridge networks, and real packets. Needs root.

#[path = "../common/mod.rs"]
mod common;

mod control;
mod demo;
mod histories;
mod labels;
mod lifecycle;
mod nat;
mod published;
mod wordpress;

use common::daemon::{Attach, Daemon};
use common::docker::Engine;

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

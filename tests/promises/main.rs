//! What a firewall is trusted for, under probe traffic that shows a single packet too many or too few:
//! one packet is judged by one policy, revocation is at once, the daemon's death changes nothing, bad
//! input changes nothing, and nothing is left behind. Needs root.
//!
//! The doses are small; `scripts/soak` gives large ones, and prints figures.

#[path = "../common/mod.rs"]
mod common;

mod build;
mod docker_host;
mod faults;
mod flips;
mod histories;
mod inherit;
mod input;
mod kills;
mod leaks;
mod matrix;
mod policies;
mod revocation;
mod upgrade;

use common::daemon::{Attach, Daemon};
use common::sandbox::Sandbox;
use policies::Side;

/// How much of something is done: `BRIDGEWALL_DOSE_NAME`, or a little.
fn dose(name: &str, little: usize) -> usize {
    match std::env::var(format!("BRIDGEWALL_DOSE_{name}")) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("BRIDGEWALL_DOSE_{name}={text}: {error}")),
        Err(_) => little,
    }
}

/// Web, db and a spare one.
fn sandbox() -> Sandbox {
    Sandbox::new(&["db", "spare", "web"])
}

/// The watch sends more new connections a second than any container is given room for by default.
fn roomy(configuration: &str) -> String {
    format!("{configuration}\n[limits]\nnew_flows = 262144\nnew_flows_per_endpoint = 131072\n")
}

/// A daemon that enforces one of the two policies there.
#[track_caller]
fn enforce(sandbox: &Sandbox, attach: Attach, side: Side) -> Daemon {
    Daemon::start(
        sandbox.place(),
        attach,
        &roomy(&sandbox.configuration()),
        &side.text(),
        3,
    )
}

/// Numbers that look random, and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64 (Marsaglia, 2003)
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

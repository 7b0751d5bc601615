//! The packet path end to end, in network namespaces: a host with containers on a bridge and an
//! outside world, the built daemon, and real packets. Needs root.

#[path = "../common/mod.rs"]
mod common;

/// A scenario that must hold however the programs are attached.
macro_rules! on_both_hooks {
    ($($(#[$about:meta])* fn $name:ident($attach:ident) $scenario:block)+) => {
        $(
            $(#[$about])*
            mod $name {
                #[allow(unused_imports, reason = "each scenario uses its part")]
                use super::*;

                fn scenario($attach: crate::common::daemon::Attach) $scenario

                #[test]
                fn tcx() {
                    scenario(crate::common::daemon::Attach::Tcx);
                }

                #[test]
                fn clsact() {
                    scenario(crate::common::daemon::Attach::Clsact);
                }
            }
        )+
    };
}

mod blocklist;
mod control;
mod endpoints;
mod guard;
mod icmp;
mod lifetime;
mod networks;
mod reload;
mod rules;
mod shortcuts;
mod spoofing;
mod uplinks;

use common::daemon::{Attach, Daemon};
use common::sandbox::Sandbox;

/// A daemon that watches all containers of a sandbox, each by an identity of its own name, under these
/// rules.
#[track_caller]
fn firewall(sandbox: &Sandbox, attach: Attach, rules: &str) -> Daemon {
    let names = sandbox.names();
    Daemon::start(
        sandbox.place(),
        attach,
        &sandbox.configuration(),
        &policy(&names, rules),
        names.len() as u64,
    )
}

/// A policy with an identity for each of these interfaces.
fn policy(interfaces: &[&str], rules: &str) -> String {
    let identities: String = interfaces
        .iter()
        .map(|name| format!("\n[identities.{name}]\ninterface = \"{name}\"\n"))
        .collect();
    format!("{rules}\n{identities}")
}

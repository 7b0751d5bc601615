//! `guard`: closes off what is not armed, without a daemon. What `bridgewall-guard.service` does.

use clap::Args;
use nix::unistd::geteuid;
use serde::Serialize;

use super::output::Output;
use super::{Answer, Failure, Global};
use crate::config::Config;
use crate::control::lock::{DaemonLock, LockError};
use crate::control::report::GuardState;
use crate::guard;

const EXAMPLES: &str = "\
From then on nothing passes at a port of a managed bridge that no daemon has armed. The daemon
does this too, and keeps it up; bridgewall-guard.service does it at boot, before Docker starts.
`bridgewall stop --detach` undoes it.

A configuration that is refused does not keep it open: then the bridges that Docker names are
closed, or what was closed before stays so, and the exit code is 2.

Examples:
  systemctl start bridgewall-guard
  bridgewall guard --config ./bridgewall.toml";

/// Arguments of `guard`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Guard {}

#[derive(Serialize)]
struct Report {
    guard: GuardState,
}

impl Guard {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        // At boot nobody can mend a configuration that is refused, and Docker is about to start.
        let (config, refused) = match global.trusted_config() {
            Ok(config) => (config, None),
            Err(refused) => (Config::default(), Some(refused)),
        };
        if !geteuid().is_root() {
            return Err(Failure::Unusable(
                "only root can close off interfaces: use sudo".to_owned(),
            ));
        }
        let unusable = |error: String| Failure::Unusable(error);
        let state = match DaemonLock::acquire(&config.state_directory) {
            Ok(_lock) => {
                close(&config, refused.is_some()).map_err(|error| unusable(error.to_string()))?
            }
            Err(LockError::Held { .. }) => {
                output
                    .text("the daemon runs, and keeps the guard itself: see `bridgewall status`")?;
                return refused.map_or(Ok(Answer::Fine), Err);
            }
            Err(error) => return Err(unusable(error.to_string())),
        };
        let (guard, text) = match state {
            guard::State::Closed(_) if refused.is_some() => (
                GuardState::Closed,
                "closed, though the configuration is refused: nothing passes where nothing is armed, \
                 at the ports of the bridges that there was a guard for, or else of those that \
                 Docker names. Correct the configuration, and run this again",
            ),
            guard::State::Closed(_) => (
                GuardState::Closed,
                "closed: nothing passes where nothing is armed",
            ),
            guard::State::Open => (GuardState::Open, "open"),
            guard::State::Off => (GuardState::Off, "off: [guard] in bridgewall.toml says so"),
        };
        if output.json {
            output.value(&Report { guard })?;
        } else {
            output.text(text)?;
        }
        refused.map_or(Ok(Answer::Fine), Err)
    }
}

/// Whoever has only the defaults does not open what a better configuration has closed.
fn close(config: &Config, only_defaults: bool) -> Result<guard::State, guard::GuardError> {
    let mut guard = guard::Guard::open(config)?;
    if only_defaults {
        guard.close_unless_closed()
    } else {
        guard.close_alone()
    }
}

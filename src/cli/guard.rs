//! `guard`: closes off what is not armed, without a daemon. What `bridgewall-guard.service` does.

use clap::Args;
use nix::unistd::geteuid;
use serde::Serialize;

use super::output::Output;
use super::{Answer, Failure, Global};
use crate::control::lock::{DaemonLock, LockError};
use crate::control::report::GuardState;
use crate::guard;

const EXAMPLES: &str = "\
From then on nothing passes at a port of a managed bridge that no daemon has armed. The daemon
does this too, and keeps it up; bridgewall-guard.service does it at boot, before Docker starts.
`bridgewall stop --detach` undoes it.

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
        let config = global.config()?;
        if !geteuid().is_root() {
            return Err(Failure::Unusable(
                "only root can close off interfaces: use sudo".to_owned(),
            ));
        }
        let unusable = |error: String| Failure::Unusable(error);
        let state = match DaemonLock::acquire(&config.state_directory) {
            Ok(_lock) => guard::Guard::open(&config)
                .map_err(guard::GuardError::from)
                .and_then(|mut guard| guard.close_alone())
                .map_err(|error| unusable(error.to_string()))?,
            Err(LockError::Held { .. }) => {
                output
                    .text("the daemon runs, and keeps the guard itself: see `bridgewall status`")?;
                return Ok(Answer::Fine);
            }
            Err(error) => return Err(unusable(error.to_string())),
        };
        let (guard, text) = match state {
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
        Ok(Answer::Fine)
    }
}

//! `stop`: ends the daemon; with `--detach` enforcement too, whether or not a daemon runs.

use std::time::Duration;

use clap::Args;
use nix::unistd::geteuid;

use super::failure::unexpected;
use super::output::Output;
use super::progress::Progress;
use super::{Answer, Failure, Global};
use crate::control::client::{Client, ClientError};
use crate::control::lock::DaemonLock;
use crate::control::protocol::{Request, Response};
use crate::control::report::StopReport;
use crate::guard::Guard;
use crate::kernel;
use crate::observe::line::printable;

const EXAMPLES: &str = "\
The programs that enforce the policy are in the kernel: they go on without the daemon, which is
only needed for what changes. A container that starts meanwhile is not known, and nothing passes
there.

Examples:
  bridgewall stop                       upgrade or restart without a gap
  bridgewall stop --detach              end enforcement: everything passes";

/// How long the daemon may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// Arguments of `stop`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stop {
    /// End enforcement too: remove every program and map from the kernel
    #[arg(long)]
    detach: bool,
}

impl Stop {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        let report = match Client::connect(&global.socket()?) {
            Ok(client) => end(client, self.detach)?,
            Err(ClientError::NoDaemon(_)) if self.detach => detach(global)?,
            Err(error) => return Err(error.into()),
        };
        if output.json {
            output.value(&report)?;
        } else if report.detached {
            output.text("enforcement has ended: everything passes")?;
        } else {
            output.text("the daemon has ended; enforcement goes on")?;
        }
        if report.problems.is_empty() {
            return Ok(Answer::Fine);
        }
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| format!("\n  {}", printable(problem)))
            .collect();
        Err(Failure::Unusable(format!(
            "not everything could be removed:{}",
            problems.concat()
        )))
    }
}

fn end(mut client: Client, detach: bool) -> Result<StopReport, Failure> {
    let _progress = Progress::start("waiting for the daemon to end");
    let Response::Stopping(report) = client.ask(Request::Stop { detach })? else {
        return Err(unexpected());
    };
    client.wait_for_end(END_TIMEOUT)?;
    Ok(report)
}

/// Without a daemon; no daemon can start meanwhile.
fn detach(global: &Global) -> Result<StopReport, Failure> {
    if !geteuid().is_root() {
        return Err(Failure::Unusable(
            "only root can end enforcement: use sudo".to_owned(),
        ));
    }
    let config = global.config()?;
    let _lock = DaemonLock::acquire(&config.state_directory)
        .map_err(|error| Failure::Unusable(error.to_string()))?;
    let _progress = Progress::start("removing programs and maps");
    let problems =
        Guard::open(&config).map_or_else(|error| vec![error.into()], |mut guard| guard.remove());
    let mut problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    if let Err(errors) = kernel::detach_all(&config.pin_directory) {
        problems.extend(errors.iter().map(ToString::to_string));
    }
    Ok(StopReport {
        detached: true,
        problems,
    })
}

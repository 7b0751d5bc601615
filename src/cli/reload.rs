//! `reload`: the daemon reads its policy again, now.

use clap::Args;

use super::failure::unexpected;
use super::output::Output;
use super::text::count;
use super::{Answer, Failure, Global};
use crate::control::protocol::{Request, Response};

const EXAMPLES: &str = "\
The daemon watches its policy files, and takes a change without being asked. This makes it look
at once, waits until the policy is enforced, and says what is wrong if it is refused. A refused
policy changes nothing.

Examples:
  bridgewall check && bridgewall reload";

/// Arguments of `reload`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Reload {}

impl Reload {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        let Response::Reloaded(report) = global.ask(Request::Reload)? else {
            return Err(unexpected());
        };
        if output.json {
            output.value(&report)?;
        } else {
            output.text(&format!(
                "revision {} enforced as generation {}: {}, {}{}",
                report.revision,
                report.generation,
                count(report.rules, "rule"),
                count(report.identities, "identity"),
                if report.changed {
                    ""
                } else {
                    "; nothing changed"
                },
            ))?;
        }
        Ok(Answer::Fine)
    }
}

//! `apply` and `confirm`: a policy is taken for a while, and stays if somebody says that all is well.

use std::path::PathBuf;

use clap::Args;

use super::failure::unexpected;
use super::output::Output;
use super::text::count;
use super::{Answer, Failure, Global};
use crate::control::protocol::{Apply as Asked, Request, Response};
use crate::control::report::ApplyReport;
use crate::observe::line::printable;

const EXAMPLES: &str = "\
The daemon takes the policy and counts the seconds itself. Unless `bridgewall confirm` is said in
time, it puts the policy before back: also when the connection over which this was typed dies, and
when the daemon itself is killed. To confirm from a new connection shows that one can be made.

Without FILE, the policy files are read as they are now. With FILE, the policy that stands there is
taken; once confirmed, it stays in force, also at the next boot, until the policy files change.

Examples:
  bridgewall apply --confirm 60 new.toml && ssh root@this-host bridgewall confirm
  bridgewall apply --confirm 60         what the policy files say now";

/// Arguments of `apply`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Apply {
    /// A policy file; policy.d beside it belongs to it [default: the daemon's]
    file: Option<PathBuf>,

    /// Put the policy before back after so many seconds, unless it is confirmed
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    confirm: u32,
}

impl Apply {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        // The daemon has another working directory.
        let file = self.file.map(|file| {
            std::path::absolute(&file)
                .map_err(|error| Failure::Wrong(format!("{}: {error}", file.display())))
        });
        let asked = Asked {
            file: file.transpose()?,
            seconds: self.confirm,
            ssh: std::env::var("SSH_CONNECTION").ok(),
        };
        let Response::Applied(report) = global.ask(Request::Apply(asked))? else {
            return Err(unexpected());
        };
        if output.json {
            output.value(&report)?;
        } else {
            output.text(&render(&report))?;
        }
        Ok(Answer::Fine)
    }
}

fn render(report: &ApplyReport) -> String {
    let rules = |sign: char, rules: &[String]| -> String {
        let lines = rules.iter();
        lines
            .map(|rule| format!("\n  {sign} {}", printable(rule)))
            .collect()
    };
    format!(
        "revision {} enforced as generation {}: {} more, {} less{}{}\n\
         the policy before comes back in {} s unless you say: bridgewall confirm {}",
        report.revision,
        report.generation,
        count(report.added.len(), "rule"),
        report.removed.len(),
        rules('+', &report.added),
        rules('-', &report.removed),
        report.seconds,
        report.revision,
    )
}

const CONFIRM_EXAMPLES: &str = "\
Examples:
  bridgewall confirm                    the policy that was applied stays
  bridgewall confirm --revert           it goes, and the one before comes back now";

/// Arguments of `confirm`.
#[derive(Debug, Args)]
#[command(after_help = CONFIRM_EXAMPLES)]
pub(super) struct Confirm {
    /// Only if it is this revision that waits
    revision: Option<u64>,

    /// Put the policy before back at once
    #[arg(long)]
    revert: bool,
}

impl Confirm {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        let request = Request::Confirm {
            revision: self.revision,
            keep: !self.revert,
        };
        let Response::Confirmed(report) = global.ask(request)? else {
            return Err(unexpected());
        };
        if output.json {
            output.value(&report)?;
            return Ok(Answer::Fine);
        }
        let what = if report.kept {
            "stays in force"
        } else {
            "is in force again"
        };
        let until = report.file.map_or_else(String::new, |file| {
            format!(
                ", until the policy files change; to keep it for good, put {} in their place",
                printable(&file.display().to_string())
            )
        });
        let whose = if report.kept {
            format!("revision {}", report.revision)
        } else {
            "the policy before".to_owned()
        };
        output.text(&format!("{whose} {what}{until}"))?;
        Ok(Answer::Fine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_and_how_to_keep_it_is_said() {
        let text = render(&ApplyReport {
            revision: 7,
            generation: 12,
            seconds: 60,
            added: vec!["allow office -> host 22/tcp".to_owned()],
            removed: Vec::new(),
        });
        assert_eq!(
            text,
            "revision 7 enforced as generation 12: 1 rule more, 0 less\n  \
             + allow office -> host 22/tcp\n\
             the policy before comes back in 60 s unless you say: bridgewall confirm 7"
        );
    }
}

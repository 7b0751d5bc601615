//! `doctor`: looks at everything that can be wrong, and says what to do about it.

use std::fmt::Write;

use anstyle::{AnsiColor, Style as Ansi};
use clap::Args;

use super::failure::unexpected;
use super::output::{Output, Style};
use super::{Answer, Failure, Global};
use crate::control::examination::{Condition, Examination};
use crate::control::protocol::{Request, Response};
use crate::observe::line::printable;

const EXAMPLES: &str = "\
Examples:
  bridgewall doctor                     exit code 0: healthy; 1: something is bad
  bridgewall doctor --json | jq '.checks[] | select(.condition != \"fine\")'";

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Doctor {}

impl Doctor {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        let Response::Examined(examination) = global.ask(Request::Doctor)? else {
            return Err(unexpected());
        };
        if output.json {
            output.value(&examination)?;
        } else {
            output.text(&render(&examination, output.style))?;
        }
        Ok(if examination.healthy {
            Answer::Fine
        } else {
            Answer::No
        })
    }
}

fn render(examination: &Examination, style: Style) -> String {
    let mut text = String::new();
    for check in &examination.checks {
        let (word, color) = match check.condition {
            Condition::Fine => ("fine", AnsiColor::Green),
            Condition::Warning => ("warning", AnsiColor::Yellow),
            Condition::Bad => ("bad", AnsiColor::Red),
        };
        let ansi = if style.color {
            color.on_default().bold()
        } else {
            Ansi::new()
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{ansi}{word:<8}{ansi:#} {}", printable(&check.text));
        for detail in &check.details {
            let _ = writeln!(text, "           {}", printable(detail));
        }
        if let Some(remedy) = &check.remedy {
            let _ = writeln!(text, "         > {}", printable(remedy));
        }
    }
    let of = |condition| {
        let checks = examination.checks.iter();
        checks.filter(|check| check.condition == condition).count()
    };
    let _ = writeln!(
        text,
        "\n{}: {} fine, {} warnings, {} bad",
        if examination.healthy {
            "healthy"
        } else {
            "not healthy"
        },
        of(Condition::Fine),
        of(Condition::Warning),
        of(Condition::Bad)
    );
    text
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::control::examination::Check;

    #[test]
    fn every_check_is_shown_with_its_objects_and_what_to_do() {
        let check = |name: &str, condition, details: &[&str], remedy: Option<&str>| Check {
            name: name.to_owned(),
            condition,
            text: format!("the {name}"),
            details: details.iter().map(|&detail| detail.to_owned()).collect(),
            remedy: remedy.map(str::to_owned),
        };
        let examination = Examination::new(vec![
            check("policy", Condition::Fine, &[], None),
            check(
                "maps",
                Condition::Warning,
                &["steps: 9 of 10"],
                Some("more"),
            ),
            check("endpoints", Condition::Bad, &["veth\u{1b}1"], Some("look")),
        ]);
        assert_eq!(
            render(&examination, Style::PLAIN),
            "fine     the policy\n\
             warning  the maps\n           \
             steps: 9 of 10\n         \
             > more\n\
             bad      the endpoints\n           \
             veth\\u{1b}1\n         \
             > look\n\n\
             not healthy: 1 fine, 1 warnings, 1 bad\n"
        );
    }
}

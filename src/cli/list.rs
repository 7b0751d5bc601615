//! `list`: endpoints, identities, rules and flows, as the daemon knows them.

use clap::{Args, Subcommand};

use super::failure::unexpected;
use super::output::Output;
use super::{Answer, Failure, Global, tables};
use crate::control::protocol::{FLOWS_LIMIT, Listing, Request, Response};

const EXAMPLES: &str = "\
Examples:
  bridgewall list endpoints
  bridgewall list rules --json | jq '.[] | select(.hits.packets == 0)'
  bridgewall list flows --limit 20";

/// Arguments of `list`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct List {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The interfaces that are watched, and who is behind them
    Endpoints,
    /// The sets of identities in use, and who belongs to them
    Identities,
    /// The rules, and how many connections each decided
    Rules,
    /// The connections that pass, the most recently active first
    Flows {
        /// Not more than so many
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        limit: usize,
    },
}

impl List {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        let listing = match self.what {
            What::Endpoints => Listing::Endpoints,
            What::Identities => Listing::Identities,
            What::Rules => Listing::Rules,
            What::Flows { limit } => Listing::Flows {
                limit: limit.min(FLOWS_LIMIT),
            },
        };
        let response = global.ask(Request::List(listing))?;
        let style = output.style;
        match (response, output.json) {
            (Response::Endpoints(list), true) => output.value(&list)?,
            (Response::Endpoints(list), false) => output.text(&tables::endpoints(&list, style))?,
            (Response::Identities(list), true) => output.value(&list)?,
            (Response::Identities(list), false) => {
                output.text(&tables::identities(&list, style))?
            }
            (Response::Rules(list), true) => output.value(&list)?,
            (Response::Rules(list), false) => output.text(&tables::rules(&list, style))?,
            (Response::Flows(report), true) => output.value(&report)?,
            (Response::Flows(report), false) => output.text(&tables::flows(&report, style))?,
            _ => return Err(unexpected()),
        }
        Ok(Answer::Fine)
    }
}

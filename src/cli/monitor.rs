//! `monitor`: what is dropped and allowed, as it happens.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use jiff::tz::TimeZone;

use super::failure::unexpected;
use super::output::Output;
use super::{Answer, Failure, Global};
use crate::control::client::Client;
use crate::control::protocol::{Request, Response, Streamed, Watch};
use crate::observe::line::LineFormat;

const EXAMPLES: &str = "\
Each line says when, what became of the packet, who sent it to whom, and which side decided by
which rule. Allowed connections are shown once, when they begin.

  ALLOW  a rule or the default allows it
  DROP   no rule allows it, or the packet itself is wrong
  DENY   a rule denies it
  AUDIT  passes, and would be dropped if it were not for audit mode

With --json each line is an object; {\"lost\": N}: N events came faster than they were read.

Examples:
  bridgewall monitor
  bridgewall monitor --drops --to db
  bridgewall monitor --json | jq -r 'select(.verdict == \"drop\") | .reason'";

/// Arguments of `monitor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Monitor {
    /// Only what is dropped, or would be
    #[arg(long)]
    drops: bool,

    /// Only new connections that are allowed
    #[arg(long)]
    allows: bool,

    /// Only from this container, identity or address
    #[arg(long, value_name = "NAME")]
    from: Option<String>,

    /// Only to this container, identity or address
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
}

impl Monitor {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        // Without either, both.
        let watch = Watch {
            drops: self.drops || !self.allows,
            allows: self.allows || !self.drops,
            from: self.from,
            to: self.to,
        };
        let mut client = global.connect()?;
        let Response::Watching = client.ask(Request::Monitor(watch))? else {
            return Err(unexpected());
        };
        let interrupted = end_on_interrupt(&client)?;
        let format = LineFormat {
            color: output.style.color,
            zone: TimeZone::system(),
        };
        loop {
            match (client.streamed(), output.json) {
                _ if interrupted.load(Ordering::SeqCst) => return Ok(Answer::Fine),
                (Err(error), _) => return Err(error.into()),
                (Ok(None), _) => return Err(Failure::Unusable("the daemon has ended".to_owned())),
                (Ok(Some(Streamed::Event(event))), true) => output.line_of(&event)?,
                (Ok(Some(Streamed::Event(event))), false) => output.text(&format.line(&event))?,
                (Ok(Some(lost @ Streamed::Lost(_))), true) => output.line_of(&lost)?,
                (Ok(Some(Streamed::Lost(count))), false) => output.text(&format.lost(count))?,
            }
        }
    }
}

/// Ctrl-C closes the connection, which ends the waiting.
fn end_on_interrupt(client: &Client) -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let connection = client.handle()?;
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        flag.store(true, Ordering::SeqCst);
        // It may be closed already, which is what is wanted.
        let _ = connection.shutdown(Shutdown::Both);
    })
    .map_err(|error| Failure::Unusable(format!("handle Ctrl-C: {error}")))?;
    Ok(interrupted)
}

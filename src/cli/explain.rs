//! `explain`: what would become of a connection, and which rules decide. Of a policy file, or of the
//! policy that the daemon enforces.

use std::fmt::Write;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style as Ansi};
use clap::Args;

use super::failure::unexpected;
use super::output::{Output, Style};
use super::{Answer, Failure, Global};
use crate::control::explanation::{ExplainCase, ExplainReport, ExplainSide};
use crate::control::protocol::{Asked, Question, Request, Response};
use crate::observe::event::{Decider, Verdict};
use crate::observe::line::printable;

const EXAMPLES: &str = "\
NAME is an identity, an entity (any, host, containers, world, internet, lan), a network or an address;
of the daemon also a container. PORT is a port and a protocol (80/tcp, the default protocol is TCP);
TYPE is as in the policy file (echo-request, ipv4:3/4).

Examples:
  bridgewall explain --from web --to db --port 3306/tcp
  bridgewall explain --from internet --to web --icmp echo-request
  bridgewall explain --policy ./policy.toml --from 203.0.113.7 --to web --port 443

Exit code 0: it passes; 1: it would be dropped.";

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// Who opens the connection
    #[arg(long, value_name = "NAME")]
    from: String,

    /// Who it is opened to
    #[arg(long, value_name = "NAME")]
    to: String,

    #[command(flatten)]
    traffic: Traffic,

    /// Ask this policy file instead of the daemon
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Traffic {
    /// A TCP, UDP or SCTP port: the container's own, not the published one
    #[arg(long, value_name = "PORT")]
    port: Option<String>,

    /// A type of ICMP
    #[arg(long, value_name = "TYPE")]
    icmp: Option<String>,

    /// An IP protocol, by name or number
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
}

impl Traffic {
    fn asked(self) -> Option<Asked> {
        let port = self.port.map(Asked::Port);
        let icmp = self.icmp.map(Asked::Icmp);
        port.or(icmp).or(self.protocol.map(Asked::Protocol))
    }
}

impl Explain {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        let Some(traffic) = self.traffic.asked() else {
            return Err(Failure::Wrong(
                "name a port, ICMP type or protocol".to_owned(),
            ));
        };
        let question = Question {
            from: self.from,
            to: self.to,
            traffic,
        };
        let report = match self.policy {
            Some(file) => of_file(&file, &question)?,
            None => match global.ask(Request::Explain(question))? {
                Response::Explained(report) => *report,
                _ => return Err(unexpected()),
            },
        };
        if output.json {
            output.value(&report)?;
        } else {
            output.text(&render(&report, output.style))?;
        }
        Ok(if report.allowed {
            Answer::Fine
        } else {
            Answer::No
        })
    }
}

fn render(report: &ExplainReport, style: Style) -> String {
    let mut text = String::new();
    for (index, case) in report.cases.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        render_case(&mut text, case, style);
    }
    text
}

fn render_case(text: &mut String, case: &ExplainCase, style: Style) {
    let bold = if style.color {
        Ansi::new().bold()
    } else {
        Ansi::new()
    };
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{}  {bold}{}{bold:#} -> {bold}{}{bold:#} {}",
        painted(case.verdict, style),
        printable(&case.from),
        printable(&case.to),
        printable(&case.traffic),
    );
    for (side, says, owner) in [
        (Decider::Egress, &case.egress, &case.from),
        (Decider::Ingress, &case.ingress, &case.to),
    ] {
        let title = match side {
            Decider::Egress => "egress of",
            Decider::Ingress => "ingress of",
        };
        let decides = if case.side == side && says.is_some() {
            ", which decides"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "       {title} {}: {}{decides}",
            printable(owner),
            said(says.as_ref())
        );
    }
}

fn said(side: Option<&ExplainSide>) -> String {
    let Some(side) = side else {
        return "not judged: it is not on this host".to_owned();
    };
    let verb = match side.verdict {
        Verdict::Allow => "allowed",
        Verdict::Audit => "would be dropped if it were not for audit mode,",
        Verdict::Drop => "dropped",
        Verdict::Deny => "denied",
    };
    match &side.rule {
        Some(rule) => format!(
            "{verb} by {} ({}:{})",
            printable(&rule.name),
            printable(&rule.file.to_string_lossy()),
            rule.line
        ),
        None => format!("{verb} by default: no rule speaks"),
    }
}

fn painted(verdict: Verdict, style: Style) -> String {
    let (word, color) = match verdict {
        Verdict::Allow => ("ALLOW", AnsiColor::Green),
        Verdict::Audit => ("AUDIT", AnsiColor::Yellow),
        Verdict::Drop => ("DROP", AnsiColor::Red),
        Verdict::Deny => ("DENY", AnsiColor::Red),
    };
    let paint = if style.color {
        color.on_default().bold()
    } else {
        Ansi::new()
    };
    format!("{paint}{word:<5}{paint:#}")
}

fn of_file(_file: &std::path::Path, _question: &Question) -> Result<ExplainReport, Failure> {
    Err(Failure::Unusable("STOPGAP".to_owned()))
}

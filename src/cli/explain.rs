//! `explain`: what would become of a connection, and which rules decide. Of a policy file, or of the
//! policy that the daemon enforces.

use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use clap::Args;

use super::failure::unexpected;
use super::output::{Output, Style};
use super::{Answer, Failure, Global, check};
use crate::control::explanation::{self, ExplainReport};
use crate::control::protocol::{Request, Response};
use crate::control::question::{Asked, Question};

const EXAMPLES: &str = "\
NAME is an identity, an entity (any, host, containers, world, internet, lan), a network or an
address; if the daemon is asked also a container. PORT is a port and a protocol (80/tcp; without a
protocol it is TCP). TYPE is as in the policy file (echo-request, ipv4:3/4).

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
        let mut report = match self.policy {
            Some(file) => of_file(global, &file, &question)?,
            None => match global.ask(Request::Explain(question))? {
                Response::Explained(report) => *report,
                _ => return Err(unexpected()),
            },
        };
        if output.json {
            report.explanation["allowed"] = report.allowed.into();
            output.value(&report.explanation)?;
        } else {
            output.text(&painted(&report, output.style))?;
        }
        Ok(if report.allowed {
            Answer::Fine
        } else {
            Answer::No
        })
    }
}

/// Of a host on which nothing runs.
fn of_file(global: &Global, file: &Path, question: &Question) -> Result<ExplainReport, Failure> {
    let policy = check::load(file)?;
    let compiled = check::compile(global, &policy)?;
    explanation::answer(&policy, &compiled, None, question)
        .map_err(|error| Failure::Wrong(error.to_string()))
}

/// The first line is the answer, and has its colour.
fn painted(report: &ExplainReport, style: Style) -> String {
    if !style.color {
        return report.text.clone();
    }
    let color = if report.allowed {
        AnsiColor::Green
    } else {
        AnsiColor::Red
    };
    let color = color.on_default().bold();
    let (first, rest) = report
        .text
        .split_once('\n')
        .unwrap_or((report.text.as_str(), ""));
    format!("{color}{first}{color:#}\n{rest}")
}

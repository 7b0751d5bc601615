//! Why a verb fails, and what exit code that is.

use std::io;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::text::count;
use crate::compile::checks::TestFailure;
use crate::compile::limits::LimitErrors;
use crate::config::ConfigError;
use crate::control::client::ClientError;
use crate::control::protocol::ErrorKind;
use crate::policy::Report;
use crate::policy::model::Action;
use crate::reconcile::policies::{PolicyRefused, Rejection};

/// Why a verb fails.
#[derive(Debug)]
pub(super) enum Failure {
    /// The policy is refused.
    Policy(Report),
    /// The policy is too large.
    Limits(LimitErrors),
    /// The daemon has no policy to begin with.
    NoPolicy(PolicyRefused),
    /// Tests of the policy do not hold.
    Tests(Vec<TestFailure>),
    /// The configuration is refused.
    Config(ConfigError),
    /// What was asked makes no sense.
    Wrong(String),
    /// The daemon cannot be reached, or says no.
    Client(ClientError),
    /// The daemon or the kernel cannot be used.
    Unusable(String),
    /// What is read by somebody is no longer read.
    BrokenPipe,
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Policy(_)
            | Self::NoPolicy(_)
            | Self::Limits(_)
            | Self::Tests(_)
            | Self::Config(_)
            | Self::Wrong(_) => ExitCode::from(2),
            Self::Client(ClientError::Answer(report)) => match report.kind {
                ErrorKind::Refused | ErrorKind::Malformed => ExitCode::from(2),
                ErrorKind::Version
                | ErrorKind::NotRoot
                | ErrorKind::Busy
                | ErrorKind::Slow
                | ErrorKind::Failed => ExitCode::from(3),
            },
            Self::Client(_) | Self::Unusable(_) => ExitCode::from(3),
            // `bridgewall list flows | head` is fine.
            Self::BrokenPipe => ExitCode::SUCCESS,
        }
    }

    /// For people.
    pub fn render(&self, color: bool) -> Option<String> {
        let red = anstyle::AnsiColor::BrightRed.on_default().bold();
        let error = |message: &dyn std::fmt::Display| {
            Some(if color {
                format!("{red}error{red:#}: {message}")
            } else {
                format!("error: {message}")
            })
        };
        match self {
            Self::Policy(report) => Some(report.render(color).trim_end().to_owned()),
            Self::Limits(limits) => error(limits),
            Self::Tests(failures) => {
                let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
                let count = count(failures.len(), "test");
                error(&format_args!(
                    "{}\n{count} failed: the policy is refused",
                    texts.join("\n")
                ))
            }
            Self::Config(config) => Some(config.render(color)),
            // A refused policy brings its own "error:" for each error.
            Self::NoPolicy(refused @ PolicyRefused(Rejection::Files(_))) => {
                Some(refused.to_string())
            }
            Self::NoPolicy(refused) => error(refused),
            Self::Client(ClientError::Answer(report)) if report.details.is_some() => {
                Some(report.message.trim_end().to_owned())
            }
            Self::Client(client) => error(client),
            Self::Wrong(message) | Self::Unusable(message) => error(message),
            Self::BrokenPipe => None,
        }
    }

    /// For programs.
    pub fn json(&self) -> Option<Value> {
        let (kind, message, details) = match self {
            Self::Policy(report) => (
                json!("refused"),
                report.summary(),
                serde_json::to_value(report).ok(),
            ),
            Self::NoPolicy(refused) => (json!("refused"), refused.to_string(), None),
            Self::Limits(limits) => (json!("refused"), limits.to_string(), None),
            Self::Tests(failures) => (
                json!("refused"),
                format!("{} failed", count(failures.len(), "test")),
                Some(json!({ "tests": failures.iter().map(test).collect::<Vec<_>>() })),
            ),
            Self::Config(config) => (json!("config"), config.to_string(), None),
            Self::Wrong(message) => (json!("usage"), message.clone(), None),
            Self::Client(ClientError::Answer(report)) => (
                json!(report.kind),
                report.message.clone(),
                report.details.clone(),
            ),
            Self::Client(client) => (json!("unreachable"), client.to_string(), None),
            Self::Unusable(message) => (json!("failed"), message.clone(), None),
            Self::BrokenPipe => return None,
        };
        let mut error = json!({ "kind": kind, "message": message });
        if let Some(details) = details {
            error["details"] = details;
        }
        Some(json!({ "error": error }))
    }
}

/// A test that does not hold.
fn test(failure: &TestFailure) -> Value {
    let expect = match failure.expect {
        Action::Allow => "allow",
        Action::Deny => "drop",
    };
    json!({
        "file": failure.location.file.as_path(),
        "line": failure.location.line,
        "column": failure.location.column,
        "expect": expect,
        "got": failure.got,
    })
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    /// Of writing the answer.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::Unusable(format!("write the answer: {error}"))
        }
    }
}

/// The daemon answered with something else than what was asked for.
pub(super) fn unexpected() -> Failure {
    Failure::Unusable(
        "the daemon answers something else than it was asked: restart it after an upgrade"
            .to_owned(),
    )
}

//! What is said over the control socket. Each line is one JSON object: the client sends a [`Call`],
//! the server answers with a [`Response`]; after [`Response::Watching`] it goes on with [`Streamed`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::examination::Examination;
use super::explanation::ExplainReport;
use super::question::Question;
use super::report::{
    ApplyReport, ConfirmReport, EndpointReport, FlowsReport, IdentityReport, ReloadReport,
    RuleReport, StatusReport, StopReport,
};
use crate::observe::event::Event;
use crate::policy::Report;

/// Raised whenever an older client or daemon would misunderstand a newer one.
pub const VERSION: u32 = 1;

/// Longest request that the server reads, in bytes.
pub const REQUEST_LIMIT: usize = 16 * 1024;

/// Longest answer that the client reads, in bytes.
pub const RESPONSE_LIMIT: usize = 64 * 1024 * 1024;

/// Most flows that one answer can hold: keeps it below [`RESPONSE_LIMIT`].
pub const FLOWS_LIMIT: usize = 100_000;

/// A request, and the version of the protocol that it is made in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// [`VERSION`] of the client.
    pub version: u32,
    /// What is asked.
    pub request: Request,
}

impl Call {
    /// In this version.
    #[must_use]
    pub const fn new(request: Request) -> Self {
        Self {
            version: VERSION,
            request,
        }
    }
}

/// What can be asked of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How it is.
    Status,
    /// Read the policy files again, now.
    Reload,
    /// Take a policy for a while, unless it is confirmed.
    Apply(Apply),
    /// The policy that was taken for a while is to stay, or not.
    Confirm {
        /// Its revision; the one that waits, whichever that is.
        #[serde(default)]
        revision: Option<u64>,
        /// Whether it is to stay.
        keep: bool,
    },
    /// What it knows.
    List(Listing),
    /// Events, from now on.
    Monitor(Watch),
    /// What would become of a connection.
    Explain(Question),
    /// What is wrong, or may be.
    Doctor,
    /// End the daemon.
    Stop {
        /// End enforcement too.
        detach: bool,
    },
}

impl Request {
    /// Whether it changes what is enforced, and so is for root alone.
    #[must_use]
    pub const fn changes(&self) -> bool {
        match self {
            Self::Reload | Self::Apply(_) | Self::Confirm { .. } | Self::Stop { .. } => true,
            Self::Status | Self::List(_) | Self::Monitor(_) | Self::Explain(_) | Self::Doctor => {
                false
            }
        }
    }

    /// Its name, as on the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Reload => "reload",
            Self::Apply(_) => "apply",
            Self::Confirm { .. } => "confirm",
            Self::List(_) => "list",
            Self::Monitor(_) => "monitor",
            Self::Explain(_) => "explain",
            Self::Doctor => "doctor",
            Self::Stop { .. } => "stop",
        }
    }
}

/// A policy to be taken for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Where it stands; nothing: where the policy always stands.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// For so long.
    pub seconds: u32,
    /// `SSH_CONNECTION` of who asks.
    #[serde(default)]
    pub ssh: Option<String>,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Listing {
    /// Everything that is watched.
    Endpoints,
    /// The sets of identities that are in use.
    Identities,
    /// The rules and how often each decided.
    Rules,
    /// The connections that pass.
    Flows {
        /// Not more than so many.
        limit: usize,
    },
}

/// Which events a client wants. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// What is dropped, or would be if it were not for audit mode.
    pub drops: bool,
    /// New connections that are allowed.
    pub allows: bool,
    /// A container, an identity or an address that must be the source.
    pub from: Option<String>,
    /// A container, an identity or an address that must be the destination.
    pub to: Option<String>,
}

impl Watch {
    /// Whether this client is to see this event.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let kind = if event.is_drop() {
            self.drops
        } else {
            self.allows
        };
        let is = |wanted: &Option<String>, peer: &crate::observe::event::Peer| {
            wanted.as_ref().is_none_or(|name| peer.is_called(name))
        };
        kind && is(&self.from, &event.source) && is(&self.to, &event.destination)
    }
}

/// The daemon's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// To `status`.
    Status(Box<StatusReport>),
    /// To `reload`: accepted.
    Reloaded(ReloadReport),
    /// To `apply`: in force, for a while.
    Applied(ApplyReport),
    /// To `confirm`: done.
    Confirmed(ConfirmReport),
    /// To `list endpoints`.
    Endpoints(Vec<EndpointReport>),
    /// To `list identities`.
    Identities(Vec<IdentityReport>),
    /// To `list rules`.
    Rules(Vec<RuleReport>),
    /// To `list flows`.
    Flows(FlowsReport),
    /// To `explain`.
    Explained(Box<ExplainReport>),
    /// To `doctor`.
    Examined(Box<Examination>),
    /// To `monitor`: events follow.
    Watching,
    /// Done, and nothing to tell about it.
    Done,
    /// To `stop`. The connection closes when the daemon has ended.
    Stopping(StopReport),
    /// To anything: no.
    Error(ErrorReport),
}

impl Response {
    /// An error without details.
    #[must_use]
    pub fn error(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Error(ErrorReport {
            kind,
            message: message.into(),
            details: None,
        })
    }

    /// A policy is refused: for people as text, for programs as data.
    #[must_use]
    pub fn refused(report: &Report) -> Self {
        Self::Error(ErrorReport {
            kind: ErrorKind::Refused,
            message: report.to_string(),
            details: serde_json::to_value(report).ok(),
        })
    }
}

/// Why the answer is no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// For programs.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
    /// For programs: of a refused policy, its [`Report`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// What kind of no it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Not a request that this daemon understands.
    Malformed,
    /// In another version of the protocol.
    Version,
    /// Root may ask this, and nobody else.
    NotRoot,
    /// Too many clients, or no answer in time.
    Busy,
    /// No complete request in time.
    Slow,
    /// The policy, or the question, is wrong.
    Refused,
    /// The daemon cannot do it: the message says why.
    Failed,
}

/// A line of the stream that follows [`Response::Watching`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Streamed {
    /// Something happened.
    Event(Box<Event>),
    /// So many events were left out, because this client reads too slowly.
    Lost(u64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::question::Asked;

    fn parse(json: &str) -> Result<Call, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn requests_read_as_documented() {
        for (json, request) in [
            (r#"{"version":1,"request":"status"}"#, Request::Status),
            (
                r#"{"version":1,"request":{"list":"rules"}}"#,
                Request::List(Listing::Rules),
            ),
            (
                r#"{"version":1,"request":{"list":{"flows":{"limit":5}}}}"#,
                Request::List(Listing::Flows { limit: 5 }),
            ),
            (
                r#"{"version":1,"request":{"stop":{"detach":true}}}"#,
                Request::Stop { detach: true },
            ),
            (
                r#"{"version":1,"request":{"explain":{"from":"a","to":"b","traffic":{"port":"80/tcp"}}}}"#,
                Request::Explain(Question {
                    from: "a".into(),
                    to: "b".into(),
                    traffic: Asked::Port("80/tcp".into()),
                }),
            ),
        ] {
            assert_eq!(parse(json).expect(json), Call::new(request), "{json}");
        }
    }

    #[test]
    fn unknown_verbs_fields_and_types_are_errors() {
        for json in [
            r#"{"version":1,"request":"destroy"}"#,
            r#"{"version":1,"request":"status","more":1}"#,
            r#"{"version":1,"request":{"stop":{}}}"#,
            r#"{"version":1,"request":{"stop":{"detach":1}}}"#,
            r#"{"request":"status"}"#,
            r"[]",
        ] {
            assert!(parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn only_what_changes_enforcement_is_for_root() {
        assert!(Request::Reload.changes());
        let confirm = Request::Confirm {
            revision: None,
            keep: false,
        };
        assert!(confirm.changes());
        assert!(Request::Stop { detach: false }.changes());
        assert!(!Request::Status.changes());
        assert!(!Request::Doctor.changes());
        assert!(!Request::Monitor(Watch::default()).changes());
    }
}

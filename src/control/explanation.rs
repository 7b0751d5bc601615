//! The answer to `explain`: what would become of a connection, and which rules say so.

use serde::{Deserialize, Serialize};

use crate::observe::event::{Decider, Verdict};
use crate::observe::names::RuleName;

/// What would become of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainReport {
    /// Who was asked about.
    pub from: String,
    /// Who was asked about.
    pub to: String,
    /// What was asked for.
    pub traffic: String,
    /// Whether it passes in every case.
    pub allowed: bool,
    /// One for each combination of what `from` and `to` may stand for that is judged differently.
    /// Never empty.
    pub cases: Vec<ExplainCase>,
}

/// One combination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainCase {
    /// The opener's identity: `web`, `db+web`, `internet`.
    pub from: String,
    /// The target's identity.
    pub to: String,
    /// What it is asked for.
    pub traffic: String,
    /// The greater of the two sides' verdicts.
    pub verdict: Verdict,
    /// The side that decided.
    pub side: Decider,
    /// What the opener's egress says; nothing if it has none (the world).
    pub egress: Option<ExplainSide>,
    /// What the target's ingress says; nothing if it has none (the world).
    pub ingress: Option<ExplainSide>,
}

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainSide {
    /// Its verdict.
    pub verdict: Verdict,
    /// The rule that says so; nothing for the default.
    pub rule: Option<RuleName>,
}

//! What `doctor` finds: a list of checks, each with what was found and what to do about it.

use serde::{Deserialize, Serialize};

/// `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// Whether no check is bad. Warnings do not count: some are somebody's choice.
    pub healthy: bool,
    /// All checks, also those that found nothing.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, for programs: `flow-tables`.
    pub name: String,
    /// What it comes to.
    pub condition: Condition,
    /// What was found, in a line.
    pub text: String,
    /// With which objects, one a line.
    pub details: Vec<String>,
    /// What to do about it; nothing where all is well.
    pub remedy: Option<String>,
}

/// What a check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// As it should be.
    Fine,
    /// Worth knowing: it may be meant so.
    Warning,
    /// Something that should be enforced is not, or something that should pass does not.
    Bad,
}

impl Examination {
    /// Healthy or not, by what the checks come to.
    #[must_use]
    pub fn new(checks: Vec<Check>) -> Self {
        Self {
            healthy: checks.iter().all(|check| check.condition != Condition::Bad),
            checks,
        }
    }
}

//! What is denied by the sender alone.

use super::numbers::RuleNumber;

/// A rule denies whatever peers in some networks open, to whomever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// The rule.
    pub rule: RuleNumber,
    /// Nor may anybody open a connection to there: so nothing that comes from there is an answer.
    pub both_ways: bool,
}

//! `[[test]]`: what must hold before a policy is taken.

use std::fmt;

use super::compiled::Compiled;
use super::explain::{Case, Explanation, Stage, Who};
use super::limits::LimitErrors;
use super::names;
use crate::policy::model::{Action, Location, Policy, PolicyTest};
use crate::state::steps::Verdict;

/// A test that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    /// Where the test stands.
    pub location: Location,
    /// What it expects; `Deny` is "drop".
    pub expect: Action,
    /// What the policy says instead, for some of those whom the test is about or for all; or that
    /// there is nothing to judge.
    pub got: Explanation,
}

/// Runs all tests of a policy, for everybody that they can be about: what `compiled` says of this
/// host, and hypothetical endpoints (see [`explain`](super::explain)).
///
/// A test is about what the rules say: what passes only because of audit mode counts as dropped, so
/// that a policy can be tried in audit mode with the tests it will be enforced with.
///
/// # Errors
/// The policy has a list too long for the kernel.
pub fn run_tests(policy: &Policy, compiled: &Compiled) -> Result<Vec<TestFailure>, LimitErrors> {
    if policy.tests.is_empty() {
        return Ok(Vec::new());
    }
    let stage = Stage::new(policy, compiled)?;
    let tests = policy.tests.iter();
    Ok(tests.filter_map(|test| run(&stage, test)).collect())
}

fn run(stage: &Stage<'_>, test: &PolicyTest) -> Option<TestFailure> {
    let (from, to) = (Who::from(test.from.clone()), Who::from(test.to.clone()));
    let got = stage.explain(&from, &to, &test.traffic);
    let holds = |case: &Case| (case.verdict == Verdict::Allow) == (test.expect == Action::Allow);
    let fails = got.cases.is_empty() || !got.cases.iter().all(holds);
    fails.then(|| TestFailure {
        location: test.location.clone(),
        expect: test.expect,
        got,
    })
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = match self.expect {
            Action::Allow => "allow",
            Action::Deny => "drop",
        };
        let place = names::place(&self.location);
        write!(f, "{place}: a test expects \"{expected}\"\n{}", self.got)
    }
}

impl std::error::Error for TestFailure {}

//! The step function that a subject's policy towards a peer is compiled into.

use super::numbers::RuleNumber;
use crate::policy::traffic::Selector;

/// What becomes of a new connection. Ordered: of two sides' verdicts the greater one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// Passes.
    Allow = 0,
    /// Passes, and is reported as what would have been dropped.
    Audit = 1,
    /// Dropped: no rule speaks for it.
    Drop = 2,
    /// Dropped: a rule speaks against it.
    Deny = 3,
}

impl Verdict {
    /// Whether the packet passes.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Allow | Self::Audit)
    }
}

/// From `from` up to the next step, this holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// Where it begins.
    pub from: Selector,
    /// What holds.
    pub verdict: Verdict,
    /// The rule that decides, [`RuleNumber::DEFAULT`] if none does.
    pub rule: RuleNumber,
    /// Whether every new connection it decides is reported.
    pub log: bool,
}

/// Steps in order, the first at [`Selector::FIRST`], neighbours different: a total function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepList(Vec<Step>);

impl StepList {
    /// Takes steps that are sorted and begin at the line's beginning; joins equal neighbours.
    ///
    /// # Panics
    /// The steps are empty, do not begin at [`Selector::FIRST`], or are not in order: an error of
    /// the compiler, never of its input.
    #[must_use]
    pub fn new(steps: Vec<Step>) -> Self {
        assert!(
            steps
                .first()
                .is_some_and(|step| step.from == Selector::FIRST),
            "a step list must begin at the beginning of the line"
        );
        assert!(
            steps.windows(2).all(|pair| pair[0].from < pair[1].from),
            "the steps of a list must be in order"
        );
        let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
        for step in steps {
            match joined.last() {
                Some(last)
                    if (last.verdict, last.rule, last.log)
                        == (step.verdict, step.rule, step.log) => {}
                _ => joined.push(step),
            }
        }
        Self(joined)
    }

    /// The steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The step that holds for a selector: the same search that the kernel does.
    #[must_use]
    pub fn find(&self, selector: Selector) -> Step {
        let after = self.0.partition_point(|step| step.from <= selector);
        self.0[after - 1]
    }
}

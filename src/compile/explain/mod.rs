//! Why something passes or does not: the compiled policy is asked as the kernel asks it, and whoever
//! decided is named.
//!
//! A question may be about many: an identity is every set of identities on this host that contains
//! it, an entity or a network is everybody in it. Each of them is asked. Where identities are
//! asked about, an endpoint that belongs to exactly that one identity and to no project is asked
//! too, whether or not one runs: so questions have answers without a daemon, and before the first
//! container starts. `containers` and `any` stand for such an endpoint of each identity, an
//! unidentified one, and all that run.

mod families;
mod render;
mod stage;
mod who;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

pub use self::stage::Stage;
pub use self::who::{UnknownPeer, Who};
use super::compiled::Compiled;
use super::limits::LimitErrors;
use super::names;
use super::settings::{Settings, Source, SubjectKind};
use crate::policy::model::{Action, Location, Mode, Policy, Side};
use crate::policy::traffic::{Interval, Selector, Traffic};
use crate::state::numbers::{IdentityNumber, PeerKind, RuleNumber};
use crate::state::steps::{Step, Verdict};

/// The answer to one question. [`Display`](std::fmt::Display) writes it for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Who was asked about as the opener.
    pub from: String,
    /// Who was asked about as the target.
    pub to: String,
    /// What was asked for, as it was written.
    pub traffic: String,
    /// The strictest verdict of all cases; `None` if there is nothing to judge.
    #[serde(serialize_with = "optional_verdict")]
    pub verdict: Option<Verdict>,
    /// The different answers, strictest first. One, if all who were asked about fare alike.
    pub cases: Vec<Case>,
}

/// One answer, and for whom it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// For this part of what was asked for: `80/tcp`.
    pub traffic: Vec<String>,
    /// For these.
    pub between: Vec<Between>,
    /// The greater of the two sides' verdicts.
    #[serde(serialize_with = "verdict")]
    pub verdict: Verdict,
    /// The side that decides.
    #[serde(serialize_with = "side")]
    pub decided_by: Side,
    /// What the opener's side says; `None` if it is outside this host.
    pub egress: Option<Answer>,
    /// What the target's side says; `None` if it is outside this host.
    pub ingress: Option<Answer>,
}

/// An opener and a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Between {
    /// The opener.
    pub from: Member,
    /// The target.
    pub to: Member,
}

/// One of those that a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// What `monitor` and `list identities` call it.
    pub name: String,
    /// None like this runs on this host.
    pub hypothetical: bool,
}

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What becomes of the connection, if it is up to this side.
    #[serde(serialize_with = "verdict")]
    pub verdict: Verdict,
    /// The rule that decides, if one does.
    pub rule: Option<Statement>,
    /// The default that decides, if no rule does.
    pub default: Option<Statement>,
    /// Who asked for audit mode, if that is why it passes.
    pub audit: Option<Statement>,
    /// Whether every such connection is reported.
    pub log: bool,
}

/// Something in the policy files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// A rule's name, or what a setting says.
    pub text: String,
    /// Where it stands; `None` for what is not about one place, as the defaults.
    pub file: Option<String>,
    /// Where it stands, from 1.
    pub line: Option<usize>,
}

impl Explanation {
    /// Whether all of it passes, in audit mode or by right.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.verdict.is_none_or(Verdict::passes)
    }
}

/// Explains what becomes of a new connection. For more than one question make a [`Stage`].
///
/// # Errors
/// The policy has a list too long for the kernel.
pub fn explain(
    policy: &Policy,
    compiled: &Compiled,
    from: &Who,
    to: &Who,
    traffic: &Traffic,
) -> Result<Explanation, LimitErrors> {
    Ok(Stage::new(policy, compiled)?.explain(from, to, traffic))
}

/// All by which two answers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    verdict: Verdict,
    decided_by: Side,
    egress: Option<(Step, Settings)>,
    ingress: Option<(Step, Settings)>,
}

impl Stage<'_> {
    /// Explains what becomes of a new connection.
    #[must_use]
    pub fn explain(&self, from: &Who, to: &Who, traffic: &Traffic) -> Explanation {
        let mut cases: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let families = from.families(self.policy).both(to.families(self.policy));
        for (opener, target) in self.pairs(from, to) {
            let families = families
                .both(self.families(opener))
                .both(self.families(target));
            for (outcome, intervals) in self.outcomes(opener, target, &families.part_of(traffic)) {
                let key = (Reverse(outcome.verdict), outcome, intervals);
                cases.entry(key).or_default().push((opener, target));
            }
        }
        let cases: Vec<Case> = cases
            .into_iter()
            .map(|((_, outcome, intervals), between)| self.case(outcome, &intervals, &between))
            .collect();
        Explanation {
            from: from.name(self.policy),
            to: to.name(self.policy),
            traffic: traffic.to_string(),
            verdict: cases.first().map(|case| case.verdict),
            cases,
        }
    }

    /// The different outcomes along the line, each with the parts of the line where it holds.
    fn outcomes(
        &self,
        opener: IdentityNumber,
        target: IdentityNumber,
        intervals: &[Interval],
    ) -> BTreeMap<Outcome, Vec<Interval>> {
        let lists = [
            self.judges.list(Side::Egress, opener, target),
            self.judges.list(Side::Ingress, target, opener),
        ];
        let mut outcomes: BTreeMap<Outcome, Vec<Interval>> = BTreeMap::new();
        for interval in intervals {
            let mut begins: Vec<_> = lists
                .iter()
                .flatten()
                .flat_map(|list| list.steps())
                .map(|step| step.from)
                .filter(|from| *from > interval.first() && *from <= interval.last())
                .chain([interval.first()])
                .collect();
            begins.sort_unstable();
            begins.dedup();
            for (index, &first) in begins.iter().enumerate() {
                let last = begins
                    .get(index + 1)
                    .and_then(|next| Selector::from_raw(next.raw() - 1))
                    .unwrap_or(interval.last());
                let Some(judgement) = self.judges.judge(opener, target, first) else {
                    continue;
                };
                let with_settings = |step: Option<Step>, subject, side| {
                    let step = step?;
                    // Where a step begins is no part of what it says.
                    let from = Selector::FIRST;
                    Some((Step { from, ..step }, self.settings(subject, side)?))
                };
                let outcome = Outcome {
                    verdict: judgement.verdict,
                    decided_by: judgement.side,
                    egress: with_settings(judgement.egress, opener, Side::Egress),
                    ingress: with_settings(judgement.ingress, target, Side::Ingress),
                };
                outcomes
                    .entry(outcome)
                    .or_default()
                    .extend(Interval::new(first, last));
            }
        }
        outcomes
    }

    fn settings(&self, subject: IdentityNumber, side: Side) -> Option<Settings> {
        let kind = match subject.kind() {
            PeerKind::Host => SubjectKind::Host,
            PeerKind::Endpoint => SubjectKind::Endpoint(self.sets.get(&subject)?),
            PeerKind::Lan | PeerKind::Internet => return None,
        };
        Some(Settings::of(self.policy, kind, side))
    }

    fn case(
        &self,
        outcome: Outcome,
        intervals: &[Interval],
        between: &[(IdentityNumber, IdentityNumber)],
    ) -> Case {
        let joined = Traffic::new(intervals.to_vec(), String::new());
        let answer = |said: Option<(Step, Settings)>, side| {
            said.map(|(step, settings)| self.answer(step, settings, side))
        };
        Case {
            traffic: joined
                .intervals()
                .iter()
                .map(|&interval| names::interval(interval))
                .collect(),
            between: between
                .iter()
                .map(|&(from, to)| Between {
                    from: self.member(from),
                    to: self.member(to),
                })
                .collect(),
            verdict: outcome.verdict,
            decided_by: outcome.decided_by,
            egress: answer(outcome.egress, Side::Egress),
            ingress: answer(outcome.ingress, Side::Ingress),
        }
    }

    fn answer(&self, step: Step, settings: Settings, side: Side) -> Answer {
        let rule = self.compiled.rules.get(&step.rule);
        let key = match side {
            Side::Egress => "egress",
            Side::Ingress => "ingress",
        };
        let default = || {
            let value = match settings.default {
                Action::Allow => "allow",
                Action::Deny => "deny",
            };
            let key = match settings.default_source {
                Source::Unidentified => "unidentified",
                _ => key,
            };
            self.setting(settings.default_source, key, value)
        };
        let audit = step.verdict == Verdict::Audit && settings.mode == Mode::Audit;
        Answer {
            verdict: step.verdict,
            rule: rule.map(|rule| Statement::at(rule.name.clone(), &rule.location)),
            default: (step.rule == RuleNumber::DEFAULT).then(default),
            audit: audit.then(|| self.setting(settings.mode_source, "mode", "audit")),
            log: step.log,
        }
    }

    fn setting(&self, source: Source, key: &str, value: &str) -> Statement {
        let says = |section: &str| format!("{key} = \"{value}\" in [{section}]");
        let nowhere = |section| Statement {
            text: says(section),
            file: None,
            line: None,
        };
        match source {
            Source::Defaults | Source::Unidentified => nowhere("defaults"),
            Source::DefaultsHost => nowhere("defaults.host"),
            Source::Identity(id) => {
                let identity = &self.policy.identities[id.0];
                let section = format!("identities.{}", identity.name);
                Statement::at(says(&section), &identity.location)
            }
        }
    }
}

impl Statement {
    fn at(text: String, location: &Location) -> Self {
        Self {
            text,
            file: Some(location.file.display().to_string()),
            line: Some(location.line),
        }
    }
}

/// One word for a verdict, as in JSON and in `expect`.
#[must_use]
pub const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Audit => "audit",
        Verdict::Drop => "drop",
        Verdict::Deny => "deny",
    }
}

const fn side_word(side: Side) -> &'static str {
    match side {
        Side::Egress => "egress",
        Side::Ingress => "ingress",
    }
}

fn verdict<S: Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    verdict_word(*verdict).serialize(serializer)
}

fn optional_verdict<S: Serializer>(
    verdict: &Option<Verdict>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    verdict.map(verdict_word).serialize(serializer)
}

fn side<S: Serializer>(side: &Side, serializer: S) -> Result<S::Ok, S::Error> {
    side_word(*side).serialize(serializer)
}

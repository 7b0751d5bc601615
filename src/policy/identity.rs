//! `[identities.NAME]`: conditions that somebody can meet.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{FileCondition, FileIdentity, Operator};
use super::limits;
use super::model::{Identity, LabelOperator, LabelRequirement, Location, Pattern, Selector};
use super::problem::{Problems, Refusal, shown};
use super::source::{Span, Spanned};

/// The label that Docker Compose writes the project into.
const PROJECT_LABEL: &str = "com.docker.compose.project";

/// Checks one identity.
pub(super) fn validate(
    identity: &FileIdentity,
    location: Location,
    problems: &mut Problems,
) -> Identity {
    if !identity.has_condition {
        let refusal = Refusal::new(
            format!(
                "[identities.{}] does not say who belongs to it",
                identity.name.value
            ),
            "no condition",
            "write labels, match, name, image, network, project or interface; \
             name = \"*\" is every endpoint",
        );
        problems.add(identity.span, refusal);
    }
    let requirements = requirements(identity, problems);
    let project = pattern(identity.project.as_ref(), problems);
    refuse_contradictions(identity, &requirements, project.as_ref(), problems);
    Identity {
        name: identity.name.value.clone(),
        selector: Selector {
            labels: requirements.into_iter().map(|(_, label)| label).collect(),
            name: pattern(identity.container.as_ref(), problems),
            image: pattern(identity.image.as_ref(), problems),
            network: pattern(identity.network.as_ref(), problems),
            project,
            interface: pattern(identity.interface.as_ref(), problems),
        },
        ingress: identity.ingress.as_ref().map(|action| action.value),
        egress: identity.egress.as_ref().map(|action| action.value),
        mode: identity.mode.as_ref().map(|mode| mode.value),
        location,
    }
}

fn pattern(text: Option<&Spanned<String>>, problems: &mut Problems) -> Option<Pattern> {
    let Spanned { value: text, span } = text?;
    problems.take(*span, glob(text))
}

fn glob(text: &str) -> Result<Pattern, Refusal> {
    if text.is_empty() {
        return Err(Refusal::new(
            "an empty pattern matches nobody",
            "empty",
            "write a name or a glob such as \"shop-*\", or leave the key out",
        ));
    }
    if text.chars().count() > limits::GLOB_CHARACTERS {
        return Err(Refusal::new(
            "the pattern is too long",
            format!("more than {} characters", limits::GLOB_CHARACTERS),
            "shorten it, with `*` for what need not be spelled out",
        ));
    }
    Pattern::new(text).map_err(|error| {
        Refusal::new(
            format!("{} is not a valid glob", shown(text)),
            error.kind().to_string(),
            "globs have * ? [abc] {one,two}; put a `\\` before such a character to mean itself",
        )
    })
}

fn requirements(identity: &FileIdentity, problems: &mut Problems) -> Vec<(Span, LabelRequirement)> {
    let mut all = Vec::new();
    for (key, value) in &identity.labels {
        check_label(key, "key", problems);
        check_label(value, "value", problems);
        let requirement = LabelRequirement {
            key: key.value.clone(),
            operator: LabelOperator::In(vec![value.value.clone()]),
        };
        all.push((key.span, requirement));
    }
    for condition in &identity.conditions {
        all.extend(requirement(condition, problems));
    }
    if all.len() > limits::LIST_ENTRIES {
        let refusal = Refusal::new(
            format!(
                "[identities.{}] has {} conditions",
                identity.name.value,
                all.len()
            ),
            format!("more than {}", limits::LIST_ENTRIES),
            "use several identities",
        );
        problems.add(identity.span, refusal);
    }
    all
}

fn requirement(
    condition: &FileCondition,
    problems: &mut Problems,
) -> Option<(Span, LabelRequirement)> {
    let key = condition.key.as_ref()?;
    check_label(key, "key", problems);
    let values = || -> Option<Vec<String>> {
        let list = condition.values.as_ref()?;
        Some(list.value.iter().map(|value| value.value.clone()).collect())
    };
    for value in condition.values.iter().flat_map(|list| &list.value) {
        check_label(value, "value", problems);
    }
    let operator = match condition.operator.as_ref()?.value {
        Operator::In => LabelOperator::In(values()?),
        Operator::NotIn => LabelOperator::NotIn(values()?),
        Operator::Exists => LabelOperator::Exists,
        Operator::Absent => LabelOperator::Absent,
    };
    let key = key.value.clone();
    Some((condition.span, LabelRequirement { key, operator }))
}

/// A key must say something; a value may be empty, as Docker's may.
fn check_label(text: &Spanned<String>, what: &str, problems: &mut Problems) {
    let label = if what == "key" && text.value.is_empty() {
        "empty".to_owned()
    } else if text.value.chars().count() > limits::LABEL_CHARACTERS {
        format!("more than {} characters", limits::LABEL_CHARACTERS)
    } else {
        return;
    };
    let refusal = Refusal::new(
        format!("{} cannot be the {what} of a label", shown(&text.value)),
        label,
        format!("write the {what} that `docker inspect` shows under Labels"),
    );
    problems.add(text.span, refusal);
}

/// What must hold for the value of one label, all conditions taken together.
#[derive(Default)]
struct Demands<'a> {
    present: bool,
    absent: bool,
    one_of: Option<BTreeSet<&'a str>>,
    none_of: BTreeSet<&'a str>,
}

impl<'a> Demands<'a> {
    fn add(&mut self, operator: &'a LabelOperator) {
        match operator {
            LabelOperator::In(values) => {
                self.present = true;
                let values: BTreeSet<_> = values.iter().map(String::as_str).collect();
                self.one_of = Some(match &self.one_of {
                    Some(known) => known & &values,
                    None => values,
                });
            }
            LabelOperator::NotIn(values) => self.none_of.extend(values.iter().map(String::as_str)),
            LabelOperator::Exists => self.present = true,
            LabelOperator::Absent => self.absent = true,
        }
    }

    /// The values left over, if only some are allowed at all.
    fn possible(&self) -> Option<BTreeSet<&'a str>> {
        self.one_of.as_ref().map(|values| values - &self.none_of)
    }

    fn contradiction(&self, key: &str) -> Option<String> {
        let key = shown(key);
        if self.present && self.absent {
            return Some(format!(
                "the label {key} would have to be both there and absent"
            ));
        }
        self.possible()
            .is_some_and(|values| values.is_empty())
            .then(|| format!("no value of the label {key} meets all conditions"))
    }
}

/// Refuses an identity that nobody could ever have.
fn refuse_contradictions(
    identity: &FileIdentity,
    requirements: &[(Span, LabelRequirement)],
    project: Option<&Pattern>,
    problems: &mut Problems,
) {
    let mut demands: BTreeMap<&str, (Demands<'_>, Span)> = BTreeMap::new();
    for (span, requirement) in requirements {
        let (demand, last) = demands
            .entry(&requirement.key)
            .or_insert_with(|| (Demands::default(), *span));
        let before = demand.contradiction(&requirement.key).is_some();
        demand.add(&requirement.operator);
        let first = std::mem::replace(last, *span);
        if before {
            continue;
        }
        if let Some(why) = demand.contradiction(&requirement.key) {
            let refusal = nobody(identity, why);
            if first == *span {
                problems.add(*span, refusal);
            } else {
                problems.add_related(*span, refusal, first, "and this condition");
            }
        }
    }
    let (Some(project), Some(written)) = (project, &identity.project) else {
        return;
    };
    let Some((demand, label)) = demands.get(PROJECT_LABEL) else {
        return;
    };
    let fits = |values: &BTreeSet<&str>| values.iter().any(|value| project.matches(value));
    if demand.absent || demand.possible().is_some_and(|values| !fits(&values)) {
        let why =
            format!("`project` is the label `{PROJECT_LABEL}`, and they contradict each other");
        let refusal = nobody(identity, why);
        problems.add_related(written.span, refusal, *label, "and this condition");
    }
}

fn nobody(identity: &FileIdentity, why: String) -> Refusal {
    Refusal::new(
        format!(
            "nobody can ever belong to [identities.{}]",
            identity.name.value
        ),
        why,
        "all conditions of an identity must hold at once: take one out, or make two identities; \
         several values stand in one op = \"in\"",
    )
}

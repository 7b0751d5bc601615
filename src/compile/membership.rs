//! Which identities an endpoint belongs to.

use crate::inventory::model::Attributes;
use crate::policy::model::{
    IdentityId, LabelOperator, LabelRequirement, Pattern, Peer, Policy, Selector, TestPeer,
};

/// All that the policy can tell of an endpoint: those with equal sets share an identity number.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointSet {
    /// What it belongs to, in order. Empty: unidentified.
    pub identities: Vec<IdentityId>,
    /// Its compose project, where the policy asks for that anywhere.
    pub project: Option<String>,
}

/// The identities whose selectors an endpoint meets, in order. Asks all of them: for one endpoint, or a few.
#[must_use]
pub fn identities_of(policy: &Policy, attributes: &Attributes) -> Vec<IdentityId> {
    (0..policy.identities.len())
        .map(IdentityId)
        .filter(|id| selects(&policy.identities[id.0].selector, attributes))
        .collect()
}

/// Whether everything that a selector asks for holds. What an endpoint does not have (an image, a
/// network, a project) matches no pattern, not even `*`.
#[must_use]
pub fn selects(selector: &Selector, attributes: &Attributes) -> bool {
    let holds = |pattern: &Option<Pattern>, value: Option<&str>| {
        pattern
            .as_ref()
            .is_none_or(|pattern| value.is_some_and(|value| pattern.matches(value)))
    };
    holds(&selector.name, Some(&attributes.name))
        && holds(&selector.interface, Some(&attributes.interface))
        && holds(&selector.image, attributes.image.as_deref())
        && holds(&selector.network, attributes.network.as_deref())
        && holds(&selector.project, attributes.project.as_deref())
        && selector
            .labels
            .iter()
            .all(|requirement| meets(requirement, attributes))
}

fn meets(requirement: &LabelRequirement, attributes: &Attributes) -> bool {
    let value = attributes.labels.get(&requirement.key);
    match &requirement.operator {
        LabelOperator::In(values) => value.is_some_and(|value| values.contains(value)),
        LabelOperator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
        LabelOperator::Exists => value.is_some(),
        LabelOperator::Absent => value.is_none(),
    }
}

/// Whether a rule or a test speaks of `same-project`: only then do projects tell endpoints apart.
pub(super) fn asks_for_projects(policy: &Policy) -> bool {
    let rules = policy
        .rules
        .iter()
        .flat_map(|rule| rule.from.iter().chain(&rule.to));
    let tests = policy.tests.iter().flat_map(|test| [&test.from, &test.to]);
    rules.into_iter().any(|peer| *peer == Peer::SameProject)
        || tests
            .into_iter()
            .any(|peer| *peer == TestPeer::Peer(Peer::SameProject))
}

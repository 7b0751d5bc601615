//! The kinds of endpoints that a policy tells apart, and how an endpoint's is found: by what selectors ask
//! for, looked up, so that it does not matter how many other identities there are.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::membership::{EndpointSet, asks_for_projects, selects};
use crate::inventory::model::Attributes;
use crate::policy::model::{IdentityId, LabelOperator, Policy, Selector};
use crate::state::numbers::IdentityNumber;

/// A policy's kinds of endpoints, with those of their numbers that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    directory: Directory,
    by_project: bool,
    numbers: BTreeMap<EndpointSet, IdentityNumber>,
}

impl Kinds {
    /// Those of a policy, none of which has a number yet.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self {
            directory: Directory::new(policy),
            by_project: asks_for_projects(policy),
            numbers: BTreeMap::new(),
        }
    }

    /// With the numbers of those that there are.
    #[must_use]
    pub(super) fn numbered(self, numbers: BTreeMap<EndpointSet, IdentityNumber>) -> Self {
        Self { numbers, ..self }
    }

    /// All that `policy`, which these are of, can tell of an endpoint with these attributes.
    #[must_use]
    pub fn set_of(&self, policy: &Policy, attributes: &Attributes) -> EndpointSet {
        let project = attributes.project.as_ref().filter(|_| self.by_project);
        EndpointSet {
            identities: self.directory.identities_of(policy, attributes),
            project: project.cloned(),
        }
    }

    /// The number of an endpoint with these attributes, if its kind has one.
    pub(super) fn number_of(
        &self,
        policy: &Policy,
        attributes: &Attributes,
    ) -> Option<IdentityNumber> {
        let set = self.set_of(policy, attributes);
        self.numbers.get(&set).copied()
    }
}

/// What else than labels a selector can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Field {
    Name,
    Image,
    Network,
    Project,
    Interface,
}

/// Something that all endpoints of an identity have in common, and few others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Trait<'a> {
    Label(Cow<'a, str>, Cow<'a, str>),
    /// Whatever its value.
    LabelKey(Cow<'a, str>),
    Beginning(Field, Cow<'a, str>),
}

impl Trait<'_> {
    fn into_owned(self) -> Trait<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Label(key, value) => Trait::Label(own(key), own(value)),
            Self::LabelKey(key) => Trait::LabelKey(own(key)),
            Self::Beginning(field, text) => Trait::Beginning(field, own(text)),
        }
    }
}

/// Identities by what their endpoints have: each under one trait, or under the alternatives of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Directory {
    by_trait: HashMap<Trait<'static>, Vec<IdentityId>>,
    /// How long the beginnings are that are in it.
    lengths: BTreeSet<(Field, usize)>,
    /// Those that ask for nothing but what must not be.
    others: Vec<IdentityId>,
}

impl Directory {
    fn new(policy: &Policy) -> Self {
        // Under what is asked for least often there are the fewest to look through.
        let mut asked = HashMap::<Trait<'_>, usize>::new();
        for identity in &policy.identities {
            for one in requirements(&identity.selector).into_iter().flatten() {
                *asked.entry(one).or_default() += 1;
            }
        }
        let mut directory = Self::default();
        for (index, identity) in policy.identities.iter().enumerate() {
            let requirements = requirements(&identity.selector);
            let rarest = requirements
                .into_iter()
                .min_by_key(|traits| traits.iter().map(|one| asked[one]).sum::<usize>());
            match rarest {
                Some(traits) => directory.enter(traits, IdentityId(index)),
                None => directory.others.push(IdentityId(index)),
            }
        }
        directory
    }

    fn enter(&mut self, traits: Vec<Trait<'_>>, id: IdentityId) {
        for one in traits {
            if let Trait::Beginning(field, text) = &one {
                self.lengths.insert((*field, text.len()));
            }
            self.by_trait.entry(one.into_owned()).or_default().push(id);
        }
    }

    /// The identities whose selectors an endpoint meets, in order.
    fn identities_of(&self, policy: &Policy, attributes: &Attributes) -> Vec<IdentityId> {
        let mut found: Vec<_> = self
            .candidates(attributes)
            .filter(|id| selects(&policy.identities[id.0].selector, attributes))
            .collect();
        found.sort_unstable();
        // A value that a selector names twice.
        found.dedup();
        found
    }

    fn candidates<'a>(
        &'a self,
        attributes: &'a Attributes,
    ) -> impl Iterator<Item = IdentityId> + 'a {
        let labels = attributes.labels.iter().flat_map(|(key, value)| {
            [
                Trait::Label(key.into(), value.into()),
                Trait::LabelKey(key.into()),
            ]
        });
        let beginnings = self.lengths.iter().filter_map(|&(field, length)| {
            let beginning = value_of(attributes, field)?.get(..length)?;
            Some(Trait::Beginning(field, beginning.into()))
        });
        let by_trait: &HashMap<Trait<'a>, Vec<IdentityId>> = &self.by_trait;
        labels
            .chain(beginnings)
            .filter_map(|one| by_trait.get(&one))
            .chain([&self.others])
            .flatten()
            .copied()
    }
}

/// All that a selector says must be there: of each, what comes into question.
fn requirements(selector: &Selector) -> Vec<Vec<Trait<'_>>> {
    let labels = selector.labels.iter().filter_map(|requirement| {
        let key = Cow::from(&requirement.key);
        match &requirement.operator {
            LabelOperator::In(values) => {
                let labels = values.iter();
                let labels = labels.map(|value| Trait::Label(key.clone(), value.into()));
                Some(labels.collect())
            }
            LabelOperator::Exists => Some(vec![Trait::LabelKey(key)]),
            LabelOperator::NotIn(_) | LabelOperator::Absent => None,
        }
    });
    let patterns = [
        (Field::Name, &selector.name),
        (Field::Image, &selector.image),
        (Field::Network, &selector.network),
        (Field::Project, &selector.project),
        (Field::Interface, &selector.interface),
    ];
    let beginnings = patterns.into_iter().filter_map(|(field, pattern)| {
        let beginning = pattern.as_ref()?.beginning();
        Some(vec![Trait::Beginning(field, beginning.into())])
    });
    labels.chain(beginnings).collect()
}

fn value_of(attributes: &Attributes, field: Field) -> Option<&str> {
    match field {
        Field::Name => Some(&attributes.name),
        Field::Image => attributes.image.as_deref(),
        Field::Network => attributes.network.as_deref(),
        Field::Project => attributes.project.as_deref(),
        Field::Interface => Some(&attributes.interface),
    }
}

//! How much one policy may need of the kernel, and whether it does.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;

use super::compiled::Compiled;
use crate::inventory::model::Inventory;
use crate::state::numbers::IdentityNumber;

/// The longest single list of steps (`STEP_LIST_MAX` in `abi.h`): it bounds the kernel's search.
pub const LONGEST_LIST: usize = 131_071;

/// What one policy, in one slot, may need. Maps that hold both slots (steps, pairs, networks) have
/// room for twice this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Steps in all different lists together.
    pub steps: usize,
    /// Pairs of subject and peer with a list of their own.
    pub pairs: usize,
    /// IPv4 prefixes.
    pub networks4: usize,
    /// IPv6 prefixes.
    pub networks6: usize,
    /// Rules; also the greatest rule number.
    pub rules: usize,
    /// Distinct sets of identities among the endpoints.
    pub identities: usize,
    /// Endpoints. (The configuration allows no more than the packet mark has room for; the compiler itself
    /// does not care.)
    pub endpoints: usize,
    /// Addresses of endpoints and of the host.
    pub addresses: usize,
}

impl Limits {
    /// The numbers of endpoints' identity numbers that there are (`LOCAL_IDENTITY_MAX` in `abi.h`,
    /// without the host's).
    pub const MOST_IDENTITIES: usize =
        (IdentityNumber::LAST_ENDPOINT.0 - IdentityNumber::FIRST_ENDPOINT.0 + 1) as usize;
}

impl Default for Limits {
    /// Generous for one host: about 10 MB of kernel memory when all of it but the networks is used.
    fn default() -> Self {
        Self {
            steps: 131_072,
            pairs: 65_536,
            networks4: 1 << 20,
            networks6: 1 << 20,
            rules: 4_095,
            identities: Self::MOST_IDENTITIES,
            endpoints: 4_095,
            addresses: 16_384,
        }
    }
}

/// What a policy needs, in the terms of [`Limits`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Steps in all different lists together.
    pub steps: usize,
    /// Pairs of subject and peer with a list of their own.
    pub pairs: usize,
    /// IPv4 prefixes.
    pub networks4: usize,
    /// IPv6 prefixes.
    pub networks6: usize,
    /// Rules.
    pub rules: usize,
    /// Distinct sets of identities among the endpoints.
    pub identities: usize,
    /// Endpoints.
    pub endpoints: usize,
    /// Addresses of endpoints and of the host, the link-local ones that follow from MACs included.
    pub addresses: usize,
}

impl Needs {
    /// What a compiled policy needs.
    #[must_use]
    pub fn of(compiled: &Compiled, inventory: &Inventory) -> Self {
        let generic = compiled
            .subjects
            .values()
            .flat_map(|subject| subject.generic.as_flattened());
        let mut seen = HashSet::new();
        let steps = generic
            .chain(compiled.pairs.values())
            .filter(|list| seen.insert(Arc::as_ptr(list)))
            .map(|list| list.steps().len())
            .sum();
        Self {
            steps,
            pairs: compiled.pairs.len(),
            rules: compiled.rules.len(),
            identities: compiled.subjects.len().saturating_sub(1),
            ..Self::of_networks(compiled.networks.keys())
        }
        .with_inventory(inventory)
    }

    pub(super) fn of_networks<'a>(prefixes: impl Iterator<Item = &'a IpNet>) -> Self {
        let mut needs = Self::default();
        for prefix in prefixes {
            match prefix {
                IpNet::V4(_) => needs.networks4 += 1,
                IpNet::V6(_) => needs.networks6 += 1,
            }
        }
        needs
    }

    pub(super) fn with_inventory(self, inventory: &Inventory) -> Self {
        let owners = inventory
            .endpoints
            .values()
            .filter_map(|endpoint| endpoint.owner.as_ref());
        Self {
            endpoints: inventory.endpoints.len(),
            addresses: inventory.host_addresses.len()
                + owners.map(|owner| owner.addresses.len() + 1).sum::<usize>(),
            ..self
        }
    }

    /// Compares with the limits.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub fn check(&self, limits: &Limits) -> Result<(), LimitErrors> {
        let errors: Vec<_> = [
            (Resource::Steps, self.steps, limits.steps),
            (Resource::Pairs, self.pairs, limits.pairs),
            (Resource::Networks4, self.networks4, limits.networks4),
            (Resource::Networks6, self.networks6, limits.networks6),
            (Resource::Rules, self.rules, limits.rules),
            (
                Resource::Identities,
                self.identities,
                limits.identities.min(Limits::MOST_IDENTITIES),
            ),
            (Resource::Endpoints, self.endpoints, limits.endpoints),
            (Resource::Addresses, self.addresses, limits.addresses),
        ]
        .into_iter()
        .filter(|(_, need, limit)| need > limit)
        .map(|(resource, need, limit)| LimitError {
            resource,
            need: Need::Exactly(need),
            limit,
        })
        .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(LimitErrors(errors))
        }
    }
}

/// What there is only so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Steps in all different lists together.
    Steps,
    /// Steps in one list.
    ListSteps,
    /// Pairs of subject and peer.
    Pairs,
    /// IPv4 prefixes.
    Networks4,
    /// IPv6 prefixes.
    Networks6,
    /// Rules.
    Rules,
    /// Sets of identities.
    Identities,
    /// Endpoints.
    Endpoints,
    /// Addresses.
    Addresses,
}

impl Resource {
    /// The key in `[limits]` that raises the limit; `None` where the kernel programs set it.
    #[must_use]
    pub const fn key(self) -> Option<&'static str> {
        match self {
            Self::Steps => Some("steps"),
            Self::ListSteps | Self::Identities => None,
            Self::Pairs => Some("pairs"),
            Self::Networks4 => Some("networks4"),
            Self::Networks6 => Some("networks6"),
            Self::Rules => Some("rules"),
            Self::Endpoints => Some("endpoints"),
            Self::Addresses => Some("addresses"),
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Steps => "port and ICMP steps",
            Self::ListSteps => "port and ICMP steps between two peers",
            Self::Pairs => "pairs of identities and peers",
            Self::Networks4 => "IPv4 prefixes",
            Self::Networks6 => "IPv6 prefixes",
            Self::Rules => "rules",
            Self::Identities => "different combinations of identities",
            Self::Endpoints => "endpoints",
            Self::Addresses => "addresses on this host",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Steps | Self::ListSteps => {
                "write port ranges instead of single ports, or fewer rules with port lists of their own"
            }
            Self::Pairs => {
                "name fewer networks and identities in rules from or to many, or join networks that are treated alike"
            }
            Self::Networks4 | Self::Networks6 => "join neighbouring prefixes in the network files",
            Self::Rules => "join rules that differ only in their peers: `from` and `to` take lists",
            Self::Identities => {
                "define fewer identities that overlap, or drop `same-project`, which counts every project apart"
            }
            Self::Endpoints | Self::Addresses => "run fewer containers on managed networks",
        }
    }
}

/// How much is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// This much.
    Exactly(usize),
    /// More than this: counting stopped there.
    MoreThan(usize),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(need) => write!(f, "{need}"),
            Self::MoreThan(need) => write!(f, "more than {need}"),
        }
    }
}

/// One thing of which a policy needs too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LimitError {
    /// Of what.
    pub resource: Resource,
    /// How much it needs.
    pub need: Need,
    /// How much there is.
    pub limit: usize,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            resource,
            need,
            limit,
        } = self;
        let (what, remedy) = (resource.what(), resource.remedy());
        write!(f, "the policy needs {need} {what}, the limit is {limit}: ")?;
        if let Some(key) = resource.key() {
            write!(f, "raise `limits.{key}` in bridgewall.toml, or ")?;
        }
        f.write_str(remedy)
    }
}

/// Everything that does not fit. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LimitErrors(pub Vec<LimitError>);

impl LimitErrors {
    pub(super) fn one(resource: Resource, need: Need, limit: usize) -> Self {
        Self(vec![LimitError {
            resource,
            need,
            limit,
        }])
    }
}

impl fmt::Display for LimitErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

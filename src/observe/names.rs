//! What the kernel's numbers are called. Made anew for each inventory and policy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::compile::compiled::{Compiled, RuleInfo};
use crate::inventory::model::Inventory;
use crate::policy::model::Policy;
use crate::state::numbers::{EndpointNumber, IdentityNumber, RuleNumber};

/// The names of endpoints, identities and rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Names {
    endpoints: BTreeMap<EndpointNumber, String>,
    identities: Arc<BTreeMap<IdentityNumber, IdentityName>>,
    rules: Arc<BTreeMap<RuleNumber, RuleName>>,
}

/// What an identity number is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityName {
    /// Of the whole: `db+web`.
    pub name: String,
    /// Of the identities or networks that it stands for: `db`, `web`.
    pub members: Vec<String>,
}

/// A rule, as events and answers point to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleName {
    /// Its number.
    pub number: u32,
    /// Its name, or a short form of what it says.
    pub name: String,
    /// The file it stands in.
    pub file: PathBuf,
    /// The line it begins on.
    pub line: usize,
}

impl RuleName {
    /// Of a compiled rule.
    #[must_use]
    pub fn new(number: RuleNumber, info: &RuleInfo) -> Self {
        Self {
            number: number.0,
            name: info.name.clone(),
            file: info.location.file.as_ref().clone(),
            line: info.location.line,
        }
    }

    /// `policy.toml:12`: short, for a line among many.
    #[must_use]
    pub fn place(&self) -> String {
        let file = self.file.file_name().unwrap_or(self.file.as_os_str());
        format!("{}:{}", file.to_string_lossy(), self.line)
    }
}

impl Names {
    /// Of everything in an inventory, and in the policy that was compiled for it.
    #[must_use]
    pub fn new(inventory: &Inventory, policy: &Policy, compiled: &Compiled) -> Self {
        let identities = compiled
            .identities
            .iter()
            .map(|(&number, info)| {
                let identities = info
                    .identities
                    .iter()
                    .filter_map(|id| policy.identities.get(id.0))
                    .map(|identity| identity.name.clone());
                let networks = info
                    .networks
                    .iter()
                    .map(|network| crate::compile::names::peer(policy, network));
                let members = identities.chain(networks).collect();
                let name = info.name.clone();
                (number, IdentityName { name, members })
            })
            .collect();
        let rules = compiled
            .rules
            .iter()
            .map(|(&number, info)| (number, RuleName::new(number, info)))
            .collect();
        Self {
            endpoints: endpoints(inventory),
            identities: Arc::new(identities),
            rules: Arc::new(rules),
        }
    }

    /// Of another inventory; policy and numbers stay.
    #[must_use]
    pub fn with_inventory(&self, inventory: &Inventory) -> Self {
        Self {
            endpoints: endpoints(inventory),
            ..self.clone()
        }
    }

    /// An endpoint's name: its container's, or its interface's.
    #[must_use]
    pub fn endpoint(&self, number: EndpointNumber) -> Option<&str> {
        self.endpoints.get(&number).map(String::as_str)
    }

    /// What an identity number is called.
    #[must_use]
    pub fn identity(&self, number: IdentityNumber) -> Option<&IdentityName> {
        self.identities.get(&number)
    }

    /// The rule of a number; none for the default.
    #[must_use]
    pub fn rule(&self, number: RuleNumber) -> Option<&RuleName> {
        self.rules.get(&number)
    }
}

fn endpoints(inventory: &Inventory) -> BTreeMap<EndpointNumber, String> {
    inventory
        .endpoints
        .values()
        .map(|endpoint| {
            let name = match &endpoint.owner {
                Some(owner) => owner.attributes.name.clone(),
                None => endpoint.interface.clone(),
            };
            (endpoint.number, name)
        })
        .collect()
}

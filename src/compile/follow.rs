//! A policy that stays while the inventory changes: what a container that comes or goes costs.

use std::collections::BTreeMap;

use super::compiled::Compiled;
use crate::inventory::model::{Endpoint, Inventory};
use crate::policy::model::Policy;

impl Compiled {
    /// This compiled policy for an inventory that came after the one it was compiled for (`before`).
    ///
    /// `None`: there is an endpoint now of a kind that this policy has no number for, so that it has to be
    /// compiled anew. Numbers of kinds that have no endpoint any more stay: a container that is started
    /// again finds its own.
    #[must_use]
    pub fn follow(
        &self,
        policy: &Policy,
        before: &Inventory,
        inventory: &Inventory,
    ) -> Option<Self> {
        let mut endpoints = BTreeMap::new();
        for (&number, endpoint) in &inventory.endpoints {
            let Some(owner) = &endpoint.owner else {
                continue;
            };
            let known = before
                .endpoints
                .get(&number)
                .filter(|before| is_same(before, endpoint))
                .and_then(|_| self.endpoints.get(&number));
            let identity = match known {
                Some(identity) => *identity,
                None => self.kinds.number_of(policy, &owner.attributes)?,
            };
            endpoints.insert(number, identity);
        }
        Some(Self {
            endpoints,
            ..self.clone()
        })
    }
}

/// Whether two are the same to any policy.
fn is_same(a: &Endpoint, b: &Endpoint) -> bool {
    match (&a.owner, &b.owner) {
        (Some(a), Some(b)) => a.attributes == b.attributes,
        _ => false,
    }
}

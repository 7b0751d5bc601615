//! How the policy divides the world, with the numbers of its regions: what of a compilation depends on
//! the policy alone. It is by far the largest part where there are long lists, and is handed on from one
//! compilation of a policy to the next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnet::IpNet;

use super::compiled::Compiled;
use super::world::{Region, World, divide_alike};
use crate::policy::model::Policy;
use crate::state::networks::Networks;
use crate::state::numbers::IdentityNumber;

/// The world outside, divided and numbered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Division {
    /// By longest prefix; both families' default routes are always in it.
    pub(super) networks: Arc<BTreeMap<IpNet, IdentityNumber>>,
    /// The same as the kernel searches it.
    pub(super) trees: Arc<Networks>,
    /// All different regions.
    pub(super) regions: Arc<[Region]>,
    /// Their numbers, in the same order.
    pub(super) numbers: Vec<IdentityNumber>,
}

/// A division whose regions have no numbers yet.
pub(super) enum Unnumbered<'a> {
    New(World),
    /// A policy that divides the world in the same way was compiled before.
    Known(&'a Division),
}

impl<'a> Unnumbered<'a> {
    pub(super) fn new(policy: &Policy, before: Option<(&Policy, &'a Compiled)>) -> Self {
        match before {
            Some((of, before)) if divide_alike(of, policy) => Self::Known(&before.world),
            _ => Self::New(World::new(policy)),
        }
    }

    pub(super) fn regions(&self) -> &[Region] {
        match self {
            Self::New(world) => &world.regions,
            Self::Known(division) => &division.regions,
        }
    }

    pub(super) fn prefixes(&self) -> Box<dyn Iterator<Item = &IpNet> + '_> {
        match self {
            Self::New(world) => Box::new(world.table.iter().map(|(prefix, _)| prefix)),
            Self::Known(division) => Box::new(division.networks.keys()),
        }
    }

    /// With the regions' numbers.
    pub(super) fn numbered(self, numbers: Vec<IdentityNumber>) -> Division {
        let (table, regions): (BTreeMap<_, _>, _) = match self {
            Self::Known(known) if known.numbers == numbers => return known.clone(),
            Self::Known(known) => {
                let renumbered: HashMap<_, _> = known.numbers.iter().zip(&numbers).collect();
                let entries = known.networks.iter();
                let entries = entries.map(|(&prefix, old)| (prefix, *renumbered[old]));
                (entries.collect(), Arc::clone(&known.regions))
            }
            Self::New(World { table, regions }) => {
                let entries = table.into_iter();
                let entries = entries.map(|(prefix, region)| (prefix, numbers[region]));
                (entries.collect(), regions.into())
            }
        };
        Division {
            trees: Arc::new(Networks::new(&table)),
            networks: Arc::new(table),
            regions,
            numbers,
        }
    }
}

//! From a policy and an inventory to what the kernel should hold. Pure: no I/O, no clock.
//!
//! ```text
//! attributes -> membership -> endpoint sets -\
//! networks   -> world      -> regions       --> numbering -> lists (settings, sweep) -> Compiled
//! ```
//!
//! [`explain`] and [`checks`] ask the result, as the kernel does, and say who decided.

pub mod checks;
pub mod compiled;
mod denials;
pub mod division;
pub mod explain;
mod follow;
pub mod kinds;
pub mod limits;
mod lists;
pub mod membership;
pub mod names;
pub mod numbering;
pub mod settings;
mod sweep;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::compiled::{Compiled, IdentityInfo, RuleInfo};
use self::division::Unnumbered;
use self::kinds::Kinds;
use self::limits::{LimitErrors, Limits, Need, Needs, Resource};
use self::lists::Actors;
use self::membership::EndpointSet;
use self::numbering::{EndpointKey, Exhausted, Numbering, RuleKey, WorldKey};
use self::world::Region;
use crate::inventory::model::Inventory;
use crate::policy::model::Policy;
use crate::state::numbers::{EndpointNumber, IdentityNumber, RuleNumber};

/// Compiles a policy for what is on this host.
///
/// An endpoint whose owner is not known yet gets no identity number, and is not in the result's
/// `endpoints`. The same input, `numbering` included, gives the same value.
///
/// # Errors
/// The policy needs more than `limits`; `numbering` is then left as it was.
pub fn compile(
    policy: &Policy,
    inventory: &Inventory,
    numbering: &mut Numbering,
    limits: &Limits,
) -> Result<Compiled, LimitErrors> {
    compile_again(policy, None, inventory, numbering, limits)
}

/// The same, where a policy was compiled before, this one or another, for whatever was on this host then:
/// long lists that are the same are not gone through again.
///
/// # Errors
/// As for [`compile`].
pub fn compile_again(
    policy: &Policy,
    before: Option<(&Policy, &Compiled)>,
    inventory: &Inventory,
    numbering: &mut Numbering,
    limits: &Limits,
) -> Result<Compiled, LimitErrors> {
    let kinds = Kinds::of(policy);
    let sets = endpoint_sets(policy, &kinds, inventory);
    let distinct: BTreeSet<&EndpointSet> = sets.values().collect();
    let world = Unnumbered::new(policy, before);
    let needs = Needs {
        rules: policy.rules.len(),
        identities: distinct.len(),
        ..Needs::of_networks(world.prefixes())
    }
    .with_inventory(inventory);
    needs.check(limits)?;

    let mut renumbered = numbering.clone();
    renumbered.advance();
    let rules = number_rules(policy, &mut renumbered, limits)?;
    let by_set = number_endpoints(policy, &distinct, &mut renumbered)?;
    let numbers = number_regions(policy, world.regions(), &mut renumbered)?;
    let world = world.numbered(numbers);

    let actors = Actors {
        policy,
        rules: &rules,
        endpoints: by_set
            .iter()
            .map(|(&set, &number)| (number, set.clone()))
            .collect(),
        world: world
            .numbers
            .iter()
            .zip(&*world.regions)
            .map(|(&number, region)| (number, region.networks.clone()))
            .collect(),
    };
    let lists = lists::build(&actors, limits)?;
    let denials = denials::find(&actors);
    let compiled = Compiled {
        subjects: Arc::new(lists.subjects),
        pairs: Arc::new(lists.pairs),
        denials,
        endpoints: sets
            .iter()
            .map(|(&endpoint, set)| (endpoint, by_set[set]))
            .collect(),
        kinds: Arc::new(kinds.numbered(numbers_of(&by_set))),
        identities: Arc::new(describe_identities(
            policy,
            &actors.endpoints,
            &world.numbers,
            &world.regions,
        )),
        rules: Arc::new(describe_rules(policy, &rules)),
        networks: Arc::clone(&world.networks),
        world,
    };
    Needs::of(&compiled, inventory).check(limits)?;
    *numbering = renumbered;
    Ok(compiled)
}

fn endpoint_sets(
    policy: &Policy,
    kinds: &Kinds,
    inventory: &Inventory,
) -> BTreeMap<EndpointNumber, EndpointSet> {
    let owned = inventory.endpoints.iter();
    owned
        .filter_map(|(&number, endpoint)| Some((number, endpoint.owner.as_ref()?)))
        .map(|(number, owner)| (number, kinds.set_of(policy, &owner.attributes)))
        .collect()
}

fn numbers_of(
    by_set: &BTreeMap<&EndpointSet, IdentityNumber>,
) -> BTreeMap<EndpointSet, IdentityNumber> {
    let numbers = by_set.iter();
    numbers
        .map(|(&set, &number)| (set.clone(), number))
        .collect()
}

/// By the rules' index.
fn number_rules(
    policy: &Policy,
    numbering: &mut Numbering,
    limits: &Limits,
) -> Result<Vec<RuleNumber>, LimitErrors> {
    let keys = RuleKey::all(policy);
    let last = u32::try_from(limits.rules).unwrap_or(u32::MAX);
    let numbers = numbering
        .of_rules(keys.iter().cloned().collect(), 1..=last)
        .map_err(|Exhausted(need)| refused(Resource::Rules, need, limits.rules))?;
    Ok(keys.iter().map(|key| RuleNumber(numbers[key])).collect())
}

fn number_endpoints<'a>(
    policy: &Policy,
    sets: &BTreeSet<&'a EndpointSet>,
    numbering: &mut Numbering,
) -> Result<BTreeMap<&'a EndpointSet, IdentityNumber>, LimitErrors> {
    let key = |set: &EndpointSet| EndpointKey::new(policy, set);
    let range = IdentityNumber::FIRST_ENDPOINT.0..=IdentityNumber::LAST_ENDPOINT.0;
    let numbers = numbering
        .of_endpoints(sets.iter().map(|set| key(set)).collect(), range)
        .map_err(|Exhausted(need)| refused(Resource::Identities, need, Limits::MOST_IDENTITIES))?;
    Ok(sets
        .iter()
        .map(|&set| (set, IdentityNumber(numbers[&key(set)])))
        .collect())
}

/// By the regions' index. The region in no network has a number of its own, always the same.
fn number_regions(
    policy: &Policy,
    regions: &[Region],
    numbering: &mut Numbering,
) -> Result<Vec<IdentityNumber>, LimitErrors> {
    let keys: Vec<_> = regions
        .iter()
        .map(|region| WorldKey::new(policy, region))
        .collect();
    let named = keys.iter().filter(|key| !key.is_empty()).cloned();
    let numbers = numbering
        .of_worlds(named.collect(), 1..=IdentityNumber::LAST_WORLD)
        .map_err(|Exhausted(need)| {
            refused(
                Resource::Networks6,
                need,
                IdentityNumber::LAST_WORLD as usize,
            )
        })?;
    let number = |(region, key): (&Region, &WorldKey)| {
        let n = numbers.get(key).copied().unwrap_or(0);
        if region.lan {
            IdentityNumber::lan(n)
        } else {
            IdentityNumber::internet(n)
        }
    };
    Ok(regions.iter().zip(&keys).map(number).collect())
}

fn refused(resource: Resource, need: usize, limit: usize) -> LimitErrors {
    LimitErrors::one(resource, Need::Exactly(need), limit)
}

fn describe_identities(
    policy: &Policy,
    sets: &BTreeMap<IdentityNumber, EndpointSet>,
    numbers: &[IdentityNumber],
    regions: &[Region],
) -> BTreeMap<IdentityNumber, IdentityInfo> {
    let host = IdentityInfo {
        name: "host".to_owned(),
        ..IdentityInfo::default()
    };
    let endpoints = sets.iter().map(|(&number, set)| {
        let info = IdentityInfo {
            name: names::endpoint_set(policy, set),
            identities: set.identities.clone(),
            project: set.project.clone(),
            networks: Vec::new(),
        };
        (number, info)
    });
    let world = numbers.iter().zip(regions).map(|(&number, region)| {
        let info = IdentityInfo {
            name: names::region(policy, region),
            networks: region.networks.clone(),
            ..IdentityInfo::default()
        };
        (number, info)
    });
    endpoints
        .chain(world)
        .chain([(IdentityNumber::HOST, host)])
        .collect()
}

fn describe_rules(policy: &Policy, numbers: &[RuleNumber]) -> BTreeMap<RuleNumber, RuleInfo> {
    let rules = policy.rules.iter().enumerate();
    rules
        .map(|(index, rule)| {
            let info = RuleInfo {
                index,
                action: rule.action,
                name: names::rule(policy, rule),
                location: rule.location.clone(),
            };
            (numbers[index], info)
        })
        .collect()
}

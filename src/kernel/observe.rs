//! Reading back what the kernel holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::abi;
use super::encode;
use super::error::Result;
use super::maps::{Maps, for_each};
use crate::state::actual::{Active, Actual, Capacity, ListPlace, Mechanism, SlotImage};
use crate::state::numbers::{EndpointNumber, IdentityNumber, Slot};

/// Everything but what is attached.
pub(super) fn read(maps: &Maps, active: Active, mechanism: Mechanism) -> Result<Actual> {
    let capacity: Capacity = maps.capacity();
    let mut actual = Actual::empty(capacity, mechanism);
    actual.active = active;
    read_slots(maps, &mut actual.slots)?;
    read_lists(maps, &mut actual)?;
    for_each(&maps.endpoints, |number: u32, raw: abi::endpoint| {
        if let Some(endpoint) = encode::endpoint_back(&raw) {
            actual.endpoints.insert(EndpointNumber(number), endpoint);
        }
    })?;
    for_each(
        &maps.management,
        |key: abi::management_key, _: abi::management| {
            actual.management.extend(encode::management_key_back(&key));
        },
    )?;
    for_each(
        &maps.addresses,
        |key: abi::local_address_key, owner: abi::local_address| {
            actual
                .addresses
                .insert(encode::address_key_back(&key), encode::owner_back(owner));
        },
    )?;
    for_each(
        &maps.published,
        |key: abi::published_key, target: abi::published| {
            actual.published.insert(
                encode::published_key_back(&key),
                encode::published_back(target),
            );
        },
    )?;
    Ok(actual)
}

fn read_slots(maps: &Maps, slots: &mut [SlotImage; 2]) -> Result<()> {
    let mut strangers = 0_usize;
    for_each(
        &maps.policy,
        |key: abi::policy_key, list: abi::step_list| match encode::policy_key_back(&key) {
            Some((slot, key)) => {
                slots[slot.index()].pairs.insert(key, encode::place(list));
            }
            None => strangers += 1,
        },
    )?;
    for_each(
        &maps.identities,
        |index: u32, record: abi::identity_record| {
            let subject = encode::identity_index_back(index);
            let places = encode::identity_record_back(&record);
            if let (Some((slot, number)), Some(places)) = (subject, places) {
                slots[slot.index()].subjects.insert(number, places);
            }
        },
    )?;
    let mut networks: [BTreeMap<IpNet, IdentityNumber>; 2] = Default::default();
    let mut enter = |prefix: Option<(Slot, IpNet)>, network: abi::network| match prefix {
        Some((slot, prefix)) => {
            networks[slot.index()].insert(prefix, IdentityNumber(network.identity));
        }
        None => strangers += 1,
    };
    for_each(&maps.networks4, |key: abi::network4_key, network| {
        enter(encode::network4_back(&key), network);
    })?;
    for_each(&maps.networks6, |key: abi::network6_key, network| {
        enter(encode::network6_back(&key), network);
    })?;
    for (slot, networks) in slots.iter_mut().zip(networks) {
        slot.networks = Arc::new(networks);
    }
    if strangers > 0 {
        log::warn!("{strangers} entries in the policy maps are not bridgewall's: left alone");
    }
    Ok(())
}

/// Reads the lists that the slots refer to.
fn read_lists(maps: &Maps, actual: &mut Actual) -> Result<()> {
    let end = actual
        .slots
        .iter()
        .flat_map(SlotImage::places)
        .map(ListPlace::end)
        .max()
        .unwrap_or(0);
    if end == 0 {
        return Ok(());
    }
    let mut steps = vec![abi::policy_step::default(); actual.capacity.steps as usize];
    for_each(&maps.steps, |index: u32, step: abi::policy_step| {
        if let Some(known) = steps.get_mut(index as usize) {
            *known = step;
        }
    })?;
    let places: Vec<ListPlace> = actual.slots.iter().flat_map(SlotImage::places).collect();
    for place in places {
        if actual.lists.contains_key(&place) {
            continue;
        }
        let list = usize::try_from(place.end())
            .ok()
            .and_then(|end| steps.get(place.first as usize..end))
            .and_then(encode::list_back);
        if let Some(list) = list {
            actual.remember_list(place, list);
        }
    }
    Ok(())
}

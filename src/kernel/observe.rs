//! Reading back what the kernel holds.

use std::sync::Arc;

use libbpf_rs::{MapCore as _, MapFlags};

use super::abi;
use super::bytes::{bytes_of, from_bytes};
use super::encode;
use super::error::Result;
use super::maps::{Maps, for_each};
use crate::state::actual::{Active, Actual, Capacity, ListPlace, Mechanism, SlotImage};
use crate::state::networks::{Node, Placed, ROOTS};
use crate::state::numbers::EndpointNumber;

/// Everything but what is attached. The networks' table may grow to so many blocks.
pub(super) fn read(
    maps: &Maps,
    most_network_nodes: u32,
    active: Active,
    mechanism: Mechanism,
) -> Result<Actual> {
    let capacity: Capacity = maps.capacity(most_network_nodes);
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
    for_each(&maps.denials, |index: u32, denial: abi::denial| {
        if let Some(denial) = encode::denial_back(denial) {
            let (slot, number) = encode::denial_index_back(index);
            slots[slot.index()].denials.insert(number, denial);
        }
    })?;
    read_networks(maps, slots)?;
    if strangers > 0 {
        log::warn!("{strangers} entries in the policy maps are not bridgewall's: left alone");
    }
    Ok(())
}

/// Reads the roots, and the trees that they refer to.
fn read_networks(maps: &Maps, slots: &mut [SlotImage; 2]) -> Result<()> {
    let mut references = [vec![0; ROOTS as usize], vec![0; ROOTS as usize]];
    for_each(
        &maps.network_roots,
        |index: u32, row: abi::network_roots| {
            let (slot, first) = encode::row_index_back(index);
            let roots = references[slot.index()].iter_mut().skip(first as usize);
            for (known, reference) in roots.zip(row.reference) {
                *known = reference;
            }
        },
    )?;
    // One by one: the map may have room for many times as many as there are. What cannot be read is no tree
    // that anybody wants, and so is written anew.
    let node = |index: u32| {
        let found = maps.network_nodes.lookup(bytes_of(&index), MapFlags::ANY);
        let node: abi::network_node = from_bytes(&found.ok()??)?;
        Some(Node(node.word))
    };
    for (slot, references) in slots.iter_mut().zip(references) {
        slot.networks = Arc::new(Placed::read(&references, &node));
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

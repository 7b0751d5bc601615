//! Doing what a plan says, in the maps.

use std::sync::Arc;

use libbpf_rs::MapCore as _;

use super::abi;
use super::encode;
use super::error::Result;
use super::maps::{Maps, remove, set};
use crate::state::actual::{KernelEndpoint, ListPlace, SubjectPlaces};
use crate::state::denial::Denial;
use crate::state::desired::{
    AddressKey, AddressOwner, ManagementKey, PublishedKey, PublishedTarget,
};
use crate::state::networks::{Change, Tree};
use crate::state::numbers::{EndpointNumber, IdentityNumber, PairKey, Slot};
use crate::state::steps::StepList;

/// Trees that are made ready to be written at once.
const TREES: usize = 16_384;

impl Maps {
    pub(super) fn remove_addresses(&self, keys: &[AddressKey]) -> Result<()> {
        let keys: Vec<_> = keys.iter().map(encode::address_key).collect();
        remove(&self.addresses, &keys)
    }

    pub(super) fn set_addresses(&self, entries: &[(AddressKey, AddressOwner)]) -> Result<()> {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, owner)| (encode::address_key(key), encode::owner(*owner)))
            .collect();
        set(&self.addresses, &entries)
    }

    pub(super) fn remove_published(&self, keys: &[PublishedKey]) -> Result<()> {
        let keys: Vec<_> = keys.iter().map(encode::published_key).collect();
        remove(&self.published, &keys)
    }

    pub(super) fn set_published(&self, entries: &[(PublishedKey, PublishedTarget)]) -> Result<()> {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, target)| (encode::published_key(key), encode::published(*target)))
            .collect();
        set(&self.published, &entries)
    }

    pub(super) fn set_management(&self, keys: &[ManagementKey]) -> Result<()> {
        let allowed = abi::management { allowed: 1 };
        let entries: Vec<_> = keys
            .iter()
            .map(|key| (encode::management_key(key), allowed))
            .collect();
        set(&self.management, &entries)
    }

    pub(super) fn remove_management(&self, keys: &[ManagementKey]) -> Result<()> {
        let keys: Vec<_> = keys.iter().map(encode::management_key).collect();
        remove(&self.management, &keys)
    }

    pub(super) fn set_endpoints(&self, entries: &[(EndpointNumber, KernelEndpoint)]) -> Result<()> {
        let entries: Vec<_> = entries
            .iter()
            .map(|(number, endpoint)| (number.0, encode::endpoint(endpoint)))
            .collect();
        set(&self.endpoints, &entries)
    }

    pub(super) fn clear_endpoints(&self, numbers: &[EndpointNumber]) -> Result<()> {
        let entries: Vec<_> = numbers
            .iter()
            .map(|number| (number.0, abi::endpoint::default()))
            .collect();
        set(&self.endpoints, &entries)
    }

    pub(super) fn write_lists(&self, lists: &[(ListPlace, Arc<StepList>)]) -> Result<()> {
        let entries: Vec<_> = lists
            .iter()
            .flat_map(|(place, list)| (place.first..).zip(list.steps().iter().map(encode::step)))
            .collect();
        set(&self.steps, &entries)
    }

    pub(super) fn remove_pairs(&self, slot: Slot, keys: &[PairKey]) -> Result<()> {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| encode::policy_key(slot, key))
            .collect();
        remove(&self.policy, &keys)
    }

    pub(super) fn set_pairs(&self, slot: Slot, entries: &[(PairKey, ListPlace)]) -> Result<()> {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, place)| (encode::policy_key(slot, key), encode::list(*place)))
            .collect();
        set(&self.policy, &entries)
    }

    pub(super) fn set_subjects(
        &self,
        slot: Slot,
        entries: &[(IdentityNumber, Option<SubjectPlaces>)],
    ) -> Result<()> {
        let entries: Vec<_> = entries
            .iter()
            .map(|(number, places)| {
                (
                    encode::identity_index(slot, *number),
                    encode::identity_record(places.as_ref()),
                )
            })
            .collect();
        set(&self.identities, &entries)
    }

    /// Writes trees, each from its first block on.
    pub(super) fn write_trees(&self, trees: &[(u32, Tree)]) -> Result<()> {
        // In pieces, for they may be many times as large as everything else.
        for trees in trees.chunks(TREES) {
            let entries: Vec<_> = trees
                .iter()
                .flat_map(|(first, tree)| (*first..).zip(tree.nodes()))
                .map(|(index, node)| (index, abi::network_node { word: node.0 }))
                .collect();
            set(&self.network_nodes, &entries)?;
        }
        Ok(())
    }

    /// Trees first: a root leads to nothing that is not there.
    pub(super) fn change_networks(&self, slot: Slot, change: &Change) -> Result<()> {
        self.write_trees(&change.trees)?;
        let rows: Vec<_> = change
            .rows
            .iter()
            .map(|(row, references)| {
                let reference = *references;
                let index = encode::row_index(slot, *row);
                (index, abi::network_roots { reference })
            })
            .collect();
        set(&self.network_roots, &rows)
    }

    /// Numbers for which there is no room are left out: whoever knows the receiver judges them.
    pub(super) fn set_denials(
        &self,
        slot: Slot,
        entries: &[(IdentityNumber, Option<Denial>)],
    ) -> Result<()> {
        let room = self.denials.max_entries();
        let entries: Vec<_> = entries
            .iter()
            .filter_map(|(number, denial)| {
                let index = encode::denial_index(slot, *number, room)?;
                Some((index, encode::denial(*denial)))
            })
            .collect();
        set(&self.denials, &entries)
    }
}

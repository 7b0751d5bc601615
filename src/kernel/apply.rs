//! Doing what a plan says, in the maps.

use std::sync::Arc;

use super::abi;
use super::encode::{self, NetworkKey};
use super::error::Result;
use super::maps::{Maps, remove, set};
use crate::state::actual::{KernelEndpoint, ListPlace, SubjectPlaces};
use crate::state::desired::{
    AddressKey, AddressOwner, ManagementKey, PublishedKey, PublishedTarget,
};
use crate::state::numbers::{EndpointNumber, IdentityNumber, PairKey, Slot};
use crate::state::plan::NetworkChange;
use crate::state::steps::StepList;

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

    pub(super) fn change_networks(&self, slot: Slot, change: &NetworkChange) -> Result<()> {
        let mut gone4 = Vec::new();
        let mut gone6 = Vec::new();
        for prefix in &change.remove {
            match encode::network_key(slot, prefix) {
                NetworkKey::V4(key) => gone4.push(key),
                NetworkKey::V6(key) => gone6.push(key),
            }
        }
        remove(&self.networks4, &gone4)?;
        remove(&self.networks6, &gone6)?;
        let mut set4 = Vec::new();
        let mut set6 = Vec::new();
        for (prefix, number) in &change.set {
            let network = abi::network { identity: number.0 };
            match encode::network_key(slot, prefix) {
                NetworkKey::V4(key) => set4.push((key, network)),
                NetworkKey::V6(key) => set6.push((key, network)),
            }
        }
        set(&self.networks4, &set4)?;
        set(&self.networks6, &set6)
    }
}

//! The maps of the packet path, and what the operations of a plan mean in them.

use std::collections::HashMap;

use bridgewall::kernel::abi;
use bridgewall::state::actual::ListPlace;
use bridgewall::state::desired::{AddressKey, AddressOwner, PublishedKey};
use bridgewall::state::numbers::{EndpointNumber, PairKey, Slot};
use bridgewall::state::plan::Operation;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, Object};

use crate::contract::{address, bytes_of, from_bytes};

/// By name.
pub struct Maps(HashMap<String, MapHandle>);

impl Maps {
    pub fn of(object: &Object) -> Self {
        let open = |map: libbpf_rs::Map<'_>| {
            let name = map.name().to_string_lossy().into_owned();
            (name, MapHandle::try_from(&map).expect("open a map"))
        };
        Self(object.maps().map(open).collect())
    }

    pub fn get(&self, name: &str) -> &MapHandle {
        &self.0[name]
    }

    /// What templates share with the bodies: all but constants.
    pub fn shared(&self, name: &str) -> Option<&MapHandle> {
        self.0.get(name).filter(|_| !name.contains("rodata"))
    }

    pub fn set<K: Copy, V: Copy>(&self, map: &str, key: &K, value: &V) {
        self.0[map]
            .update(bytes_of(key), bytes_of(value), MapFlags::ANY)
            .unwrap_or_else(|error| panic!("write to {map}: {error}"));
    }

    pub fn remove<K: Copy>(&self, map: &str, key: &K) {
        self.0[map]
            .delete(bytes_of(key))
            .unwrap_or_else(|error| panic!("remove from {map}: {error}"));
    }

    pub fn clear(&self, map: &str) {
        let map = self.get(map);
        let keys: Vec<_> = map.keys().collect();
        for key in keys {
            map.delete(&key).expect("empty a map");
        }
    }

    /// Changes every entry of a table.
    pub fn change<V: Copy>(&self, map: &str, change: impl Fn(&mut V)) {
        let map = self.get(map);
        let keys: Vec<_> = map.keys().collect();
        for key in keys {
            let Some(bytes) = map.lookup(&key, MapFlags::ANY).expect("read an entry") else {
                continue;
            };
            let mut value: V = from_bytes(&bytes);
            change(&mut value);
            map.update(&key, bytes_of(&value), MapFlags::ANY)
                .expect("write an entry");
        }
    }

    /// The packets that a counter has counted, on all CPUs.
    pub fn packets(&self, map: &str, index: u32) -> u64 {
        let values = self.0[map]
            .lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY)
            .expect("read a counter")
            .expect("an array has all its entries");
        let count = |value: &Vec<u8>| from_bytes::<abi::counter>(value).packets;
        values.iter().map(count).sum()
    }

    /// Does one operation of a plan, but for those on interfaces.
    pub fn apply(&self, operation: &Operation) {
        match operation {
            Operation::RemoveAddresses(keys) => {
                keys.iter()
                    .for_each(|key| self.remove("addresses", &local(key)));
            }
            Operation::SetAddresses(entries) => {
                for (key, owner) in entries {
                    let endpoint = match owner {
                        AddressOwner::Host => 0,
                        AddressOwner::Endpoint(number) => number.0,
                    };
                    self.set("addresses", &local(key), &abi::local_address { endpoint });
                }
            }
            Operation::RemovePublished(keys) => {
                keys.iter()
                    .for_each(|key| self.remove("published", &port(key)));
            }
            Operation::SetPublished(entries) => {
                for (key, target) in entries {
                    let value = abi::published {
                        endpoint: target.endpoint.0,
                        port: target.port.to_be(),
                        _pad: 0,
                    };
                    self.set("published", &port(key), &value);
                }
            }
            Operation::SetEndpoints(entries) => {
                for (number, endpoint) in entries {
                    let record = abi::endpoint {
                        identity: endpoint.identity.map(|identity| identity.0),
                        // Where a bridge tells where it is, this only says that it is there.
                        ifindex: match endpoint.record.bridge {
                            Some(_) => LOOPBACK,
                            None => endpoint.record.ifindex,
                        },
                        bridge: endpoint.record.bridge.unwrap_or(0),
                    };
                    self.set("endpoints", &number.0, &record);
                }
            }
            Operation::ClearEndpoints(numbers) => {
                for &EndpointNumber(number) in numbers {
                    self.set("endpoints", &number, &abi::endpoint::default());
                }
            }
            Operation::WriteLists(lists) => {
                for (place, list) in lists {
                    for (index, step) in (place.first..).zip(list.steps()) {
                        let step = abi::policy_step {
                            from: step.from.raw(),
                            rule: step.rule.0,
                            verdict: step.verdict as u8,
                            flags: u8::from(step.log),
                            _pad: 0,
                        };
                        self.set("steps", &index, &step);
                    }
                }
            }
            Operation::RemovePairs(slot, keys) => {
                keys.iter()
                    .for_each(|key| self.remove("policy", &pair(*slot, key)));
            }
            Operation::SetPairs(slot, entries) => {
                for (key, at) in entries {
                    self.set("policy", &pair(*slot, key), &place(*at));
                }
            }
            Operation::SetSubjects(slot, entries) => {
                for (subject, places) in entries {
                    let slots = abi::limit::LOCAL_IDENTITY_MAX.0 + 1;
                    let index = slot.index() as u32 * slots + subject.0;
                    let record =
                        places.map_or_else(Default::default, |places| abi::identity_record {
                            generic: places.map(|kinds| kinds.map(place)),
                        });
                    self.set("identities", &index, &record);
                }
            }
            Operation::ChangeNetworks(slot, change) => {
                for (first, tree) in &change.trees {
                    for (index, node) in (*first..).zip(tree.nodes()) {
                        let node = abi::network_node { word: node.0 };
                        self.set("network_nodes", &index, &node);
                    }
                }
                for (row, references) in &change.rows {
                    let index = row << 1 | slot.index() as u32;
                    let reference = *references;
                    self.set("network_roots", &index, &abi::network_roots { reference });
                }
            }
            Operation::SetDenials(slot, entries) => {
                for (number, denial) in entries {
                    let lan = number.0 >> 30 & 1;
                    let index = number.0 << 2 | lan << 1 | slot.index() as u32;
                    let value = denial.map_or_else(abi::denial::default, |denial| abi::denial {
                        rule: denial.rule.0,
                        flags: u32::from(denial.both_ways),
                    });
                    self.set("denials", &index, &value);
                }
            }
            Operation::Publish { generation, slot } => {
                self.set("active", &0_u32, &(generation << 1 | slot.index() as u64));
            }
            Operation::GrowNetworks(blocks) => {
                panic!("no generated policy needs {blocks} blocks of networks")
            }
            // No packet is on its way between two runs; programs are not in these maps.
            // The model knows no uplinks, and nobody who manages the host through them.
            Operation::AwaitReaders
            | Operation::Attach(..)
            | Operation::Detach(_)
            | Operation::AttachXdp(..)
            | Operation::DetachXdp(_)
            | Operation::SetManagement(_)
            | Operation::RemoveManagement(_) => {}
        }
    }
}

/// An interface that is always there.
const LOOPBACK: u32 = 1;

fn port(key: &PublishedKey) -> abi::published_key {
    abi::published_key {
        address: address(key.address),
        port: key.port.to_be(),
        protocol: key.protocol,
        _pad: 0,
    }
}

fn local(key: &AddressKey) -> abi::local_address_key {
    abi::local_address_key {
        address: address(key.address),
        zone: key.zone,
    }
}

fn place(place: ListPlace) -> abi::step_list {
    abi::step_list {
        first: place.first,
        count: place.count,
    }
}

fn pair(slot: Slot, key: &PairKey) -> abi::policy_key {
    abi::policy_key {
        slot: slot.index() as u8,
        side: key.side as u8,
        subject: key.subject.0 as u16,
        peer: key.peer.0,
    }
}

//! A machine as dumb as the kernel's maps, for tests: it does what a plan says, and fails when that
//! would be unsafe in a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::actual::{
    Active, Actual, ActualAttachment, ActualXdp, Capacity, KernelEndpoint, ListPlace, Mechanism,
    SlotImage,
};
use super::desired::{
    AddressKey, AddressOwner, Attachment, LiveInventory, ManagementKey, PolicyImage, PublishedKey,
    PublishedTarget, TemplateConstants, XdpAttachment, XdpMode,
};
use super::networks::{Change, Node, Placed, ROOTS, ROOTS_IN_ROW};
use super::numbers::{EndpointNumber, IdentityNumber, Slot};
use super::plan::Operation;
use super::steps::{Step, StepList};
use crate::compile::compiled::Subject;
use crate::policy::traffic::Selector;

/// Small enough that lists of two policies sometimes do not fit beside each other.
pub(super) const CAPACITY: Capacity = Capacity {
    steps: 20,
    pairs: 24,
    network_nodes: 8,
    most_network_nodes: 24,
    addresses: 16,
    published: 8,
    endpoints: 8,
    rules: 8,
    management: 8,
};

/// The kernel's maps, without any knowledge of what belongs together.
pub(super) struct Machine {
    active: Active,
    readers_of_standby: bool,
    steps: Vec<Option<Step>>,
    nodes: Vec<Node>,
    references: [Vec<u32>; 2],
    slots: [SlotImage; 2],
    endpoints: BTreeMap<EndpointNumber, KernelEndpoint>,
    addresses: BTreeMap<AddressKey, AddressOwner>,
    published: BTreeMap<PublishedKey, PublishedTarget>,
    management: BTreeSet<ManagementKey>,
    xdp: BTreeMap<u32, XdpMode>,
    ours: BTreeMap<u32, TemplateConstants>,
    pub(super) foreign: BTreeSet<u32>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            active: Active::from_raw(0),
            readers_of_standby: true,
            steps: vec![None; CAPACITY.steps as usize],
            nodes: vec![Node::default(); CAPACITY.network_nodes as usize],
            references: [vec![0; ROOTS as usize], vec![0; ROOTS as usize]],
            slots: [SlotImage::default(), SlotImage::default()],
            endpoints: BTreeMap::new(),
            addresses: BTreeMap::new(),
            published: BTreeMap::new(),
            management: BTreeSet::new(),
            xdp: BTreeMap::new(),
            ours: BTreeMap::new(),
            foreign: BTreeSet::from([101, 999]),
        }
    }

    fn list(&self, place: ListPlace) -> Option<Arc<StepList>> {
        let steps: Option<Vec<Step>> = self
            .steps
            .get(place.first as usize..place.end() as usize)?
            .iter()
            .copied()
            .collect();
        let steps = steps.filter(|steps| {
            steps
                .first()
                .is_some_and(|step| step.from == Selector::FIRST)
                && steps.windows(2).all(|pair| pair[0].from < pair[1].from)
        })?;
        Some(Arc::new(StepList::new(steps)))
    }

    /// A slot that may be written: not the one that judges, nor one that may still be read.
    fn writable(&mut self, slot: Slot) -> &mut SlotImage {
        assert_ne!(slot, self.active.slot, "the judging slot is written");
        assert!(!self.readers_of_standby, "written while it may be read");
        &mut self.slots[slot.index()]
    }

    pub(super) fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::RemoveAddresses(keys) => {
                for key in keys {
                    assert!(self.addresses.remove(key).is_some(), "{key:?} is not there");
                }
            }
            Operation::SetEndpoints(entries) => {
                for (number, endpoint) in entries {
                    assert!(number.0 < CAPACITY.endpoints);
                    let judging = self.active.slot.index();
                    if let Some(before) = self.endpoints.get(number)
                        && before.record.ifindex == endpoint.record.ifindex
                        && before.identity[judging] != IdentityNumber::NONE
                    {
                        assert_eq!(
                            before.identity[judging], endpoint.identity[judging],
                            "an endpoint changes its identity in the judging slot"
                        );
                    }
                    self.endpoints.insert(*number, *endpoint);
                }
            }
            Operation::SetAddresses(entries) => {
                for (key, owner) in entries {
                    if let AddressOwner::Endpoint(number) = owner {
                        assert!(
                            self.endpoints.contains_key(number),
                            "no record for {number:?}"
                        );
                    }
                    self.addresses.insert(*key, *owner);
                }
                assert!(self.addresses.len() <= CAPACITY.addresses as usize);
            }
            Operation::RemovePublished(keys) => {
                for key in keys {
                    assert!(self.published.remove(key).is_some(), "{key:?} is not there");
                }
            }
            Operation::SetPublished(entries) => {
                for (key, target) in entries {
                    assert!(self.endpoints.contains_key(&target.endpoint), "{target:?}");
                    self.published.insert(*key, *target);
                }
                assert!(self.published.len() <= CAPACITY.published as usize);
            }
            Operation::SetManagement(keys) => {
                self.management.extend(keys.iter().copied());
                assert!(self.management.len() <= CAPACITY.management as usize);
            }
            Operation::RemoveManagement(keys) => {
                for key in keys {
                    assert!(self.management.remove(key), "{key:?} is not there");
                }
            }
            Operation::AttachXdp(ifindex, wanted) => {
                assert!(self.active.generation > 0, "nothing judges yet");
                self.xdp.insert(*ifindex, wanted.mode);
            }
            Operation::GrowNetworks(nodes) => {
                assert!(*nodes as usize > self.nodes.len(), "it grows");
                assert!(*nodes <= CAPACITY.most_network_nodes, "as far as it may");
                self.nodes.resize(*nodes as usize, Node::default());
            }
            Operation::DetachXdp(ifindex) => {
                assert!(self.xdp.remove(ifindex).is_some(), "{ifindex} has none");
            }
            Operation::AwaitReaders => self.readers_of_standby = false,
            Operation::WriteLists(lists) => {
                assert!(!self.readers_of_standby, "written while it may be read");
                for (place, list) in lists {
                    let judging = &self.slots[self.active.slot.index()];
                    assert!(
                        !judging.places().any(|known| known.overlaps(*place)),
                        "a list that judges is written over"
                    );
                    assert_eq!(place.count as usize, list.steps().len());
                    for (offset, step) in list.steps().iter().enumerate() {
                        self.steps[place.first as usize + offset] = Some(*step);
                    }
                }
            }
            Operation::RemovePairs(slot, keys) => {
                for key in keys {
                    assert!(self.writable(*slot).pairs.remove(key).is_some());
                }
            }
            Operation::SetPairs(slot, entries) => {
                self.writable(*slot).pairs.extend(entries.iter().copied());
                let both: usize = self.slots.iter().map(|slot| slot.pairs.len()).sum();
                assert!(both <= CAPACITY.pairs as usize);
            }
            Operation::SetSubjects(slot, entries) => {
                for (number, places) in entries {
                    match places {
                        Some(places) => self.writable(*slot).subjects.insert(*number, *places),
                        None => self.writable(*slot).subjects.remove(number),
                    };
                }
            }
            Operation::ChangeNetworks(slot, change) => {
                self.change_networks(*slot, change);
            }
            Operation::SetDenials(slot, entries) => {
                for (number, denial) in entries {
                    let denials = &mut self.writable(*slot).denials;
                    let known = match denial {
                        Some(denial) => denials.insert(*number, *denial),
                        None => denials.remove(number),
                    };
                    assert_ne!(known, *denial, "nothing changes");
                }
            }
            Operation::Publish { generation, slot } => {
                assert_eq!(*generation, self.active.generation + 1);
                if *slot != self.active.slot {
                    self.readers_of_standby = true;
                }
                self.active = Active {
                    generation: *generation,
                    slot: *slot,
                };
                for place in self.slots[slot.index()].places() {
                    assert!(self.list(place).is_some(), "{place:?} holds no list");
                }
            }
            Operation::Attach(ifindex, attachment) => {
                let number = attachment.constants.number;
                assert!(
                    self.endpoints.contains_key(&number),
                    "attached without record"
                );
                self.ours.insert(*ifindex, attachment.constants.clone());
            }
            Operation::Detach(ifindex) => {
                assert!(self.ours.remove(ifindex).is_some());
            }
            Operation::ClearEndpoints(numbers) => {
                for number in numbers {
                    let owner = AddressOwner::Endpoint(*number);
                    assert!(!self.addresses.values().any(|known| *known == owner));
                    assert!(!self.published.values().any(|t| t.endpoint == *number));
                    assert!(!self.ours.values().any(|known| known.number == *number));
                    self.endpoints.remove(number);
                }
            }
        }
    }

    fn change_networks(&mut self, slot: Slot, change: &Change) {
        let judging: Vec<_> = self.slots[self.active.slot.index()]
            .networks
            .extents()
            .collect();
        self.writable(slot);
        for (first, tree) in &change.trees {
            let end = first + tree.nodes().len() as u32;
            assert!(
                judging
                    .iter()
                    .all(|&(begin, count)| end <= begin || begin + count <= *first),
                "a tree that judges is written over"
            );
            self.nodes[*first as usize..end as usize].copy_from_slice(tree.nodes());
        }
        let references = &mut self.references[slot.index()];
        for (row, after) in &change.rows {
            let start = (row * ROOTS_IN_ROW) as usize;
            let end = references.len().min(start + after.len());
            references[start..end].copy_from_slice(&after[..end - start]);
        }
        // What the kernel would find there.
        let node = |index: u32| self.nodes.get(index as usize).copied();
        let read = Placed::read(&self.references[slot.index()], &node);
        self.slots[slot.index()].networks = Arc::new(read);
        assert_eq!(*self.slots[slot.index()].networks, change.result);
    }

    pub(super) fn observe(&self) -> Actual {
        let capacity = Capacity {
            network_nodes: self.nodes.len() as u32,
            ..CAPACITY
        };
        let mut actual = Actual::empty(capacity, Mechanism::Tcx);
        actual.active = self.active;
        actual.slots = self.slots.clone();
        for place in self.slots.iter().flat_map(SlotImage::places) {
            if let Some(list) = self.list(place) {
                actual.remember_list(place, list);
            }
        }
        actual.endpoints = self.endpoints.clone();
        actual.addresses = self.addresses.clone();
        actual.published = self.published.clone();
        actual.management = self.management.clone();
        actual.xdp = self
            .xdp
            .iter()
            .map(|(&ifindex, &mode)| {
                let attached = ActualXdp {
                    program: 0,
                    generic: mode == XdpMode::Generic,
                    sound: true,
                };
                (ifindex, attached)
            })
            .collect();
        actual.attachments = self
            .ours
            .iter()
            .map(|(&ifindex, constants)| {
                let attachment = ActualAttachment {
                    constants: Some(constants.clone()),
                    mechanism: Mechanism::Tcx,
                    sound: true,
                };
                (ifindex, attachment)
            })
            .collect();
        actual
    }

    /// What really judges, with lists instead of places.
    pub(super) fn judging_policy(&self) -> PolicyImage {
        let slot = &self.slots[self.active.slot.index()];
        let list = |place: &ListPlace| self.list(*place).expect("a published list");
        PolicyImage {
            subjects: Arc::new(
                slot.subjects
                    .iter()
                    .map(|(&number, places)| {
                        let generic = places.each_ref().map(|kinds| kinds.each_ref().map(list));
                        (number, Subject { generic })
                    })
                    .collect(),
            ),
            pairs: Arc::new(
                slot.pairs
                    .iter()
                    .map(|(&key, place)| (key, list(place)))
                    .collect(),
            ),
            networks: Arc::new(slot.networks.wanted()),
            denials: slot.denials.clone(),
            endpoints: self
                .endpoints
                .iter()
                .map(|(&number, endpoint)| (number, endpoint.identity[self.active.slot.index()]))
                .collect(),
        }
    }

    pub(super) fn live(&self) -> LiveInventory {
        LiveInventory {
            endpoints: self
                .endpoints
                .iter()
                .map(|(&number, endpoint)| (number, endpoint.record))
                .collect(),
            addresses: self.addresses.clone(),
            published: self.published.clone(),
            management: self.management.clone(),
            xdp: self
                .xdp
                .iter()
                .map(|(&ifindex, &mode)| {
                    let interface = format!("eth{ifindex}");
                    (ifindex, XdpAttachment { interface, mode })
                })
                .collect(),
            attachments: self
                .ours
                .iter()
                .map(|(&ifindex, constants)| {
                    let attachment = Attachment {
                        interface: format!("veth{ifindex}"),
                        constants: constants.clone(),
                    };
                    (ifindex, attachment)
                })
                .collect(),
        }
    }
}

//! What the kernel holds: read back from it, and carried on with every operation that is done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::denial::Denial;
use super::desired::{
    AddressKey, AddressOwner, EndpointRecord, ManagementKey, PolicyImage, PublishedKey,
    PublishedTarget, TemplateConstants, XdpMode,
};
use super::networks::Placed;
use super::numbers::{EndpointNumber, IdentityNumber, PairKey, Slot};
use super::plan::Operation;
use super::steps::StepList;

/// Where a list of steps lies in the kernel's `steps` array.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListPlace {
    /// Index of its first step.
    pub first: u32,
    /// How many steps it has.
    pub count: u32,
}

impl ListPlace {
    /// Index after its last step.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.first as u64 + self.count as u64
    }

    /// Whether the two have a step in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        (self.first as u64) < other.end() && (other.first as u64) < self.end()
    }
}

/// Where a subject's generic lists are: `[side][kind of peer]`.
pub type SubjectPlaces = [[ListPlace; 4]; 2];

/// One policy as the kernel holds it: places instead of lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlotImage {
    /// Generic lists by subject.
    pub subjects: BTreeMap<IdentityNumber, SubjectPlaces>,
    /// Particular lists.
    pub pairs: BTreeMap<PairKey, ListPlace>,
    /// The world outside.
    pub networks: Arc<Placed>,
    /// Who of the world is denied whatever he opens.
    pub denials: BTreeMap<IdentityNumber, Denial>,
}

impl SlotImage {
    /// Every place that this slot refers to, with repetitions.
    pub fn places(&self) -> impl Iterator<Item = ListPlace> {
        self.subjects
            .values()
            .flat_map(|generic| generic.iter().flatten())
            .chain(self.pairs.values())
            .copied()
    }
}

/// The `active` word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// 0: nothing was ever published, and nothing passes.
    pub generation: u64,
    /// The slot that judges.
    pub slot: Slot,
}

impl Active {
    /// From the kernel's word.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self {
            generation: raw >> 1,
            slot: if raw & 1 == 0 { Slot::A } else { Slot::B },
        }
    }

    /// The kernel's word.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.generation << 1 | self.slot.index() as u64
    }
}

/// An endpoint's record as the kernel holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelEndpoint {
    /// By slot. [`IdentityNumber::NONE`]: nothing passes.
    pub identity: [IdentityNumber; 2],
    /// Where it is.
    pub record: EndpointRecord,
}

/// How programs are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// Links on tcx, from Linux 6.6.
    Tcx,
    /// Filters of a clsact queueing discipline.
    Clsact,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        })
    }
}

/// What of ours is attached to one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActualAttachment {
    /// What its templates know. `None`: not to be found out.
    pub constants: Option<TemplateConstants>,
    /// How they are attached.
    pub mechanism: Mechanism,
    /// Whether it can stay as it is: both directions, ours first, built from the present templates,
    /// with the present maps, by a mechanism that the settings allow.
    pub sound: bool,
}

/// Our XDP program on one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActualXdp {
    /// The kernel's number of it.
    pub program: u32,
    /// It runs behind the driver, not in it.
    pub generic: bool,
    /// Whether it can stay as it is: the present program, with the present maps.
    pub sound: bool,
}

/// How much the kernel's tables hold: entries, over both slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// All lists of steps together.
    pub steps: u32,
    /// Policy entries.
    pub pairs: u32,
    /// Blocks of the networks' search trees, at present.
    pub network_nodes: u32,
    /// As many as there may be: that table grows.
    pub most_network_nodes: u32,
    /// Addresses.
    pub addresses: u32,
    /// Published ports.
    pub published: u32,
    /// Endpoint numbers, 0 included, which is not used.
    pub endpoints: u32,
    /// Rule numbers, 0 included, which is the default.
    pub rules: u32,
    /// Who may always reach the host.
    pub management: u32,
}

/// What the kernel holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Actual {
    /// Which slot judges.
    pub active: Active,
    /// Whether it is certain that no packet is still judged by the other slot.
    pub standby_is_idle: bool,
    /// By [`Slot::index`].
    pub slots: [SlotImage; 2],
    /// What is known to lie where in the `steps` array. Places that a slot refers to but that are
    /// missing here do not hold a list that makes sense.
    pub lists: BTreeMap<ListPlace, Arc<StepList>>,
    /// Records in use.
    pub endpoints: BTreeMap<EndpointNumber, KernelEndpoint>,
    /// Who owns which address.
    pub addresses: BTreeMap<AddressKey, AddressOwner>,
    /// What is behind the host's published ports.
    pub published: BTreeMap<PublishedKey, PublishedTarget>,
    /// By interface index: what of ours is attached.
    pub attachments: BTreeMap<u32, ActualAttachment>,
    /// The policy that the judging slot was found to hold, leaving aside which endpoint has which number:
    /// comparing it again can be spared.
    pub judging_policy: Option<PolicyImage>,
    /// By interface index: our XDP programs.
    pub xdp: BTreeMap<u32, ActualXdp>,
    /// Who may always reach which of the host's TCP ports.
    pub management: BTreeSet<ManagementKey>,
    /// How much there is room for.
    pub capacity: Capacity,
    /// How new attachments are made.
    pub mechanism: Mechanism,
}

impl Actual {
    /// What newly made maps hold.
    #[must_use]
    pub fn empty(capacity: Capacity, mechanism: Mechanism) -> Self {
        Self {
            active: Active::from_raw(0),
            standby_is_idle: false,
            slots: [SlotImage::default(), SlotImage::default()],
            lists: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            addresses: BTreeMap::new(),
            published: BTreeMap::new(),
            attachments: BTreeMap::new(),
            judging_policy: None,
            xdp: BTreeMap::new(),
            management: BTreeSet::new(),
            capacity,
            mechanism,
        }
    }

    /// The slot that judges.
    #[must_use]
    pub fn judging(&self) -> &SlotImage {
        &self.slots[self.active.slot.index()]
    }

    /// The slot that does not.
    #[must_use]
    pub fn standby(&self) -> &SlotImage {
        &self.slots[self.active.slot.other().index()]
    }

    /// Which identity number the judging slot gives an endpoint.
    #[must_use]
    pub fn identity(&self, endpoint: EndpointNumber) -> IdentityNumber {
        self.endpoints
            .get(&endpoint)
            .map_or(IdentityNumber::NONE, |record| {
                record.identity[self.active.slot.index()]
            })
    }

    /// What it means that an operation was done.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::RemoveAddresses(keys) => {
                for key in keys {
                    self.addresses.remove(key);
                }
            }
            Operation::SetEndpoints(entries) => self.endpoints.extend(entries.iter().copied()),
            Operation::SetAddresses(entries) => self.addresses.extend(entries.iter().copied()),
            Operation::RemovePublished(keys) => {
                for key in keys {
                    self.published.remove(key);
                }
            }
            Operation::SetPublished(entries) => self.published.extend(entries.iter().copied()),
            Operation::AwaitReaders => self.standby_is_idle = true,
            Operation::WriteLists(lists) => {
                for (place, list) in lists {
                    self.remember_list(*place, Arc::clone(list));
                }
            }
            Operation::RemovePairs(slot, keys) => {
                let pairs = &mut self.slots[slot.index()].pairs;
                for key in keys {
                    pairs.remove(key);
                }
            }
            Operation::SetPairs(slot, entries) => {
                self.slots[slot.index()]
                    .pairs
                    .extend(entries.iter().copied());
            }
            Operation::SetSubjects(slot, entries) => {
                let subjects = &mut self.slots[slot.index()].subjects;
                for (number, places) in entries {
                    match places {
                        Some(places) => subjects.insert(*number, *places),
                        None => subjects.remove(number),
                    };
                }
            }
            Operation::ChangeNetworks(slot, change) => {
                self.slots[slot.index()].networks = Arc::new(change.result.clone());
            }
            Operation::SetDenials(slot, entries) => {
                let denials = &mut self.slots[slot.index()].denials;
                for (number, denial) in entries {
                    match denial {
                        Some(denial) => denials.insert(*number, *denial),
                        None => denials.remove(number),
                    };
                }
            }
            Operation::Publish { generation, slot } => {
                // What a slot that judged until now is still read by, nobody knows.
                self.standby_is_idle &= self.active.slot == *slot;
                if self.active.slot != *slot {
                    self.judging_policy = None;
                }
                self.active = Active {
                    generation: *generation,
                    slot: *slot,
                };
            }
            Operation::Attach(ifindex, attachment) => {
                self.attachments.insert(
                    *ifindex,
                    ActualAttachment {
                        constants: Some(attachment.constants.clone()),
                        mechanism: self.mechanism,
                        sound: true,
                    },
                );
            }
            Operation::Detach(ifindex) => {
                self.attachments.remove(ifindex);
            }
            // Which program it is, and where it has come to run, the kernel enters afterwards.
            Operation::AttachXdp(ifindex, wanted) => {
                let attached = ActualXdp {
                    program: 0,
                    generic: wanted.mode == XdpMode::Generic,
                    sound: true,
                };
                self.xdp.insert(*ifindex, attached);
            }
            Operation::GrowNetworks(nodes) => self.capacity.network_nodes = *nodes,
            Operation::DetachXdp(ifindex) => {
                self.xdp.remove(ifindex);
            }
            Operation::SetManagement(keys) => self.management.extend(keys.iter().copied()),
            Operation::RemoveManagement(keys) => {
                for key in keys {
                    self.management.remove(key);
                }
            }
            Operation::ClearEndpoints(numbers) => {
                for number in numbers {
                    self.endpoints.remove(number);
                }
            }
        }
    }

    /// Notes what lies at a place, and forgets every list that shares a step with it.
    pub fn remember_list(&mut self, place: ListPlace, list: Arc<StepList>) {
        let end = ListPlace {
            first: u32::try_from(place.end()).unwrap_or(u32::MAX),
            count: 0,
        };
        // The known ones do not overlap, so whoever begins later also ends later.
        let overlapping: Vec<ListPlace> = self
            .lists
            .range(..end)
            .rev()
            .map(|(&known, _)| known)
            .take_while(|known| known.overlaps(place))
            .collect();
        for known in overlapping {
            self.lists.remove(&known);
        }
        self.lists.insert(place, list);
    }
}

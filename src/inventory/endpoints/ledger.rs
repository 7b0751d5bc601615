//! What was settled before: which number an interface has, who is behind it, and by what authority.
//! Kept across restarts of the daemon, so that they change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Remark;
use super::candidates::Candidate;
use super::naming::Basis;
use crate::inventory::model::{MacAddress, Owner};
use crate::inventory::netlink::Link;
use crate::state::numbers::EndpointNumber;

/// What was settled before.
///
/// An entry is an interface's only while it is recognised: the same index, and the same name or the
/// same MAC address of its own (which is random, but where udev makes it of the name). Indexes are given
/// out ascending until the machine boots, and the whole ledger is one boot's. But whoever makes an
/// interface may choose all three: so that what is not the same interface has to be forgotten
/// ([`Self::forget`]) by those who can tell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    boot: String,
    /// The number that is tried first for the next new endpoint.
    next: u32,
    /// Docker has answered in this boot.
    pub(super) docker_seen: bool,
    /// By the interface's index.
    entries: BTreeMap<u32, Entry>,
    /// Docker's ids of attachments whose interface is gone. Docker gives a new id with each start, so none
    /// of them is any other interface's; but Docker may still tell of them, or told just before.
    #[serde(default)]
    spent: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    name: String,
    mac: Option<MacAddress>,
    number: Option<EndpointNumber>,
    basis: Option<Basis>,
    owner: Option<Owner>,
    /// A clock's reading means nothing to the next process: it counts anew.
    #[serde(skip)]
    first_seen: Option<Instant>,
}

/// A ledger that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("not a ledger of endpoints: {0}")]
pub struct LedgerError(#[from] serde_json::Error);

impl Ledger {
    /// An empty one, for a boot (`/proc/sys/kernel/random/boot_id`).
    #[must_use]
    pub fn new(boot: &str) -> Self {
        Self {
            boot: boot.trim().to_owned(),
            ..Self::default()
        }
    }

    /// Reads one that was kept. That of another boot counts for nothing.
    ///
    /// # Errors
    /// The text is not a ledger.
    pub fn restore(text: &str, boot: &str) -> Result<Self, LedgerError> {
        let ledger: Self = serde_json::from_str(text)?;
        Ok(if ledger.boot == boot.trim() {
            ledger
        } else {
            Self::new(boot)
        })
    }

    /// The text to keep.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_text(&self) -> Result<String, LedgerError> {
        Ok(serde_json::to_string(self)?)
    }

    /// The interfaces of which something was settled, by their indexes.
    #[must_use]
    pub fn interfaces(&self) -> BTreeSet<u32> {
        self.entries.keys().copied().collect()
    }

    /// Forgets what was settled of interfaces that are gone, whatever may be found under their indexes
    /// by now.
    pub fn forget(&mut self, gone: &BTreeSet<u32>) {
        for ifindex in gone {
            let entry = self.entries.remove(ifindex);
            self.spend(entry);
        }
    }

    fn spend(&mut self, entry: Option<Entry>) {
        let basis = entry.and_then(|entry| entry.basis);
        let attachment = basis.as_ref().and_then(Basis::attachment);
        self.spent.extend(attachment.map(str::to_owned));
    }

    /// Whether the interface of one of Docker's attachments is gone.
    pub(super) fn is_spent(&self, attachment: &str) -> bool {
        self.spent.contains(attachment)
    }

    /// Of attachments that Docker does not tell of any more, nothing has to be known.
    pub(super) fn forget_spent(&mut self, is_told: impl Fn(&str) -> bool) {
        self.spent.retain(|attachment| is_told(attachment));
    }

    fn entry(&self, link: &Link) -> Option<&Entry> {
        self.entries
            .get(&link.ifindex)
            .filter(|e| e.recognises(link))
    }

    /// Whether the interface's other end has nothing more to say.
    pub(super) fn is_settled(&self, link: &Link) -> bool {
        self.entry(link)
            .is_some_and(|entry| entry.basis.as_ref().is_some_and(Basis::is_final))
    }

    pub(super) fn number(&self, ifindex: u32) -> Option<EndpointNumber> {
        self.entries.get(&ifindex)?.number
    }

    pub(super) fn first_seen(&self, ifindex: u32) -> Option<Instant> {
        self.entries.get(&ifindex)?.first_seen
    }

    /// By what authority, and who, it was.
    pub(super) fn naming(&self, ifindex: u32) -> Option<(&Basis, &Owner)> {
        let entry = self.entries.get(&ifindex)?;
        entry.basis.as_ref().zip(entry.owner.as_ref())
    }

    pub(super) fn set_naming(&mut self, ifindex: u32, basis: Option<Basis>, owner: Option<Owner>) {
        if let Some(entry) = self.entries.get_mut(&ifindex) {
            entry.basis = basis.filter(|_| owner.is_some());
            entry.owner = owner;
        }
    }

    /// Forgets interfaces that are gone, and gives numbers to new ones.
    pub(super) fn update(
        &mut self,
        candidates: &[Candidate<'_>],
        last: EndpointNumber,
        now: Instant,
        remarks: &mut Vec<Remark>,
    ) {
        let mut entries = BTreeMap::new();
        for Candidate { link, .. } in candidates {
            let (old, other) = match self.entries.remove(&link.ifindex) {
                Some(entry) if entry.recognises(link) => (Some(entry), None),
                other => (None, other),
            };
            self.spend(other);
            let mut entry = old.unwrap_or(Entry {
                name: String::new(),
                mac: None,
                number: None,
                basis: None,
                owner: None,
                first_seen: None,
            });
            entry.name.clone_from(&link.name);
            entry.mac = link.mac;
            entry.first_seen.get_or_insert(now);
            entry.number = entry.number.filter(|number| *number <= last);
            entries.insert(link.ifindex, entry);
        }
        let mut taken: BTreeSet<_> = entries.values().filter_map(|entry| entry.number).collect();
        for entry in entries.values_mut().filter(|entry| entry.number.is_none()) {
            entry.number = next_number(&mut self.next, last, &taken);
            match entry.number {
                Some(number) => {
                    taken.insert(number);
                }
                None => remarks.push(Remark::NumbersExhausted {
                    interface: entry.name.clone(),
                }),
            }
        }
        for entry in std::mem::replace(&mut self.entries, entries).into_values() {
            self.spend(Some(entry));
        }
    }
}

impl Entry {
    fn recognises(&self, link: &Link) -> bool {
        self.name == link.name || (self.mac.is_some() && self.mac == link.mac)
    }
}

/// The next number upwards that is free, from the first one again after the last: so that a number
/// comes back as late as possible.
fn next_number(
    next: &mut u32,
    last: EndpointNumber,
    taken: &BTreeSet<EndpointNumber>,
) -> Option<EndpointNumber> {
    let first = EndpointNumber::FIRST.0;
    let start = (*next).clamp(first, last.0.max(first));
    let free = (start..=last.0)
        .chain(first..start)
        .map(EndpointNumber)
        .find(|number| !taken.contains(number))?;
    *next = if free < last { free.0 + 1 } else { first };
    Some(free)
}

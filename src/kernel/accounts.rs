//! How many connections there are, of each endpoint and in all, mapped into this process: the programs
//! count by atomic operations, and so does this side where it enters connections itself.

use std::mem::offset_of;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libbpf_rs::{MapCore as _, MapHandle};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::abi;
use super::error::{Error, Result};
use crate::state::numbers::EndpointNumber;

const STAGES: usize = abi::flow_stage::STAGES.0 as usize;
const NEW: usize = abi::flow_stage::STAGE_NEW.0 as usize;
const ANSWERED: usize = abi::flow_stage::STAGE_ANSWERED.0 as usize;

/// Connections of one kind in one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// That there are now. Those that have expired count until somebody needs their room.
    pub held: u32,
    /// Packets of connections for which there was no room, ever since the account's number is in use.
    pub refused: u64,
}

/// Connections that one side pays for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// That nobody has answered yet.
    pub new: Held,
    /// That were answered.
    pub answered: Held,
}

impl FlowCounts {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.new.held == 0 && self.answered.held == 0
    }
}

/// Connections of one endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointFlows {
    /// That it has opened.
    pub opened: FlowCounts,
    /// That the host or the world outside has opened to it.
    pub received: FlowCounts,
}

/// The `accounts` map.
#[derive(Debug)]
pub(super) struct Accounts {
    first: NonNull<u8>,
    entries: u32,
}

/// From one entry to the next.
const STRIDE: usize = size_of::<abi::flow_accounts>();
const _: () = assert!(
    STRIDE.is_multiple_of(align_of::<AtomicU64>()),
    "an array's values lie at multiples of eight bytes"
);

// SAFETY: the pages are only ever accessed as atomics.
unsafe impl Send for Accounts {}
// SAFETY: as above.
unsafe impl Sync for Accounts {}

impl Accounts {
    pub(super) fn map(map: &MapHandle) -> Result<Self> {
        let what = "map the accounts into memory";
        let entries = map.max_entries();
        if map.value_size() as usize != STRIDE {
            return Err(Error::found(what, "they have another size than expected"));
        }
        let length = length_of(entries).ok_or_else(|| Error::found(what, "there are none"))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice, of a map whose values have
        // together the length that is mapped.
        let first = unsafe {
            mmap(
                None,
                length,
                protection,
                MapFlags::MAP_SHARED,
                map.as_fd(),
                0,
            )
        }
        .map_err(|errno| Error::io(what, &errno.into()))?;
        Ok(Self {
            first: first.cast(),
            entries,
        })
    }

    /// The word at `offset` of an entry; nothing beyond the last one.
    fn at<T>(&self, number: u32, offset: usize) -> Option<&T> {
        if number >= self.entries || offset + size_of::<T>() > STRIDE {
            return None;
        }
        // SAFETY: within the mapping, as just checked, which lives as long as `self`. `T` is one of
        // the two atomics that `held` and `refused` ask for, at a multiple of its size.
        Some(unsafe {
            self.first
                .add(number as usize * STRIDE + offset)
                .cast::<T>()
                .as_ref()
        })
    }

    fn held(&self, number: u32, direction: usize, stage: usize) -> Option<&AtomicU32> {
        let index = direction * STAGES + stage;
        let offset = offset_of!(abi::flow_accounts, held) + index * size_of::<AtomicU32>();
        self.at(number, offset)
    }

    fn refused(&self, number: u32, direction: usize, stage: usize) -> Option<&AtomicU64> {
        let index = direction * STAGES + stage;
        let offset = offset_of!(abi::flow_accounts, refused) + index * size_of::<AtomicU64>();
        self.at(number, offset)
    }

    fn count(&self, number: u32, direction: usize) -> FlowCounts {
        let stage = |stage| Held {
            held: self
                .held(number, direction, stage)
                .map_or(0, |word| word.load(Ordering::Relaxed)),
            refused: self
                .refused(number, direction, stage)
                .map_or(0, |word| word.load(Ordering::Relaxed)),
        };
        FlowCounts {
            new: stage(NEW),
            answered: stage(ANSWERED),
        }
    }

    /// All connections of all endpoints.
    pub(super) fn total(&self) -> FlowCounts {
        self.count(0, 0)
    }

    /// Connections of one endpoint.
    pub(super) fn of(&self, endpoint: EndpointNumber) -> EndpointFlows {
        EndpointFlows {
            opened: self.count(endpoint.0, 0),
            received: self.count(endpoint.0, 1),
        }
    }

    /// Counts a connection that was entered from here.
    pub(super) fn charge(&self, status: u32) {
        let account = status >> abi::flow_status::FLOW_ACCOUNT_SHIFT.0;
        let direction = usize::from(account & abi::account::ACCOUNT_RECEIVED.0 != 0);
        let stage = if status & abi::flow_flag::FLOW_ANSWERED.0 != 0 {
            ANSWERED
        } else {
            NEW
        };
        // What the host opens is in no account of its own: counted among all, and not twice.
        let own = (account != 0)
            .then(|| self.held(account & abi::account::ACCOUNT_NUMBER.0, direction, stage))
            .flatten();
        for word in [own, self.held(0, 0, stage)].into_iter().flatten() {
            word.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        if let Some(length) = length_of(self.entries) {
            // SAFETY: mapped by `map` with this length, and nobody refers to it any more. It cannot
            // fail for a mapping that exists, and nothing could be done if it did.
            let _ = unsafe { munmap(self.first.cast(), length.get()) };
        }
    }
}

/// Bytes of so many entries.
fn length_of(entries: u32) -> Option<NonZeroUsize> {
    NonZeroUsize::new(entries as usize * STRIDE)
}

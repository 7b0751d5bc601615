//! The word that says which policy judges, mapped into this process: a new policy takes effect with
//! one store, which cannot fail.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use libbpf_rs::MapHandle;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::error::{Error, Result};
use crate::fault;
use crate::state::actual::Active;

/// The `active` map's only value.
#[derive(Debug)]
pub(super) struct ActiveWord {
    page: NonNull<AtomicU64>,
}

/// The kernel maps whole pages; a value is far smaller than any.
const LENGTH: NonZeroUsize = NonZeroUsize::new(size_of::<AtomicU64>()).expect("8 is not 0");

// SAFETY: the page belongs to this value alone, and is only ever accessed as an atomic.
unsafe impl Send for ActiveWord {}
// SAFETY: as above.
unsafe impl Sync for ActiveWord {}

impl ActiveWord {
    pub(super) fn map(map: &MapHandle) -> Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        fault::step("map the active word")
            .map_err(|error| Error::io("map the active word into memory", &error))?;
        // SAFETY: a new mapping, at an address of the kernel's choice, of a map whose only value has
        // the length that is mapped.
        let page = unsafe {
            mmap(
                None,
                LENGTH,
                protection,
                MapFlags::MAP_SHARED,
                map.as_fd(),
                0,
            )
        }
        .map_err(|errno| Error::io("map the active word into memory", &errno.into()))?;
        Ok(Self { page: page.cast() })
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: mapped for as long as `self` lives, at the beginning of a page, eight bytes long;
        // everybody else, the programs included, accesses it by 64-bit loads and stores.
        unsafe { self.page.as_ref() }
    }

    pub(super) fn load(&self) -> Active {
        Active::from_raw(self.word().load(Ordering::Acquire))
    }

    /// From here on, every packet is judged by this policy.
    pub(super) fn publish(&self, active: Active) {
        self.word().store(active.raw(), Ordering::Release);
    }
}

impl Drop for ActiveWord {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and nobody refers to it any more. It cannot fail for a mapping
        // that exists, and nothing could be done if it did.
        let _ = unsafe { munmap(self.page.cast(), LENGTH.get()) };
    }
}

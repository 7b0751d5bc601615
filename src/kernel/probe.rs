//! What this kernel can do, found out by trying: no version is compared, for distributions carry newer
//! things back.

use std::fmt;
use std::io;

use super::error::{Error, Result};
use super::sys::{self, Direction};
use crate::config::Attach;
use crate::state::actual::Mechanism;

/// What this kernel can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// tcx hooks, and links on them. Without them clsact filters serve.
    pub tcx: bool,
}

/// Something that nothing else replaces.
struct Need {
    what: &'static str,
    /// The first Linux that has it.
    since: &'static str,
    is_there: fn() -> io::Result<bool>,
}

const NEEDS: [Need; 6] = [
    Need {
        what: "BPF",
        since: "3.18, as far as it was built with CONFIG_BPF_SYSCALL",
        is_there: sys::has_maps,
    },
    Need {
        what: "maps that are mapped into memory",
        since: "5.5",
        is_there: sys::has_mapped_arrays,
    },
    Need {
        what: "batched reads of maps",
        since: "5.6",
        is_there: sys::has_batched_reads,
    },
    Need {
        what: "ring buffers",
        since: "5.8",
        is_there: sys::has_ring_buffers,
    },
    Need {
        what: "helper bpf_ktime_get_coarse_ns",
        since: "5.11",
        is_there: sys::has_coarse_clock,
    },
    Need {
        what: "helper bpf_loop",
        since: "5.17",
        is_there: sys::has_loops,
    },
];

/// The loopback device is in every network namespace, and has this number there.
const LOOPBACK: u32 = 1;

impl Features {
    /// Asks the kernel. Nothing is left behind, whatever it answers.
    ///
    /// # Errors
    /// It does not let us ask, or something is missing that nothing replaces: each such thing is named,
    /// with the version that has it.
    pub fn probe() -> Result<Self> {
        let mut missing = Vec::new();
        for need in &NEEDS {
            let there = match (need.is_there)() {
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOSYS) => false,
                answer => {
                    answer.map_err(|error| Error::io(format!("look for {}", need.what), &error))?
                }
            };
            if !there {
                missing.push(format!("no {} (since Linux {})", need.what, need.since));
            }
        }
        // A kernel without tcx does not know the kind of hook, whatever the interface.
        let tcx = sys::query_tcx(LOOPBACK, Direction::Ingress).is_ok();
        if missing.is_empty() {
            return Ok(Self { tcx });
        }
        let missing = missing.join(", ");
        Err(Error::found(
            "use this kernel",
            format!("it has {missing}: boot Linux 6.1 or newer"),
        ))
    }

    /// How new attachments are made, unless an interface asks for the other one.
    pub(super) fn mechanism(self, mode: Attach) -> Mechanism {
        match mode {
            Attach::Tcx => Mechanism::Tcx,
            Attach::Auto | Attach::Clsact => Mechanism::Clsact,
        }
    }
}

/// Whether what is attached in this way may stay so.
pub(super) fn allows(mode: Attach, mechanism: Mechanism) -> bool {
    match mode {
        Attach::Auto => true,
        Attach::Tcx => mechanism == Mechanism::Tcx,
        Attach::Clsact => mechanism == Mechanism::Clsact,
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tcx { "tcx" } else { "clsact only" })
    }
}

//! What this kernel can do, found out by trying.

use std::fmt;

use super::sys::{self, Direction};
use crate::config::Attach;
use crate::state::actual::Mechanism;

/// What this kernel can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// tcx hooks, and links on them.
    pub tcx: bool,
}

impl Features {
    /// Asks the kernel.
    #[must_use]
    pub fn probe() -> Self {
        // The loopback device is in every network namespace, and has number 1 there. A kernel without
        // tcx does not know the kind of hook, whatever the interface.
        let loopback = 1;
        Self {
            tcx: sys::query_tcx(loopback, Direction::Ingress).is_ok(),
        }
    }

    /// How new attachments are made.
    pub(super) fn mechanism(self, mode: Attach) -> Mechanism {
        match mode {
            Attach::Tcx => Mechanism::Tcx,
            Attach::Clsact => Mechanism::Clsact,
            Attach::Auto if self.tcx => Mechanism::Tcx,
            Attach::Auto => Mechanism::Clsact,
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

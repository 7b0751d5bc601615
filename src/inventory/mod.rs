//! What is on this host: from Docker and netlink to endpoints.
//!
//! ```text
//! netlink::watch --\
//!                    > Trigger: look again
//! docker::Docker ---/
//!
//! netlink -> observer::Observer -> HostView --\
//!                                              > endpoints::merge -> Inventory, Ledger, Remarks
//! docker::Docker -> DockerState --------------/
//! ```
//!
//! The watchers only say that something changed; [`observer`] reads what is there, and
//! [`endpoints`], which is pure, makes of it what policy is compiled for.

pub mod docker;
pub mod endpoints;
pub mod model;
pub mod netlink;
pub mod observer;
pub mod obstacles;
pub mod uplinks;

use netlink::Nsid;

/// Something changed: a reason to look again. Nothing is decided by what a trigger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// An interface of this host appeared, or something about it changed.
    LinkChanged {
        /// Which one.
        ifindex: u32,
    },
    /// An interface of this host is gone.
    LinkGone {
        /// Which one.
        ifindex: u32,
    },
    /// Filters were removed from an interface of this host, or the discipline that has them.
    FiltersGone {
        /// Which one.
        ifindex: u32,
    },
    /// The host got or lost an address.
    HostAddresses {
        /// On which interface.
        ifindex: u32,
    },
    /// A default route came or went.
    DefaultRoute,
    /// An interface, or an address of one, changed in a namespace that our interfaces lead to.
    Peer {
        /// Which one.
        namespace: Nsid,
    },
    /// Notices were lost: anything may have changed.
    Relist {
        /// For the log.
        cause: String,
    },
    /// Docker's networks or containers changed, or it came or went.
    Docker,
}

//! bridgewall: an identity-aware eBPF firewall for plain Linux hosts that run Docker bridge networks.
//!
//! Data flows one way, and each arrow is a plain value:
//!
//! ```text
//! policy files -> policy --\
//!                           > compile -> state -> diff -> plan -> kernel
//! docker + netlink -> inventory -/                                  ^
//!                                  kernel (read back) --------------'
//! ring buffer -> observe -> monitor, metrics        command line <-> control
//! ```
#![deny(missing_docs)]

pub mod cli;
pub mod compile;
pub mod config;
pub mod control;
mod fault;
pub mod guard;
pub mod inventory;
pub mod kernel;
pub mod netlink;
pub mod observe;
pub mod policy;
pub mod reconcile;
pub mod state;
pub mod watch;

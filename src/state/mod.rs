//! What the kernel should hold, and how to get there from what it holds. Pure.
//!
//! ```text
//! Compiled --> PolicyImage --\
//!                             > Desired --\
//! Inventory -> LiveInventory /             > diff::plan -> Plan -> kernel
//!                               Actual ---/                          |
//!                                  ^---------- Actual::apply --------'
//! ```
//!
//! [`actual::Actual`] is at the same time what was read back, what the plan is made from, and the
//! model that tests run plans against: each [`plan::Operation`] has one meaning, written down there.

pub mod actual;
#[cfg(test)]
mod convergence;
pub mod denial;
pub mod desired;
pub mod diff;
mod lists;
#[cfg(test)]
mod machine;
pub mod networks;
pub mod numbers;
pub mod plan;
pub mod steps;

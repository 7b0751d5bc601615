//! An independent model of the whole packet path, and the real programs beside it: cases that nobody
//! thought of, on which both must say the same.
//!
//! - [`design`] is the model, to be read beside the design.
//! - [`generate`] makes policies, hosts and packets; [`harness`] runs them on both.
//! - `agreement` compares them for a fixed number of packets, and for any number by hand
//!   (`scripts/fuzz`); what was found once is kept in `found/`.
//! - `explain` asks the compiler's own answers the same.
//! - `faults` plants faults in the C, and shows that each of them is found.

mod agreement;
#[path = "../common/contract.rs"]
mod contract;
mod design;
mod explain;
mod faults;
mod generate;
mod harness;

//! The real compiler and the real programs, asked the same as the model.
//!
//! - [`kernel`] loads the programs and runs frames through them; [`maps`] does what a plan says.
//! - [`trace`] is one case, in full: policies, hosts, and what happens in order. A file, too.
//! - [`compare`] runs a trace on both, and says where they disagree.

pub mod compare;
pub mod kernel;
pub mod maps;
pub mod trace;

//! The policy language: from files to a valid policy. Pure but for [`load()`], which reads the files.
//!
//! ```text
//! open, load -> source -> syntax -> reader, file -> assemble -> model
//!               (text)    (TOML)    (low form)         |
//!                                    names, cidr, identity, network, rule, expectation
//!                                            (question: ports, icmp, protocols)
//!                          problem, diagnostic: what is wrong, all at once
//! ```

mod assemble;
mod cidr;
pub mod diagnostic;
mod expectation;
mod families;
mod file;
mod icmp;
mod icmp_types;
mod identity;
pub mod limits;
mod load;
pub mod model;
mod names;
mod network;
mod open;
mod ports;
mod problem;
mod protocols;
pub mod question;
mod reader;
mod rule;
mod snapshot;
mod source;
mod syntax;
pub mod traffic;

pub use assemble::{ReadNetwork, parse};
pub use diagnostic::Report;
pub use icmp_types::icmp_type_name;
pub use load::{drop_in_folder, load, load_with_snapshot};
pub use open::Trust;
pub(crate) use open::{Kind, open};
pub use problem::{FileError, Refusal};
pub use snapshot::Snapshot;
pub use source::Source;
pub(crate) use syntax::check_grammar;

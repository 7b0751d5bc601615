//! The packet path end to end, in network namespaces. Needs root.

#[path = "../common/mod.rs"]
mod common;

mod control;

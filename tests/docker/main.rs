//! The whole product end to end, on a real Docker engine. Needs root.

#[path = "../common/mod.rs"]
mod common;

mod control;

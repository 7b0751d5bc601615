//! Observe, diff, apply: the one writer of kernel state.

pub mod policies;
pub mod store;

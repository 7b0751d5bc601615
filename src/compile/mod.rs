//! From a policy and an inventory to what the kernel should hold. Pure: no I/O, no clock.

pub mod compiled;

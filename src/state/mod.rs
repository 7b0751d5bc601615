//! What the kernel should hold, and how to get there from what it holds. Pure.

pub mod numbers;
pub mod steps;

//! The policy language: from files to a valid policy. Pure but for `load`, which reads the files.

pub mod model;
pub mod traffic;

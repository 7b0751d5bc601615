//! What wakes the daemon: policy files and signals. They carry no data, only the fact that something
//! is to be looked at again; who receives them reads the truth himself.

pub mod files;
pub mod signals;

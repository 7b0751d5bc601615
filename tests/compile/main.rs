//! What a policy is compiled into, judged as the kernel judges.

#[path = "../common/boundaries.rs"]
mod boundaries;
mod build;
mod checks;
mod entities;
mod explain;
mod limits;
mod membership;
mod names;
mod numbers;
mod oracle;
mod properties;
mod scale;
mod semantics;
mod world;

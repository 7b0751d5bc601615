//! What a policy is compiled into, judged as the kernel judges.

mod build;
mod checks;
mod edits;
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

//! How people and programs talk to the daemon: one JSON object a line, over a Unix socket.

pub mod client;
mod connection;
pub mod examination;
pub mod explanation;
pub mod house;
pub mod lock;
pub mod protocol;
pub mod question;
pub mod report;
pub mod request;
#[cfg(test)]
pub(crate) mod sample;
pub mod server;
pub mod service;
mod socket;
pub mod tally;
pub mod time;

/// For the fuzzer (see tests/fuzz).
#[cfg(fuzzing)]
pub use connection::parse as read_request;

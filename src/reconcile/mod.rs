//! Observe, diff, apply: the one writer of kernel state.
//!
//! ```text
//! watchers -> trigger -> daemon -> host (observe) -> pass (diff) -> daemon (apply)
//!                          \-> guarding: what is not armed is closed off
//!                          \-> policies, store: what is in force, what is kept
//!                           \-> answers: what is told when somebody asks
//! ```

mod answers;
mod checkup;
mod daemon;
mod doctor;
mod flow_room;
mod guarding;
mod host;
mod pass;
mod phases;
pub mod policies;
mod settings;
pub mod store;
pub mod trigger;

pub use daemon::run;

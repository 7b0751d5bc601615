//! Observe, diff, apply: the one writer of kernel state.
//!
//! ```text
//! watchers -> trigger -> daemon -> host (observe) -> pass (diff) -> daemon (apply)
//!                          \-> guarding: what is not armed is closed off
//!                          \-> policies, store: what is in force, what is kept
//!                          \-> trial: a policy that waits for its confirmation
//!                           \-> answers: what is told when somebody asks
//! ```

mod answers;
mod checkup;
mod daemon;
mod doctor;
mod flow_room;
mod guarding;
mod host;
mod management;
mod pass;
mod phases;
pub mod policies;
mod settings;
mod shortcuts;
pub mod store;
mod strangers;
mod trial;
pub mod trigger;
mod uplinks;

pub use daemon::run;

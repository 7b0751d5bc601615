//! From the kernel's events to what people read: reasons, names, lines, and who is watching.

pub mod event;
pub mod hub;
pub mod line;
pub mod names;
pub mod reason;

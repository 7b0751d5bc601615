//! What the kernel says about interfaces and addresses, in this network namespace and, through the
//! namespace identifiers that the kernel gives out, in the ones of the interfaces' peers. Nothing here
//! enters a namespace.

mod addresses;
mod links;
mod nsid;
mod routes;
pub mod watch;

pub use addresses::InterfaceAddress;
pub use links::{Link, LinkXdp, Peer};
pub use nsid::Nsid;

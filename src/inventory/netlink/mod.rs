//! What the kernel says about interfaces and addresses, in this network namespace and, through the
//! namespace identifiers that the kernel gives out, in the ones of the interfaces' peers. Nothing here
//! enters a namespace.

mod addresses;
mod bridging;
mod filters;
mod links;
pub mod nftables;
mod nsid;
mod routes;
pub mod watch;

pub use addresses::InterfaceAddress;
pub use bridging::{BridgeSettings, PortSettings};
pub use links::{Link, LinkXdp, Peer};
pub use nsid::Nsid;

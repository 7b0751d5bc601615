//! The model: what the design says, a second time, and in plain words.
//!
//! It shares no code with the compiler or the C. It reads the policy's text itself, keeps rules as they
//! are written, and asks each of them about each new connection. It is made to be read beside the
//! design; nothing in it is fast.
//!
//! | file | what it says |
//! |---|---|
//! | [`policy`] | what a policy file says: defaults, identities, networks, rules (points 1, 11) |
//! | [`traffic`] | what `ports`, `icmp` and `protocols` mean (points 3, 4, 5) |
//! | [`peers`] | who is who: identities, entities, networks, CIDRs (point 7) |
//! | [`sides`] | two sides, deny before allow, defaults, the strictest, audit (points 1, 2, 7) |
//! | [`frame`], [`ipv4`], [`ipv6`], [`transport`] | what a frame says, and which frames say nothing |
//! | [`fragments`] | fragments speak as their first one did |
//! | [`sender`], [`neighbour`] | is the sender who it says it is? ARP, neighbour discovery (point 6) |
//! | [`link`] | what no endpoint may send, what reaches one without a rule |
//! | [`connections`] | replies, errors that quote a live flow, a change of policy (points 6, 8, 9) |
//! | [`told`] | what events and counters say of it |
//! | [`firewall`] | all of it in its order: one frame at one hook |

pub mod connections;
pub mod firewall;
pub mod fragments;
pub mod frame;
pub mod ipv4;
pub mod ipv6;
pub mod link;
pub mod neighbour;
pub mod peers;
pub mod policy;
pub mod sender;
pub mod sides;
pub mod told;
pub mod traffic;
pub mod transport;

pub use bridgewall::kernel::abi::drop_reason as Reason;

//! The kernel: the only room that touches libbpf, and the only one with `unsafe`.

/// What the build generates from the packet path. Public for the tests that run it directly.
#[doc(hidden)]
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/bridgewall.skel.rs"));
}
pub use skeleton::types as abi;

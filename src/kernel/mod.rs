//! The kernel: the only room that touches libbpf, and the only one with `unsafe`.

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/bridgewall.skel.rs"));
}
pub use skeleton::types as abi;

//! Values of the contract between programs and daemon (`abi.h`), as bytes and back.

use std::net::IpAddr;

use bridgewall::kernel::abi;
use libbpf_rs::{MapCore, MapFlags};

pub fn bytes_of<T: Copy>(value: &T) -> &[u8] {
    // SAFETY: the types of the contract spell their padding out: every byte is initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

pub fn from_bytes<T: Copy>(bytes: &[u8]) -> T {
    assert!(bytes.len() >= size_of::<T>());
    // SAFETY: long enough, and the types of the contract are integers all through.
    unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
}

pub fn address(ip: IpAddr) -> abi::address {
    let octets = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    from_bytes(&octets)
}

/// Sets all entries of an array to zero.
pub fn zero(map: &impl MapCore) {
    let keys: Vec<u8> = (0..map.max_entries()).flat_map(u32::to_ne_bytes).collect();
    let values = vec![0; map.max_entries() as usize * map.value_size() as usize];
    let (any, count) = (MapFlags::ANY, map.max_entries());
    map.update_batch(&keys, &values, count, any, any)
        .expect("clear an array");
}

//! From shared structs to bytes and back.

use std::mem::{MaybeUninit, size_of};

use super::abi;

/// A struct of the contract that is nothing but its bytes.
///
/// # Safety
/// `repr(C)`, only integers and arrays of them, no padding between or after its fields: every byte is
/// initialised, and every pattern of bytes is a value.
pub(super) unsafe trait Plain: Copy {}

/// Declares types [`Plain`], and proves that they have no padding: the size is that of the fields.
macro_rules! plain {
    ($($name:ident { $($field:ident),+ })+) => {$(
        const _: () = {
            const fn size<T, F>(_: fn(&T) -> &F) -> usize {
                size_of::<F>()
            }
            assert!(size_of::<abi::$name>() == 0 $(+ size::<abi::$name, _>(|value| &value.$field))+);
        };
        // SAFETY: generated from abi.h as `repr(C)` with integers only; no padding, as just proved.
        unsafe impl Plain for abi::$name {}
    )+};
}

plain! {
    policy_step { from, rule, verdict, flags, _pad }
    step_list { first, count }
    policy_key { slot, side, subject, peer }
    identity_record { generic }
    address { word }
    local_address_key { address, zone }
    local_address { endpoint }
    published_key { address, port, protocol, _pad }
    published { endpoint, port, _pad }
    management_key { prefix_length, port, _pad, address }
    management { allowed }
    endpoint { identity, ifindex, bridge }
    shortcut { ifindex, bridge, mac, _pad }
    network_roots { reference }
    network_node { word }
    denial { rule, flags }
    endpoint_constants { number, flags, mac, _pad, ipv4_count, ipv6_count, ipv4, ipv6 }
    flow_key {
        low, high, low_port, high_port, protocol, icmp_type, icmp_low_asks, _pad, zone
    }
    flow { generation, last_seen, opener, target, selector, status }
    flow_accounts { held, refused }
    sweep { now, next, removed, left, urgent, _pad }
    event {
        time, generation, source, destination, source_identity, destination_identity,
        source_endpoint, destination_endpoint, egress_rule, ingress_rule, ifindex, endpoint,
        packet_length, source_port, destination_port, verdict, reason, side, hook, family, protocol,
        icmp_type, icmp_code, byte_count, flags, _pad, bytes
    }
    counter { packets, bytes }
    endpoint_counters { passed, dropped }
}

// SAFETY: integers are nothing but their bytes.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}

/// The bytes of a value.
pub(super) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: `Plain` promises that all `size_of::<T>()` bytes are initialised; the lifetime is that
    // of the value.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The bytes of several values, one after the other.
pub(super) fn bytes_of_all<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: as above; a slice has no padding between its elements.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The value that these bytes are; `None` if there are more or fewer of them.
pub(super) fn from_bytes<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: source and destination are `size_of::<T>()` bytes and do not overlap; `Plain` promises
    // that any bytes are a value.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), bytes.len());
        Some(value.assume_init())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_way_to_bytes_and_back() {
        let key = abi::policy_key {
            slot: 1,
            side: 1,
            subject: 0x1234,
            peer: 0x8000_0001,
        };
        assert_eq!(
            bytes_of(&key),
            [
                [1, 1].as_slice(),
                &0x1234_u16.to_ne_bytes(),
                &0x8000_0001_u32.to_ne_bytes()
            ]
            .concat()
        );
        let back: abi::policy_key = from_bytes(bytes_of(&key)).unwrap();
        assert_eq!((back.subject, back.peer), (0x1234, 0x8000_0001));
    }

    #[test]
    fn too_few_or_too_many_bytes_are_no_value() {
        assert!(from_bytes::<abi::step_list>(&[0; 7]).is_none());
        assert!(from_bytes::<abi::step_list>(&[0; 9]).is_none());
        assert!(from_bytes::<abi::step_list>(&[0; 8]).is_some());
    }
}

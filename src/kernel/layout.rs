//! Proof, by the compiler, that the generated types lie in memory as `abi.h` says they do: the same
//! numbers are asserted there. A difference would be one between two readings of the same source.

use std::mem::{offset_of, size_of};

use super::abi;

/// Sizes, and where the last fields begin.
macro_rules! layout {
    ($($name:ident is $size:literal { $($field:ident at $offset:literal),+ })+) => {$(
        const _: () = {
            assert!(size_of::<abi::$name>() == $size);
            $(assert!(offset_of!(abi::$name, $field) == $offset);)+
        };
    )+};
}

layout! {
    policy_step is 12 { rule at 4, verdict at 8, flags at 9 }
    step_list is 8 { count at 4 }
    policy_key is 8 { side at 1, subject at 2, peer at 4 }
    identity_record is 64 { generic at 0 }
    local_address_key is 20 { zone at 16 }
    published_key is 20 { port at 16, protocol at 18 }
    published is 8 { port at 4 }
    endpoint is 16 { ifindex at 8, bridge at 12 }
    shortcut is 16 { bridge at 4, mac at 8 }
    network_roots is 64 { reference at 0 }
    network_node is 64 { word at 0 }
    denial is 8 { flags at 4 }
    management_key is 24 { port at 4, address at 8 }
    endpoint_constants is 184 { mac at 8, ipv4_count at 16, ipv4 at 24, ipv6 at 56 }
    flow_key is 44 { low_port at 32, protocol at 36, icmp_low_asks at 38, zone at 40 }
    flow is 32 { last_seen at 8, opener at 16, selector at 24, status at 28 }
    recent is 64 { ends at 32, judging at 40, until at 48, mark at 60, hook at 63 }
    flow_accounts is 48 { refused at 16 }
    sweeper is 16 { busy at 8 }
    sweep is 32 { next at 8, removed at 16, left at 20, urgent at 24 }
    fragment_key is 40 { id at 32, protocol at 36 }
    fragment is 56 { source_port at 8, icmp_type at 12, header_blocks at 15, key at 16 }
    fragment_set is 456 { next at 4, fragments at 8 }
    event is 200 { source at 16, endpoint at 76, verdict at 88, byte_count at 96, bytes at 104 }
    counter is 16 { bytes at 8 }
    endpoint_counters is 64 { dropped at 32 }
}

//! How much kernel memory the maps take, and how much they can take at most.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};

use bridgewall::config::Attach;
use bridgewall::kernel::{Kernel, KernelSettings, MapMemory};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};

use crate::host::{Host, on_a_host};

fn memory(settings: KernelSettings) -> BTreeMap<&'static str, MapMemory> {
    let kernel = Kernel::open(settings).expect("open");
    kernel.reader().memory().expect("read")
}

/// The kernel's own word (`memlock` in proc_pid_fdinfo(5)).
fn word_of_the_kernel(map: &MapHandle) -> u64 {
    let path = format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd());
    let text = fs::read_to_string(path).expect("read about a descriptor");
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    let bytes = line.and_then(|text| text.trim().parse().ok());
    bytes.expect("a size")
}

fn pinned(host: &Host, name: &str) -> MapHandle {
    host.pinned(&format!("maps-1/{name}"))
}

/// Enters as many entries as there is room for.
fn fill(map: &MapHandle) {
    let value = vec![0; map.value_size() as usize];
    for number in 0..map.max_entries() {
        let mut key = vec![0; map.key_size() as usize];
        let last = key.len();
        // Spread, so that a trie has a node of its own between any two.
        let bits = number.wrapping_mul(2_654_435_761).to_be_bytes();
        if map.map_type() == MapType::LpmTrie {
            let length = (last as u32 - 4) * 8;
            key[..4].copy_from_slice(&length.to_ne_bytes());
        }
        key[last - 4..].copy_from_slice(&bits);
        map.update(&key, &value, MapFlags::NO_EXIST)
            .unwrap_or_else(|error| panic!("{:?}, entry {number}: {error}", map.name()));
    }
}

#[test]
fn memory_is_what_the_kernel_says_and_full_maps_take_what_was_computed() {
    on_a_host(|host| {
        let kernel = host.open(Attach::Auto);
        let computed = kernel.reader().memory().expect("read");
        assert!(computed.len() > 20, "{computed:?}");
        let mut filled = 0;
        for (name, empty) in computed {
            let map = pinned(host, name);
            assert_eq!(empty.bytes, word_of_the_kernel(&map), "{name}, empty");
            if empty.most == empty.bytes {
                continue;
            }
            fill(&map);
            let full = word_of_the_kernel(&map);
            assert!(full <= empty.most, "{name}: {full} of {}", empty.most);
            // Nor is it far too much; but the kernel leaves out a trie's nodes that only say where two part.
            if map.map_type() != MapType::LpmTrie {
                assert!(
                    full * 10 >= empty.most * 9,
                    "{name}: {full} of {}",
                    empty.most
                );
            }
            filled += 1;
        }
        assert!(filled >= 5, "only {filled} grow with what is in them");
    });
}

#[test]
fn the_limits_of_the_configuration_bound_the_memory_of_the_maps() {
    type Limit = fn(&mut KernelSettings) -> &mut u32;
    let limits: [(&str, Limit); 6] = [
        ("steps", |settings| &mut settings.limits.steps),
        ("policy", |settings| &mut settings.limits.policy_entries),
        ("network_nodes", |settings| {
            &mut settings.limits.network_blocks
        }),
        ("addresses", |settings| &mut settings.limits.addresses),
        ("published", |settings| &mut settings.limits.published_ports),
        ("flows", |settings| &mut settings.limits.flows),
    ];
    for (name, limit) in limits {
        on_a_host(move |host| {
            let mut settings = host.settings(Attach::Auto);
            *limit(&mut settings) = 4_096;
            let before = memory(settings.clone());
            fs::remove_dir_all(host.pins()).expect("remove the pins");
            *limit(&mut settings) = 8_192;
            let after = memory(settings);
            for (map, after) in after {
                let before = before[map].most;
                if map == name {
                    assert!(
                        after.most > before && after.most <= before * 2,
                        "{map}: {} instead of {before}",
                        after.most
                    );
                } else {
                    assert_eq!(after.most, before, "{map}, when {name} has twice the room");
                }
            }
        });
    }
}

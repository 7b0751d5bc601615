//! The maps of the packet path, open, and typed access to what is in them.

use std::collections::BTreeMap;
use std::io;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, libbpf_sys};

use super::bytes::{Plain, bytes_of, bytes_of_all, from_bytes};
use super::error::{Error, Result};
use super::sys::BatchReader;
use crate::fault;
use crate::state::actual::Capacity;

/// Entries that are written by one system call.
const BATCH: usize = 4096;

/// Declares [`Maps`] from the names in `maps.h`.
macro_rules! maps {
    ($($name:ident),+ $(,)?) => {
        /// Every map of `maps.h`, open. What each is for is said there.
        #[derive(Debug)]
        pub(super) struct Maps {
            $(pub(super) $name: MapHandle,)+
        }

        impl Maps {
            /// Their names, which are also those of their pins.
            pub(super) const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// Opens every one of them by name.
            pub(super) fn open(mut open: impl FnMut(&str) -> Result<MapHandle>) -> Result<Self> {
                Ok(Self { $($name: open(stringify!($name))?,)+ })
            }

            /// All of them.
            pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &MapHandle)> {
                [$((stringify!($name), &self.$name)),+].into_iter()
            }
        }
    };
}

maps!(
    active,
    observe,
    steps,
    policy,
    identities,
    network_roots,
    network_nodes,
    denials,
    addresses,
    published,
    endpoints,
    shortcuts,
    management,
    flows,
    recent,
    reopened,
    accounts,
    sweeper,
    fragments,
    events,
    event_limits,
    event_losses,
    drops,
    rule_hits,
    endpoint_traffic,
    ticks,
    bodies,
);

impl Maps {
    /// The same maps but for one, in its place.
    pub(super) fn with(&self, replaced: &str, other: &MapHandle) -> Result<Self> {
        Self::open(|name| {
            let mut known = self
                .all()
                .filter(|(known, _)| *known == name && name != replaced);
            let map = known.next().map_or(other, |(_, map)| map);
            MapHandle::try_from(map).map_err(|error| Error::bpf(format!("keep map {name}"), &error))
        })
    }

    /// How much there is room for, if the networks' table may grow so far.
    pub(super) fn capacity(&self, most_network_nodes: u32) -> Capacity {
        Capacity {
            most_network_nodes: most_network_nodes.max(self.network_nodes.max_entries()),
            steps: self.steps.max_entries(),
            pairs: self.policy.max_entries(),
            network_nodes: self.network_nodes.max_entries(),
            addresses: self.addresses.max_entries(),
            published: self.published.max_entries(),
            endpoints: self.endpoints.max_entries(),
            rules: self.rule_hits.max_entries(),
            management: self.management.max_entries(),
        }
    }

    /// Kernel memory by map, in bytes: the kernel's own figure, which for maps that are allocated as
    /// they fill is what they hold now.
    pub(super) fn memory(&self) -> Result<BTreeMap<&'static str, MapMemory>> {
        self.all()
            .map(|(name, map)| {
                let error = |error| Error::bpf(format!("read the size of map {name}"), &error);
                let bytes = map.query_fdinfo().map_err(error)?.memlock.unwrap_or(0);
                let most = most_of(&map.info().map_err(error)?.info).unwrap_or(bytes);
                let most = most.max(bytes);
                Ok((name, MapMemory { bytes, most }))
            })
            .collect()
    }
}

/// Kernel memory of one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapMemory {
    /// Bytes that it takes now.
    pub bytes: u64,
    /// Bytes that it takes when it is as full as its configuration lets it be.
    pub most: u64,
}

/// What a map takes when it is full; nothing for one that takes all of it from the beginning.
fn most_of(info: &libbpf_sys::bpf_map_info) -> Option<u64> {
    /// `struct htab_elem` with the allocator's link before it, and a bucket (`htab_map_mem_usage` in
    /// kernel/bpf/hashtab.c).
    const HASH: u64 = 48 + 8;
    const BUCKET: u64 = 16;
    /// `struct lpm_trie_node` (kernel/bpf/lpm_trie.c), and the length that stands before a key's bits.
    const NODE: u64 = 40;
    const LENGTH: u64 = 4;
    if info.map_flags & libbpf_sys::BPF_F_NO_PREALLOC == 0 {
        return None;
    }
    let entries = u64::from(info.max_entries);
    let (key, value) = (u64::from(info.key_size), u64::from(info.value_size));
    Some(match info.type_ {
        // Between two entries there may be a node that only says where they part.
        libbpf_sys::BPF_MAP_TYPE_LPM_TRIE => 2 * entries * (NODE + key - LENGTH + value),
        _ => {
            let element = HASH + key.next_multiple_of(8) + value.next_multiple_of(8);
            let page = 4096; // the table itself
            page + entries.next_power_of_two() * BUCKET + entries * element
        }
    })
}

fn name(map: &MapHandle) -> String {
    map.name().to_string_lossy().into_owned()
}

/// The kernel's number of a map.
pub(super) fn id(map: &MapHandle) -> Result<u32> {
    map.info()
        .map(|info| info.info.id)
        .map_err(|error| Error::bpf("read a map's number", &error))
}

/// Writes entries, many with one call.
pub(super) fn set<K: Plain, V: Plain>(map: &MapHandle, entries: &[(K, V)]) -> Result<()> {
    let what = || format!("write {} entries to map {}", entries.len(), name(map));
    let error = |error| Error::bpf(what(), &error);
    let step = || fault::step("write a map").map_err(|error| Error::io(what(), &error));
    if let [(key, value)] = entries {
        step()?;
        return map
            .update(bytes_of(key), bytes_of(value), MapFlags::ANY)
            .map_err(error);
    }
    for batch in entries.chunks(BATCH) {
        step()?;
        let keys: Vec<K> = batch.iter().map(|(key, _)| *key).collect();
        let values: Vec<V> = batch.iter().map(|(_, value)| *value).collect();
        map.update_batch(
            bytes_of_all(&keys),
            bytes_of_all(&values),
            u32::try_from(batch.len()).unwrap_or(u32::MAX),
            MapFlags::ANY,
            MapFlags::ANY,
        )
        .map_err(error)?;
    }
    Ok(())
}

/// Removes entries. What is not there any more is no error.
pub(super) fn remove<K: Plain>(map: &MapHandle, keys: &[K]) -> Result<()> {
    let what = || format!("remove an entry from map {}", name(map));
    for key in keys {
        fault::step("remove from a map").map_err(|error| Error::io(what(), &error))?;
        match map.delete(bytes_of(key)) {
            Err(error) if error.kind() != libbpf_rs::ErrorKind::NotFound => {
                return Err(Error::bpf(what(), &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Calls `each` with every entry, in no particular order. While others write, an entry may be missed
/// or come twice.
pub(super) fn for_each<K: Plain, V: Plain>(
    map: &MapHandle,
    mut each: impl FnMut(K, V),
) -> Result<()> {
    let error = |error: io::Error| Error::io(format!("read map {}", name(map)), &error);
    let mut reader = BatchReader::new(map).map_err(error)?;
    let mut misfits = false;
    while reader
        .next(|key, value| match (from_bytes(key), from_bytes(value)) {
            (Some(key), Some(value)) => each(key, value),
            _ => misfits = true,
        })
        .map_err(error)?
    {}
    if misfits {
        return Err(Error::found(
            format!("read map {}", name(map)),
            "its entries have another size than expected",
        ));
    }
    Ok(())
}

/// One value of an array; `None` beyond its end.
pub(super) fn get<K: Plain, V: Plain>(map: &MapHandle, key: &K) -> Result<Option<V>> {
    fault::step("look into a map")
        .map_err(|error| Error::io(format!("read map {}", name(map)), &error))?;
    let found = map
        .lookup(bytes_of(key), MapFlags::ANY)
        .map_err(|error| Error::bpf(format!("read map {}", name(map)), &error))?;
    Ok(found.as_deref().and_then(from_bytes))
}

/// One value of a per-CPU array, by CPU; empty beyond its end.
pub(super) fn get_percpu<V: Plain>(map: &MapHandle, index: u32) -> Result<Vec<V>> {
    let found = map
        .lookup_percpu(bytes_of(&index), MapFlags::ANY)
        .map_err(|error| Error::bpf(format!("read map {}", name(map)), &error))?;
    Ok(found
        .unwrap_or_default()
        .iter()
        .filter_map(|bytes| from_bytes(bytes))
        .collect())
}

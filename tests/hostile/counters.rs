//! What the programs have counted, read from their pinned maps.

use std::fs;
use std::path::Path;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use bridgewall::kernel::abi;
use bridgewall::observe::reason::Reason;

/// The maps.
pub struct Counters {
    drops: MapHandle,
    traffic: MapHandle,
}

/// The packets counted until some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    drops: Vec<u64>,
    /// Of the endpoints that were asked about.
    pub traffic: Vec<Traffic>,
}

/// Of one endpoint. Frames that are segmented later count as one, of all their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub sent: u64,
    pub sent_bytes: u64,
    pub sent_dropped: u64,
    pub received: u64,
    pub received_bytes: u64,
    pub received_dropped: u64,
}

impl Counters {
    /// Those of the daemon that pins here.
    pub fn open(pins: &Path) -> Self {
        let sets = fs::read_dir(pins).expect("list the pins");
        let set = sets
            .map(|entry| entry.expect("list the pins").path())
            .find(|path| path.join("drops").exists())
            .expect("the daemon has pinned its maps");
        let open = |name: &str| {
            MapHandle::from_pinned_path(set.join(name))
                .unwrap_or_else(|error| panic!("open the pinned map {name}: {error}"))
        };
        Self {
            drops: open("drops"),
            traffic: open("endpoint_traffic"),
        }
    }

    /// As they are now.
    pub fn read(&self, endpoints: &[u32]) -> Counts {
        let reasons = 0..abi::drop_reason::DROP_REASONS.0;
        Counts {
            drops: reasons.map(|reason| sums(&self.drops, reason)[0]).collect(),
            traffic: endpoints
                .iter()
                .map(|endpoint| {
                    // struct endpoint_counters: passed by hook, then dropped by hook; each packets
                    // and bytes.
                    let sums = sums(&self.traffic, *endpoint);
                    Traffic {
                        sent: sums[0],
                        sent_bytes: sums[1],
                        received: sums[2],
                        received_bytes: sums[3],
                        sent_dropped: sums[4],
                        received_dropped: sums[6],
                    }
                })
                .collect(),
        }
    }
}

/// An entry's 64-bit words, each summed over all CPUs.
fn sums(map: &MapHandle, index: u32) -> Vec<u64> {
    let by_cpu = map
        .lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY)
        .expect("read a counter")
        .expect("the counter exists");
    let words = by_cpu[0].len() / 8;
    (0..words)
        .map(|word| {
            by_cpu
                .iter()
                .map(|value| {
                    let bytes = value[word * 8..word * 8 + 8].try_into().expect("8 bytes");
                    u64::from_ne_bytes(bytes)
                })
                .sum()
        })
        .collect()
}

impl Counts {
    /// What was dropped since then: the reasons, each as often as it was counted.
    pub fn drops_since(&self, before: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        for reason in Reason::all() {
            let index = reason.raw() as usize;
            for _ in before.drops[index]..self.drops[index] {
                reasons.push(reason.name());
            }
        }
        reasons
    }
}

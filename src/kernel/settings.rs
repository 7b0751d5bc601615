//! What the kernel part is told by the configuration, which has checked it.

use std::path::PathBuf;

use super::abi;
use crate::config::{Attach, Config, Limits, MarkShift, Timeouts};

/// Bytes of events that nobody has read yet: a power of two, at least a page.
const EVENT_BYTES: u32 = 1 << 20;
/// Sets of first fragments that belong to one endpoint.
const FRAGMENT_SETS: u32 = abi::account::ACCOUNTS.0 << abi::fragment_room::FRAGMENT_SET_BITS.0;
/// The map of the networks' search trees, which grows with what a policy needs.
pub(super) const NETWORK_NODES: &str = "network_nodes";
/// How many blocks it has at first: 4 MB of kernel memory.
const NETWORK_NODES_AT_FIRST: u32 = 1 << 16;
/// Pairs of endpoint and reason whose events are counted against the limit.
const EVENT_LIMITS: u32 = 4_096;

/// Connections that all CPUs together remember, and each of them at least: powers of two.
const RECENT: u32 = 65_536;
const RECENT_OF_CPU: u32 = 256;

/// How many of them each of so many CPUs remembers, as a power of two.
pub(super) fn recent_bits(cpus: usize) -> u32 {
    let cpus = u32::try_from(cpus.next_power_of_two()).unwrap_or(RECENT);
    (RECENT / cpus).max(RECENT_OF_CPU).ilog2()
}

/// Everything that is decided before the first program is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelSettings {
    /// A folder of its own on a bpffs; what is pinned there outlives the daemon. If its parent is no
    /// bpffs, one is mounted there.
    pub pin_directory: PathBuf,
    /// How programs are attached.
    pub attach: Attach,
    /// Which half of the packet mark is ours.
    pub mark_shift: MarkShift,
    /// How much is made room for.
    pub limits: Limits,
    /// When a flow is as good as gone.
    pub timeouts: Timeouts,
    /// Events a second, for each endpoint and reason.
    pub event_burst: u32,
}

impl From<&Config> for KernelSettings {
    fn from(config: &Config) -> Self {
        Self {
            pin_directory: config.pin_directory.clone(),
            attach: config.attach,
            mark_shift: config.mark_shift,
            limits: config.limits,
            timeouts: config.timeouts,
            event_burst: config.events.burst,
        }
    }
}

impl Default for KernelSettings {
    fn default() -> Self {
        Self::from(&Config::default())
    }
}

impl KernelSettings {
    /// How many entries a map is to have on a machine with so many CPUs; `None` where the programs say so.
    pub(super) fn entries(&self, map: &str, cpus: usize) -> Option<u32> {
        let limits = &self.limits;
        Some(match map {
            "steps" => limits.steps,
            "policy" => limits.policy_entries,
            NETWORK_NODES => limits.network_blocks.min(NETWORK_NODES_AT_FIRST),
            "addresses" => limits.addresses,
            "published" => limits.published_ports,
            // Number 0 has an entry too, though nobody has that number.
            "endpoints" | "shortcuts" | "endpoint_traffic" | "reopened" | "accounts" => {
                limits.endpoints + 1
            }
            "rule_hits" => limits.rules + 1,
            "flows" => limits.flows + limits.new_flows,
            "recent" => u32::try_from(cpus).ok()?.checked_shl(recent_bits(cpus))?,
            "fragments" => (limits.endpoints + 1) * FRAGMENT_SETS,
            "events" => EVENT_BYTES,
            "event_limits" => EVENT_LIMITS,
            _ => return None,
        })
    }
}

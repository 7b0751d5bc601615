//! Counters, summed over all CPUs.

use std::ops::AddAssign;

use super::abi;
use super::error::Result;
use super::maps::{Maps, get_percpu};
use crate::state::numbers::{EndpointNumber, RuleNumber};

/// Packets, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    /// How many.
    pub packets: u64,
    /// How many bytes in them.
    pub bytes: u64,
}

impl AddAssign<abi::counter> for Counter {
    fn add_assign(&mut self, other: abi::counter) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

/// What became of one endpoint's packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointTraffic {
    /// Sent by it, and let through.
    pub sent: Counter,
    /// Sent by it, and dropped there.
    pub sent_dropped: Counter,
    /// Let through to it.
    pub received: Counter,
    /// Dropped before it.
    pub received_dropped: Counter,
}

/// Events that did not reach the daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventLosses {
    /// The ring buffer was full.
    pub full: u64,
    /// Over the rate limit.
    pub limited: u64,
}

/// Drops by reason, in the order of `enum drop_reason`.
pub(super) fn drops(maps: &Maps) -> Result<Vec<Counter>> {
    (0..abi::drop_reason::DROP_REASONS.0)
        .map(|reason| sum(get_percpu::<abi::counter>(&maps.drops, reason)?))
        .collect()
}

/// New connections that a rule decided.
pub(super) fn rule_hits(maps: &Maps, rule: RuleNumber) -> Result<Counter> {
    sum(get_percpu::<abi::counter>(&maps.rule_hits, rule.0)?)
}

fn sum(by_cpu: Vec<abi::counter>) -> Result<Counter> {
    let mut total = Counter::default();
    for counter in by_cpu {
        total += counter;
    }
    Ok(total)
}

/// What became of one endpoint's packets.
pub(super) fn endpoint_traffic(maps: &Maps, endpoint: EndpointNumber) -> Result<EndpointTraffic> {
    let [from, to] = [
        abi::hook::HOOK_FROM_ENDPOINT.0 as usize,
        abi::hook::HOOK_TO_ENDPOINT.0 as usize,
    ];
    let mut total = EndpointTraffic::default();
    for counters in get_percpu::<abi::endpoint_counters>(&maps.endpoint_traffic, endpoint.0)? {
        total.sent += counters.passed[from];
        total.sent_dropped += counters.dropped[from];
        total.received += counters.passed[to];
        total.received_dropped += counters.dropped[to];
    }
    Ok(total)
}

/// Events that did not reach the daemon.
pub(super) fn event_losses(maps: &Maps) -> Result<EventLosses> {
    let lost = |cause: abi::event_loss| -> Result<u64> {
        Ok(get_percpu::<u64>(&maps.event_losses, cause.0)?
            .into_iter()
            .fold(0, u64::wrapping_add))
    };
    Ok(EventLosses {
        full: lost(abi::event_loss::EVENT_LOST_FULL)?,
        limited: lost(abi::event_loss::EVENT_LOST_LIMITED)?,
    })
}

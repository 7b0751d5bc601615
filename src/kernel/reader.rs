//! Looking without changing anything: counters, connections, events.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::abi;
use super::accounts::{Accounts, EndpointFlows, FlowCounts};
use super::counters::{self, Counter, EndpointTraffic, EventLosses};
use super::error::Result;
use super::events::EventReader;
use super::flows::{self, Flow};
use super::maps::{MapMemory, Maps};
use crate::config::Timeouts;
use crate::state::numbers::{EndpointNumber, RuleNumber};

/// A way to look into the kernel without changing anything. Cheap to clone, for any thread.
#[derive(Debug, Clone)]
pub struct KernelReader {
    pub(super) maps: Arc<Maps>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) timeouts: Timeouts,
}

impl KernelReader {
    /// Drops by reason, in the order of `enum drop_reason`, from the first one on.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn drops(&self) -> Result<Vec<Counter>> {
        counters::drops(&self.maps)
    }

    /// New connections that a rule decided.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn rule_hits(&self, rule: RuleNumber) -> Result<Counter> {
        counters::rule_hits(&self.maps, rule)
    }

    /// What became of one endpoint's packets.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn endpoint_traffic(&self, endpoint: EndpointNumber) -> Result<EndpointTraffic> {
        counters::endpoint_traffic(&self.maps, endpoint)
    }

    /// Events that did not reach the daemon.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn event_losses(&self) -> Result<EventLosses> {
        counters::event_losses(&self.maps)
    }

    /// Connections, at most `limit`.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn flows(&self, limit: usize) -> Result<Vec<Flow>> {
        flows::list(&self.maps, &self.timeouts, limit)
    }

    /// How many connections there are in all, and how many were refused for that.
    #[must_use]
    pub fn flow_counts(&self) -> FlowCounts {
        self.accounts.total()
    }

    /// The same of one endpoint.
    #[must_use]
    pub fn endpoint_flows(&self, endpoint: EndpointNumber) -> EndpointFlows {
        self.accounts.of(endpoint)
    }

    /// The reading end of the events, which hands each one on. Only one at a time gets them.
    ///
    /// # Errors
    /// The ring buffer cannot be mapped.
    pub fn events(&self, each: impl FnMut(&abi::event) + Send + 'static) -> Result<EventReader> {
        EventReader::new(&self.maps.events, each)
    }

    /// Kernel memory by map.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn memory(&self) -> Result<BTreeMap<&'static str, MapMemory>> {
        self.maps.memory()
    }
}

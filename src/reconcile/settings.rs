//! What the inventory is told of the configuration.

use std::time::Duration;

use crate::config::Config;
use crate::inventory::endpoints::{PlainInterface, Settings};
use crate::state::numbers::EndpointNumber;

/// How long a port of a managed bridge must have been there, unknown to Docker, before it is taken
/// for nobody's. Docker makes the port about 200 ms before it knows the container's process.
const GRACE: Duration = Duration::from_secs(10);

/// Which interfaces the policy names is added at each look.
pub(super) fn inventory(config: &Config) -> Settings {
    Settings {
        managed: config.bridges.managed.clone(),
        excluded: config.bridges.excluded.clone(),
        uplinks: config.uplinks.interfaces.clone(),
        plain: config
            .interfaces
            .iter()
            .map(|interface| PlainInterface {
                interface: interface.name.clone(),
                mac: Some(interface.mac),
                addresses: interface.addresses.clone(),
            })
            .collect(),
        policy_interfaces: Vec::new(),
        last_number: EndpointNumber(config.limits.endpoints - 1),
        grace: GRACE,
    }
}

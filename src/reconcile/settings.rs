//! What the rooms are told of the configuration.

use std::time::Duration;

use crate::config::{Attach, Config};
use crate::inventory::endpoints::{PlainInterface, Settings};
use crate::kernel::{AttachMode, KernelSettings, MapSizes, Timeouts};
use crate::state::numbers::EndpointNumber;

/// How long a port of a managed bridge must have been there, unknown to Docker, before it is taken
/// for nobody's. Docker makes the port about 200 ms before it knows the container's process.
const GRACE: Duration = Duration::from_secs(10);

/// For the kernel.
pub(super) fn kernel(config: &Config) -> KernelSettings {
    let (limits, timeouts) = (&config.limits, &config.timeouts);
    let defaults = KernelSettings::default();
    KernelSettings {
        pin_directory: config.pin_directory.clone(),
        attach: match config.attach {
            Attach::Auto => AttachMode::Auto,
            Attach::Tcx => AttachMode::Tcx,
            Attach::Clsact => AttachMode::Clsact,
        },
        sizes: MapSizes {
            steps: limits.steps,
            policy: limits.policy_entries,
            networks: limits.networks,
            addresses: limits.addresses,
            endpoints: limits.endpoints,
            rules: limits.rules,
            new_flows: limits.new_flows,
            flows: limits.flows,
            ..defaults.sizes
        },
        mark_shift: config.mark_shift.bits(),
        event_burst: config.events.burst,
        timeouts: Timeouts {
            new: timeouts.new,
            tcp: timeouts.tcp,
            closing: timeouts.closing,
            udp: timeouts.udp,
            icmp: timeouts.icmp,
            other: timeouts.other,
            ..defaults.timeouts
        },
    }
}

/// For the inventory. Which interfaces the policy names is added at each look.
pub(super) fn inventory(config: &Config) -> Settings {
    Settings {
        managed: config.bridges.managed.clone(),
        excluded: config.bridges.excluded.clone(),
        uplinks: Vec::new(),
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

//! What the kernel part is told by the configuration.

use std::path::PathBuf;

use super::error::{Error, Result};
use crate::state::numbers::EndpointNumber;

/// Where pins are kept, unless told otherwise.
pub const PIN_DIRECTORY: &str = "/sys/fs/bpf/bridgewall";

/// Everything that is decided before the first program is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSettings {
    /// A folder of its own on a bpffs; what is pinned there outlives the daemon. If its parent is no
    /// bpffs, one is mounted there.
    pub pin_directory: PathBuf,
    /// How programs are attached.
    pub attach: AttachMode,
    /// How large the maps are.
    pub sizes: MapSizes,
    /// Where our 16 bits of the packet mark begin: 0 or 16.
    pub mark_shift: u32,
    /// Events a second, for each endpoint and reason.
    pub event_burst: u32,
    /// When a flow is as good as gone.
    pub timeouts: Timeouts,
}

impl Default for KernelSettings {
    fn default() -> Self {
        Self {
            pin_directory: PIN_DIRECTORY.into(),
            attach: AttachMode::Auto,
            sizes: MapSizes::default(),
            mark_shift: 16,
            event_burst: 10,
            timeouts: Timeouts::default(),
        }
    }
}

/// How programs are attached to interfaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// tcx where the kernel has it, else clsact; what is attached already may stay as it is.
    #[default]
    Auto,
    /// Links on tcx: they live with their pins, and stand before everybody else's.
    Tcx,
    /// Filters of a clsact queueing discipline: they live with the interface.
    Clsact,
}

/// Entries, if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapSizes {
    /// Steps of all policy lists together; two policies must fit.
    pub steps: u32,
    /// Policy entries; two policies must fit.
    pub policy: u32,
    /// Prefixes of each family; two policies must fit.
    pub networks: u32,
    /// Addresses of endpoints and of the host.
    pub addresses: u32,
    /// Endpoint numbers, 0 included.
    pub endpoints: u32,
    /// Rule numbers, 0 included.
    pub rules: u32,
    /// Connections that nobody has answered yet.
    pub new_flows: u32,
    /// Connections that were answered.
    pub flows: u32,
    /// Datagrams of which fragments are on the way.
    pub fragments: u32,
    /// Bytes of events that nobody has read yet: a power of two, at least a page.
    pub event_bytes: u32,
    /// Pairs of endpoint and reason whose events are limited.
    pub event_limits: u32,
}

impl Default for MapSizes {
    fn default() -> Self {
        Self {
            steps: 262_144,
            policy: 131_072,
            networks: 524_288,
            addresses: 16_384,
            endpoints: 4_096,
            rules: 4_096,
            new_flows: 65_536,
            flows: 262_144,
            fragments: 8_192,
            event_bytes: 1 << 20,
            event_limits: 4_096,
        }
    }
}

/// Idle time after which a flow is as good as gone, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Nobody has answered yet.
    pub new: u32,
    /// An established TCP connection.
    pub tcp: u32,
    /// A TCP connection after a FIN or RST.
    pub closing: u32,
    /// UDP.
    pub udp: u32,
    /// ICMP.
    pub icmp: u32,
    /// Everything else.
    pub other: u32,
    /// Fragments.
    pub fragment: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            new: 30,
            tcp: 21_600,
            closing: 30,
            udp: 180,
            icmp: 30,
            other: 600,
            fragment: 30,
        }
    }
}

impl KernelSettings {
    /// Whether the kernel can be asked for this at all.
    ///
    /// # Errors
    /// It cannot; the error names the setting and what it may be.
    pub fn check(&self) -> Result<()> {
        let wrong = |setting: &str, must: &str| Err(Error::found(setting.to_owned(), must));
        if !matches!(self.mark_shift, 0 | 16) {
            return wrong("mark_shift", "must be 0 or 16");
        }
        if self.pin_directory.parent().is_none() || !self.pin_directory.is_absolute() {
            return wrong("pin_directory", "must be an absolute path below a bpffs");
        }
        let sizes = &self.sizes;
        if !sizes.event_bytes.is_power_of_two() || sizes.event_bytes < 4096 {
            return wrong("event_bytes", "must be a power of two, 4096 or more");
        }
        if sizes.endpoints < 2 || sizes.endpoints > EndpointNumber::LAST.0 + 1 {
            return wrong("endpoints", "must be from 2 to 32768");
        }
        let counts = [
            ("steps", sizes.steps),
            ("policy", sizes.policy),
            ("networks", sizes.networks),
            ("addresses", sizes.addresses),
            ("rules", sizes.rules),
            ("new_flows", sizes.new_flows),
            ("flows", sizes.flows),
            ("fragments", sizes.fragments),
            ("event_limits", sizes.event_limits),
        ];
        // What the kernel can count to is far beyond what it has memory for.
        for (name, size) in counts {
            if !(1..=1 << 26).contains(&size) {
                return wrong(name, "must be from 1 to 67108864");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_would_refuse_is_refused_by_name() {
        assert!(KernelSettings::default().check().is_ok());
        let refused = |change: fn(&mut KernelSettings)| {
            let mut settings = KernelSettings::default();
            change(&mut settings);
            settings.check().expect_err("must be refused").to_string()
        };
        assert!(refused(|s| s.mark_shift = 8).starts_with("mark_shift: "));
        assert!(refused(|s| s.sizes.event_bytes = 5000).starts_with("event_bytes: "));
        assert!(refused(|s| s.sizes.endpoints = 40_000).starts_with("endpoints: "));
        assert!(refused(|s| s.sizes.flows = 0).starts_with("flows: "));
        assert!(refused(|s| s.pin_directory = "x".into()).starts_with("pin_directory: "));
    }
}

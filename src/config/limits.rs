//! How much there is room for, and for how long.

use serde::{Deserialize, Deserializer, Serialize, de};

/// What there is room for. Kernel memory is what these cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Endpoints at once.
    #[serde(deserialize_with = "within::<16, 32_767, _>")]
    pub endpoints: u32,
    /// Rules of one policy.
    #[serde(deserialize_with = "within::<16, 1_048_576, _>")]
    pub rules: u32,
    /// Steps of two compiled policies, the judging one and its successor.
    #[serde(deserialize_with = "within::<1_024, 16_777_216, _>")]
    pub steps: u32,
    /// Pairs of identities that have policy of their own, of two policies.
    #[serde(deserialize_with = "within::<1_024, 16_777_216, _>")]
    pub policy_entries: u32,
    /// Prefixes of networks in each family, of two policies.
    #[serde(deserialize_with = "within::<1_024, 16_777_216, _>")]
    pub networks: u32,
    /// Blocks of 64 bytes for the search trees of networks, of two policies, at most: memory is taken as
    /// it is needed.
    #[serde(deserialize_with = "within::<1_024, 67_108_864, _>")]
    pub network_blocks: u32,
    /// Addresses of endpoints and of the host.
    #[serde(deserialize_with = "within::<64, 1_048_576, _>")]
    pub addresses: u32,
    /// Ports of containers that the host publishes, by address.
    #[serde(deserialize_with = "within::<64, 1_048_576, _>")]
    pub published_ports: u32,
    /// Connections that were answered.
    #[serde(deserialize_with = "within::<1_024, 16_777_216, _>")]
    pub flows: u32,
    /// Connections that nobody has answered yet.
    #[serde(deserialize_with = "within::<1_024, 1_048_576, _>")]
    pub new_flows: u32,
    /// Answered connections that one endpoint may have opened; others may have opened as many to it.
    #[serde(deserialize_with = "within::<64, 8_388_608, _>")]
    pub flows_per_endpoint: u32,
    /// The same of connections that nobody has answered yet.
    #[serde(deserialize_with = "within::<64, 524_288, _>")]
    pub new_flows_per_endpoint: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            endpoints: 4_096,
            rules: 4_096,
            steps: 262_144,
            policy_entries: 131_072,
            networks: 2_097_152,
            network_blocks: 3_145_728,
            addresses: 16_384,
            published_ports: 16_384,
            flows: 262_144,
            new_flows: 65_536,
            flows_per_endpoint: 32_768,
            new_flows_per_endpoint: 4_096,
        }
    }
}

impl Limits {
    /// One endpoint can never fill a table, whatever is configured.
    ///
    /// # Errors
    /// It could: with both keys, and what to write instead.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, all, quota_key, quota) in [
            (
                "flows",
                self.flows,
                "flows_per_endpoint",
                self.flows_per_endpoint,
            ),
            (
                "new_flows",
                self.new_flows,
                "new_flows_per_endpoint",
                self.new_flows_per_endpoint,
            ),
        ] {
            if quota > all / 2 {
                return Err(format!(
                    "limits.{quota_key} ({quota}) is more than half of limits.{key} ({all}), so that \
                     one endpoint could take its neighbours' room: write {} or less, or a larger {key}",
                    all / 2
                ));
            }
        }
        Ok(())
    }

    /// What one policy may need: maps that hold two have twice that.
    #[must_use]
    pub const fn of_one_policy(&self) -> crate::compile::limits::Limits {
        crate::compile::limits::Limits {
            steps: self.steps as usize / 2,
            pairs: self.policy_entries as usize / 2,
            networks4: self.networks as usize / 2,
            networks6: self.networks as usize / 2,
            // Number 0 is the default's, and no endpoint's.
            rules: self.rules as usize - 1,
            endpoints: self.endpoints as usize - 1,
            identities: crate::compile::limits::Limits::MOST_IDENTITIES,
            addresses: self.addresses as usize,
        }
    }
}

/// After how many seconds without a packet a connection is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// TCP before its handshake is over.
    #[serde(deserialize_with = "within::<1, 604_800, _>")]
    pub tcp_new: u32,
    /// TCP.
    #[serde(deserialize_with = "within::<1, 604_800, _>")]
    pub tcp: u32,
    /// TCP that both sides have closed, or one has reset.
    #[serde(deserialize_with = "within::<1, 604_800, _>")]
    pub tcp_closing: u32,
    /// UDP that nobody has answered yet.
    #[serde(deserialize_with = "within::<1, 604_800, _>")]
    pub udp_new: u32,
    /// UDP.
    #[serde(deserialize_with = "within::<1, 604_800, _>")]
    pub udp: u32,
    /// ICMP.
    #[serde(deserialize_with = "within::<1, 604_800, _>")]
    pub icmp: u32,
    /// Everything else.
    #[serde(deserialize_with = "within::<1, 604_800, _>")]
    pub other: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_new: 60,
            tcp: 432_000,
            tcp_closing: 30,
            udp_new: 30,
            udp: 180,
            icmp: 30,
            other: 600,
        }
    }
}

pub(super) fn within<'de, const MIN: u32, const MAX: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u32, D::Error> {
    let number = i64::deserialize(deserializer)?;
    u32::try_from(number)
        .ok()
        .filter(|number| (MIN..=MAX).contains(number))
        .ok_or_else(|| de::Error::custom(format!("{number} is not between {MIN} and {MAX}")))
}

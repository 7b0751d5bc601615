//! The host's ways to the outside, and who may always get in to manage it.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{pattern_texts, patterns};
use crate::policy::model::Pattern;

/// The host's ways to the outside, where its own policy is enforced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Uplinks {
    /// Names, as globs. None: the interfaces that default routes lead to.
    #[serde(deserialize_with = "patterns", serialize_with = "pattern_texts")]
    pub interfaces: Vec<Pattern>,
    /// How much earlier than by tc denied sources are dropped.
    pub xdp: Xdp,
}

/// Where XDP programs run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Xdp {
    /// In the driver if it can, else behind it.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// Behind the driver.
    Generic,
    /// Nowhere: tc does all of the work.
    Off,
}

/// Who may always get in to manage the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Management {
    /// Whether anybody may, whatever the policy says.
    pub enabled: bool,
    /// The host's ports to which connections that are there when a policy is taken stay allowed.
    pub ports: Vec<NonZeroU16>,
    /// Who may besides.
    pub allow: Vec<Allowance>,
}

impl Default for Management {
    fn default() -> Self {
        Self {
            enabled: true,
            ports: NonZeroU16::new(22).into_iter().collect(),
            allow: Vec::new(),
        }
    }
}

/// These may reach this TCP port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// From where.
    pub from: Remote,
    /// Which of the host's ports.
    pub port: NonZeroU16,
}

impl Allowance {
    /// Both families' prefixes that it stands for.
    #[must_use]
    pub fn prefixes(&self) -> Vec<IpNet> {
        match self.from {
            Remote::Any => vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())],
            Remote::Network(network) => vec![network],
        }
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to port {}/tcp", self.from, self.port)
    }
}

/// Where somebody comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Remote {
    /// Anywhere.
    Any,
    /// Here.
    Network(IpNet),
}

impl FromStr for Remote {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let network = address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
            format!("`{text}` is neither an address nor a network: write 203.0.113.7, 2001:db8::/48 or any")
        })?;
        if network.trunc() != network {
            return Err(format!(
                "`{text}` has bits set behind its prefix: did you mean {}?",
                network.trunc()
            ));
        }
        Ok(Self::Network(network))
    }
}

impl TryFrom<String> for Remote {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Remote> for String {
    fn from(remote: Remote) -> Self {
        remote.to_string()
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", network.addr())
            }
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

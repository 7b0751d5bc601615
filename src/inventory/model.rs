//! What is on this host: endpoints, and the host's own addresses. Plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::state::numbers::EndpointNumber;

/// Everything that policy is compiled for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// By number.
    pub endpoints: BTreeMap<EndpointNumber, Endpoint>,
    /// All addresses of the host's own interfaces, bridges included.
    pub host_addresses: BTreeSet<HostAddress>,
}

/// An address of the host itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// The interface it is on; matters for link-local addresses, which are known by it.
    pub ifindex: u32,
}

/// One interface on this host that is watched: a container's attachment to a managed bridge network,
/// or a plain interface named in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Given when the interface is first seen.
    pub number: EndpointNumber,
    /// The host-side interface's name.
    pub interface: String,
    /// The host-side interface's index.
    pub ifindex: u32,
    /// The index of the bridge it is a port of.
    pub bridge: Option<u32>,
    /// Who it is, once that is known. Until then nothing passes.
    pub owner: Option<Owner>,
}

/// Who is behind an endpoint, by an authority that the endpoint itself cannot influence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The only MAC address it may send from.
    pub mac: MacAddress,
    /// The only addresses it may send from (beside the link-local one that follows from the MAC).
    pub addresses: BTreeSet<IpAddr>,
    /// What identities are chosen by.
    pub attributes: Attributes,
    /// Ports of the host that lead to it.
    #[serde(default)]
    pub published: BTreeSet<PublishedPort>,
}

/// A port of a container that the host publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublishedPort {
    /// At which address of the host; the unspecified one: at all of its family.
    pub address: IpAddr,
    /// TCP, UDP or SCTP, by its number.
    pub protocol: u8,
    /// The host's port.
    pub host_port: u16,
    /// The container's.
    pub port: u16,
}

/// What identities are chosen by.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attributes {
    /// Docker's container id; `None` for a plain interface.
    pub container: Option<String>,
    /// Container name, without the leading slash; the interface's name for a plain interface.
    pub name: String,
    /// Image, as the container was started with it.
    pub image: Option<String>,
    /// Docker network of this attachment.
    pub network: Option<String>,
    /// Compose project.
    pub project: Option<String>,
    /// The host-side interface's name.
    pub interface: String,
    /// The container's labels.
    pub labels: BTreeMap<String, String>,
}

/// An Ethernet address (IEEE 802).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Whether one interface may send from it: neither zero nor a group's.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.0 != [0; 6] && self.0[0] & 1 == 0
    }
}

/// Whether one interface may send from it: not unspecified, loopback, multicast, broadcast or an
/// IPv4-mapped one.
#[must_use]
pub fn is_usable_address(address: IpAddr) -> bool {
    let special = match address {
        IpAddr::V4(address) => address.octets()[0] == 0 || address.is_broadcast(),
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
    };
    !(special || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

impl TryFrom<String> for MacAddress {
    type Error = MacAddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Not six hexadecimal bytes with colons between.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address: write six hexadecimal bytes, such as 02:42:ac:11:00:02")]
pub struct MacAddressError(String);

impl std::str::FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || MacAddressError(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
                .ok_or_else(error)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_reads_as_it_is_written_and_nothing_else_does() {
        let mac: MacAddress = "02:42:ac:11:00:0a".parse().unwrap();
        assert_eq!(mac, MacAddress([2, 0x42, 0xac, 0x11, 0, 10]));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:0a");
        for odd in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:0a:0b",
            "02:42:ac:11:00:+a",
            "02-42-ac-11-00-0a",
            "2:42:ac:11:0:a",
        ] {
            assert!(odd.parse::<MacAddress>().is_err(), "{odd}");
        }
    }
}

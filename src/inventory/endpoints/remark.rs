//! What people should know about the inventory.

use std::fmt;
use std::net::IpAddr;

use crate::inventory::model::MacAddress;

/// Something about an endpoint or a network that people should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    /// Nothing passes at this interface, and why.
    Unnamed {
        /// The host-side interface.
        interface: String,
        /// Why it has no name.
        why: Why,
    },
    /// An address that somebody else holds already.
    AddressTaken {
        /// Who wants it too.
        interface: String,
        /// The address.
        address: IpAddr,
        /// Who has it.
        holder: String,
    },
    /// An address that the other end gave itself, and that is in no network of that side.
    AddressOffLink {
        /// The host-side interface.
        interface: String,
        /// The address.
        address: IpAddr,
    },
    /// More addresses than are checked.
    TooManyAddresses {
        /// The host-side interface.
        interface: String,
        /// How many of one family there may be.
        limit: usize,
    },
    /// What was taken for one container's interface is another one's.
    Corrected {
        /// The host-side interface.
        interface: String,
        /// Whose it was taken for.
        was: String,
    },
    /// The interface is there, and Docker does not know its container's attachment any more.
    Stale {
        /// The host-side interface.
        interface: String,
        /// The container's name.
        name: String,
    },
    /// An interface that the policy or the settings name does not exist.
    NoSuchInterface {
        /// As it is named there.
        interface: String,
    },
    /// An interface that the policy or the settings name cannot be an endpoint.
    NotAnEndpoint {
        /// The interface.
        interface: String,
        /// Why.
        reason: &'static str,
    },
    /// A Docker network whose bridge is not watched.
    UnmanagedNetwork {
        /// The network's name.
        network: String,
        /// Its bridge interface.
        bridge: String,
    },
    /// All endpoint numbers are in use.
    NumbersExhausted {
        /// The interface that gets none.
        interface: String,
    },
    /// Docker said something that makes no sense.
    Odd(String),
}

/// Why an endpoint has no name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Docker has not said yet whose it is.
    Pending,
    /// Docker does not answer.
    DockerAway,
    /// It leads to a container that is not attached to this bridge.
    NotAttached {
        /// The container's name or id.
        container: String,
    },
    /// More than one interface leads from this bridge to that container.
    Ambiguous {
        /// The container's name.
        container: String,
    },
    /// A container's interface on this bridge is missing, and this may be it.
    MaybeMissing {
        /// The container's name.
        container: String,
    },
    /// It has no other end in another namespace that could be read.
    NoPeer,
    /// Its MAC address is somebody else's.
    MacTaken {
        /// The address.
        mac: MacAddress,
        /// Who has it.
        holder: String,
    },
}

impl Remark {
    /// Whether something that should work does not, as opposed to something worth knowing.
    #[must_use]
    pub const fn is_trouble(&self) -> bool {
        match self {
            Self::Unnamed { why, .. } => !matches!(why, Why::Pending),
            Self::AddressTaken { .. }
            | Self::AddressOffLink { .. }
            | Self::TooManyAddresses { .. }
            | Self::NotAnEndpoint { .. }
            | Self::NumbersExhausted { .. } => true,
            Self::Corrected { .. }
            | Self::Stale { .. }
            | Self::NoSuchInterface { .. }
            | Self::UnmanagedNetwork { .. }
            | Self::Odd(_) => false,
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed { interface, why } => write!(f, "{interface}: nothing passes: {why}"),
            Self::AddressTaken {
                interface,
                address,
                holder,
            } => write!(f, "{interface}: {address} belongs to {holder} already"),
            Self::AddressOffLink { interface, address } => write!(
                f,
                "{interface}: {address} is in none of the host's networks there: give it in \
                 bridgewall.toml if it is right"
            ),
            Self::TooManyAddresses { interface, limit } => write!(
                f,
                "{interface}: more than {limit} addresses of one family; the others are left out"
            ),
            Self::Corrected { interface, was } => {
                write!(f, "{interface}: it is not {was}'s, as its MAC address said")
            }
            Self::Stale { interface, name } => write!(
                f,
                "{interface}: Docker does not know this attachment of {name} any more"
            ),
            Self::NoSuchInterface { interface } => {
                write!(f, "{interface}: no such interface (yet)")
            }
            Self::NotAnEndpoint { interface, reason } => {
                write!(f, "{interface}: cannot be an endpoint: {reason}")
            }
            Self::UnmanagedNetwork { network, bridge } => write!(
                f,
                "the Docker network {network} is unprotected: add its bridge {bridge} to `managed` in \
                 bridgewall.toml"
            ),
            Self::NumbersExhausted { interface } => write!(
                f,
                "{interface}: nothing passes: all endpoint numbers are in use; raise the limit in \
                 bridgewall.toml"
            ),
            Self::Odd(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("Docker has not said yet whose it is"),
            Self::DockerAway => {
                f.write_str("Docker does not answer, so it is not known whose it is")
            }
            Self::NotAttached { container } => write!(
                f,
                "it leads to the container {container}, which Docker has not attached to this bridge"
            ),
            Self::Ambiguous { container } => write!(
                f,
                "more than one interface leads from this bridge to the container {container}"
            ),
            Self::MaybeMissing { container } => write!(
                f,
                "the container {container} is attached to this bridge but none of its interfaces is \
                 here, so this may be it"
            ),
            Self::NoPeer => f.write_str(
                "it has no other end to read a MAC address from: give it in bridgewall.toml",
            ),
            Self::MacTaken { mac, holder } => {
                write!(f, "its MAC address {mac} belongs to {holder} already")
            }
        }
    }
}

//! The numbers by which the kernel knows things. See `abi.h`, "Identities", for their layout.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::policy::model::Side;

/// The integer the kernel sees for a peer: the host, one distinct set of identities, or one distinct
/// set of networks of the world outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityNumber(pub u32);

impl IdentityNumber {
    /// Nobody: never in a map.
    pub const NONE: Self = Self(0);
    /// The host.
    pub const HOST: Self = Self(1);
    /// The first one of an endpoint.
    pub const FIRST_ENDPOINT: Self = Self(2);
    /// The last one of an endpoint.
    pub const LAST_ENDPOINT: Self = Self(16_383);
    const WORLD: u32 = 0x8000_0000;
    const LAN: u32 = 0x4000_0000;
    /// The largest `n` of [`Self::internet`] and [`Self::lan`].
    pub const LAST_WORLD: u32 = 0x3fff_ffff;

    /// The n-th set of networks in the public part of the world; 0 is "in no network".
    #[must_use]
    pub const fn internet(n: u32) -> Self {
        Self(Self::WORLD | n)
    }

    /// The n-th set of networks in the local part of the world; 0 is "in no network".
    #[must_use]
    pub const fn lan(n: u32) -> Self {
        Self(Self::WORLD | Self::LAN | n)
    }

    /// What kind of peer this is.
    #[must_use]
    pub const fn kind(self) -> PeerKind {
        if self.0 & Self::WORLD == 0 {
            if self.0 == Self::HOST.0 {
                PeerKind::Host
            } else {
                PeerKind::Endpoint
            }
        } else if self.0 & Self::LAN == 0 {
            PeerKind::Internet
        } else {
            PeerKind::Lan
        }
    }
}

impl fmt::Display for IdentityNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            PeerKind::Host | PeerKind::Endpoint => write!(f, "{}", self.0),
            PeerKind::Lan => write!(f, "lan:{}", self.0 & Self::LAST_WORLD),
            PeerKind::Internet => write!(f, "internet:{}", self.0 & Self::LAST_WORLD),
        }
    }
}

/// The kinds of peer that a subject's generic lists are kept for, in the kernel's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum PeerKind {
    /// The host's own processes.
    Host = 0,
    /// An endpoint.
    Endpoint = 1,
    /// The local part of the world.
    Lan = 2,
    /// The rest of the world.
    Internet = 3,
}

impl PeerKind {
    /// All of them, in the kernel's order.
    pub const ALL: [Self; 4] = [Self::Host, Self::Endpoint, Self::Lan, Self::Internet];
}

/// A rule's number in entries, counters and events: stable while the rule's text is. 0: the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleNumber(pub u32);

impl RuleNumber {
    /// No rule spoke: the default decided.
    pub const DEFAULT: Self = Self(0);
}

/// An endpoint's number: index of its record, and what the packet mark carries. 1 to 32,767.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointNumber(pub u32);

impl EndpointNumber {
    /// The first one in use.
    pub const FIRST: Self = Self(1);
    /// The last one that the packet mark has room for.
    pub const LAST: Self = Self(32_767);
}

/// The two slots that hold two complete policies, one of which judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Slot 0.
    A,
    /// Slot 1.
    B,
}

impl Slot {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The kernel's number.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The key of one policy entry: what `subject` does, on its `side`, with `peer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairKey {
    /// The side that judges.
    pub side: Side,
    /// Whose side it is: the host or an endpoint's identity.
    pub subject: IdentityNumber,
    /// The other end of the connection.
    pub peer: IdentityNumber,
}

//! What `explain` is asked.

use serde::{Deserialize, Serialize};

/// What would become of a connection? In the words of the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who opens it: an identity, entity, network, container or address.
    pub from: String,
    /// Who it is opened to.
    pub to: String,
    /// What for.
    pub traffic: Asked,
}

/// What a connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asked {
    /// `80/tcp`, `53/udp`, `443`.
    Port(String),
    /// `echo-request`, `ipv6:128/0`.
    Icmp(String),
    /// `gre`, `47`.
    Protocol(String),
}

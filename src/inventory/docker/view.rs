//! What Docker says is on this host, checked. Plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::inventory::model::{MacAddress, PublishedPort};

/// What Docker says is on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerView {
    /// All networks, by id.
    pub networks: Vec<DockerNetwork>,
    /// Containers' attachments to bridge networks, those of starting containers included.
    pub attachments: Vec<Attachment>,
    /// Where the network namespaces of running containers are found, by container id.
    pub sandboxes: BTreeMap<String, Sandbox>,
    /// Running containers with traffic that no bridge of this host carries.
    pub unprotected: Vec<Unprotected>,
    /// Running containers that live in another one's network namespace.
    pub sharers: Vec<Sharer>,
    /// What Docker said that makes no sense and was left out, for people.
    pub warnings: Vec<String>,
}

/// A Docker network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerNetwork {
    /// Docker's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `bridge`, `host`, `null`, `macvlan`, ...
    pub driver: String,
    /// The bridge interface, of a bridge network.
    pub bridge: Option<String>,
    /// The ranges its addresses are from.
    pub subnets: Vec<IpNet>,
}

/// A container, as far as identities are chosen by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Docker's id.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// As the container was started with it.
    pub image: Option<String>,
    /// Its labels, the image's included.
    pub labels: BTreeMap<String, String>,
    /// Compose project.
    pub project: Option<String>,
}

/// A container on a bridge network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Docker's id of this attachment: another one each time the container is started.
    pub endpoint: String,
    /// Who.
    pub container: Arc<Container>,
    /// The network's name.
    pub network: String,
    /// The network's bridge interface.
    pub bridge: String,
    /// The MAC address that Docker assigned.
    pub mac: MacAddress,
    /// The addresses that Docker assigned, of both families.
    pub addresses: BTreeSet<IpAddr>,
    /// Ports of the host that lead to the container by this attachment.
    pub published: BTreeSet<PublishedPort>,
    /// Whether the container runs; else it is being started, and none of its processes has run yet.
    pub running: bool,
}

/// Where a running container's network namespace is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Docker's own file for the namespace.
    pub file: Option<PathBuf>,
    /// The container's first process.
    pub pid: Option<u32>,
}

/// A container with traffic that is out of reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unprotected {
    /// Docker's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// The network's name.
    pub network: String,
    /// The network's driver.
    pub driver: String,
}

/// A container in another one's network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharer {
    /// Who.
    pub container: Arc<Container>,
    /// Docker's id of the container that owns the namespace.
    pub owner: String,
}

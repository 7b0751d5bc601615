//! The engine's answers as they come: only the parts that are used, nothing checked. Go writes an
//! empty map or list as `null`, so everything is optional.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `GET /version`.
#[derive(Debug, Deserialize)]
pub(super) struct VersionAnswer {
    #[serde(rename = "ApiVersion")]
    pub api_version: Option<String>,
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: Option<String>,
    #[serde(rename = "Version")]
    pub version: Option<String>,
}

/// What comes with a status that is not a success.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorAnswer {
    pub message: Option<String>,
}

/// An element of `GET /networks`, and `GET /networks/{id}`; only the latter has `containers`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkAnswer {
    pub id: Option<String>,
    pub name: Option<String>,
    pub driver: Option<String>,
    #[serde(rename = "IPAM")]
    pub ipam: Option<Ipam>,
    pub options: Option<BTreeMap<String, String>>,
    pub containers: Option<BTreeMap<String, EndpointAnswer>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Ipam {
    pub config: Option<Vec<IpamConfig>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct IpamConfig {
    pub subnet: Option<String>,
}

/// What a network says of one of its containers.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct EndpointAnswer {
    #[serde(rename = "EndpointID")]
    pub endpoint_id: Option<String>,
    #[serde(rename = "MacAddress")]
    pub mac_address: Option<String>,
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: Option<String>,
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: Option<String>,
}

/// An element of `GET /containers/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerAnswer {
    pub id: Option<String>,
    pub names: Option<Vec<String>>,
    pub image: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    pub state: Option<String>,
    pub ports: Option<Vec<PortAnswer>>,
    pub host_config: Option<HostConfig>,
    pub network_settings: Option<NetworkSettings>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfig {
    pub network_mode: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkSettings {
    pub networks: Option<BTreeMap<String, Option<EndpointSettings>>>,
}

/// A port of a container; what is not published has neither address nor public port.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct PortAnswer {
    #[serde(rename = "IP")]
    pub ip: Option<String>,
    #[serde(rename = "PrivatePort")]
    pub private_port: Option<u16>,
    #[serde(rename = "PublicPort")]
    pub public_port: Option<u16>,
    #[serde(rename = "Type")]
    pub kind: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpam>,
    #[serde(rename = "Gateway")]
    pub gateway: Option<String>,
    #[serde(rename = "GwPriority")]
    pub gateway_priority: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct EndpointIpam {
    #[serde(rename = "LinkLocalIPs")]
    pub link_local_ips: Option<Vec<String>>,
}

/// `GET /containers/{id}/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DetailAnswer {
    pub state: Option<DetailState>,
    pub config: Option<DetailConfig>,
    pub network_settings: Option<DetailNetwork>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DetailState {
    pub pid: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DetailConfig {
    pub image: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DetailNetwork {
    pub sandbox_key: Option<String>,
}

/// One line of `GET /events`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    #[serde(rename = "Action")]
    pub action: Option<String>,
    #[serde(rename = "Actor")]
    pub actor: Option<Actor>,
    #[serde(rename = "timeNano")]
    pub time_nano: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Actor {
    #[serde(rename = "ID")]
    pub id: Option<String>,
    #[serde(rename = "Attributes")]
    pub attributes: Option<BTreeMap<String, String>>,
}

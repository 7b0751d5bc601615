//! What the engine has told so far, answer by answer, and the view that follows from it. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::answers::{
    ContainerAnswer, DetailAnswer, EndpointAnswer, EndpointSettings, NetworkAnswer,
};
use super::ports;
use super::transport::printable;
use super::view::{Attachment, Container, DockerNetwork, DockerView, Sandbox, Sharer, Unprotected};
use crate::inventory::model::{MacAddress, PublishedPort};

const PROJECT_LABEL: &str = "com.docker.compose.project";
const BRIDGE_OPTION: &str = "com.docker.network.bridge.name";
/// A container's labels together. More than that is not somebody's idea of a label.
const LABELS_BYTES: usize = 1 << 20;
const NAME_BYTES: usize = 4096;
/// `IFNAMSIZ` without the final NUL.
const INTERFACE_NAME_BYTES: usize = 15;

/// The engine's networks and containers.
#[derive(Debug, Default)]
pub(super) struct Table {
    networks: BTreeMap<String, NetworkEntry>,
    containers: BTreeMap<String, ContainerEntry>,
}

#[derive(Debug)]
struct NetworkEntry {
    network: DockerNetwork,
    members: BTreeMap<String, EndpointAnswer>,
}

#[derive(Debug)]
struct ContainerEntry {
    /// `Err`: why it is left out.
    container: Result<Container, String>,
    running: bool,
    network_mode: String,
    /// Its networks, by name.
    networks: BTreeMap<String, Membership>,
    /// Ports of the host that lead to it.
    published: BTreeSet<PublishedPort>,
    detail: Option<Detail>,
    /// Counts starts and stops: an answer about an earlier life is not taken for this one.
    life: u64,
}

/// What a container says of one of its networks.
#[derive(Debug, Default)]
struct Membership {
    /// Link-local addresses that were assigned by hand.
    link_local: Vec<String>,
    has_gateway: bool,
    priority: i64,
}

impl From<Option<&EndpointSettings>> for Membership {
    fn from(settings: Option<&EndpointSettings>) -> Self {
        let Some(settings) = settings else {
            return Self::default();
        };
        let ipam = settings.ipam_config.as_ref();
        Self {
            link_local: ipam
                .and_then(|ipam| ipam.link_local_ips.clone())
                .unwrap_or_default(),
            has_gateway: settings.gateway.as_ref().is_some_and(|g| !g.is_empty()),
            priority: settings.gateway_priority.unwrap_or(0),
        }
    }
}

impl ContainerEntry {
    /// Whether its published ports lead through this network: the engine publishes them where the
    /// container's way to the outside is, which is the first by this order.
    fn publishes_on(&self, network: &DockerNetwork, all: &BTreeMap<String, NetworkEntry>) -> bool {
        let bridges: BTreeSet<&str> = all
            .values()
            .filter(|entry| entry.network.bridge.is_some())
            .map(|entry| entry.network.name.as_str())
            .collect();
        let first = self
            .networks
            .iter()
            .filter(|(name, _)| bridges.contains(name.as_str()))
            .min_by_key(|(name, member)| {
                (!member.has_gateway, Reverse(member.priority), name.as_str())
            });
        first.is_none_or(|(name, _)| *name == network.name)
    }
}

#[derive(Debug, Clone)]
struct Detail {
    sandbox: Sandbox,
    image: Option<String>,
}

/// Whether this is an id as Docker gives them, and so may be put into a path.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Table {
    /// Takes the list of all networks; those that are not in it are gone.
    pub fn set_networks(&mut self, answers: &[NetworkAnswer]) {
        let ids: BTreeSet<_> = answers.iter().filter_map(|n| n.id.as_deref()).collect();
        self.networks.retain(|id, _| ids.contains(id.as_str()));
        for answer in answers {
            self.set_network(answer);
        }
    }

    /// Takes what one network says; without `containers`, those known before are kept.
    pub fn set_network(&mut self, answer: &NetworkAnswer) {
        let Some(id) = answer.id.as_deref().filter(|id| is_id(id)) else {
            return;
        };
        let driver = printable(answer.driver.as_deref().unwrap_or_default());
        let configuration = answer.ipam.as_ref().and_then(|ipam| ipam.config.as_deref());
        let network = DockerNetwork {
            id: id.to_owned(),
            name: printable(answer.name.as_deref().unwrap_or_default()),
            bridge: (driver == "bridge")
                .then(|| bridge_name(id, answer))
                .flatten(),
            driver,
            subnets: configuration
                .unwrap_or_default()
                .iter()
                .filter_map(|config| config.subnet.as_deref()?.parse::<IpNet>().ok())
                .collect(),
        };
        let old = self.networks.remove(id);
        let members = match &answer.containers {
            Some(members) => members.clone(),
            None => old.map(|old| old.members).unwrap_or_default(),
        };
        let entry = NetworkEntry { network, members };
        self.networks.insert(id.to_owned(), entry);
    }

    /// Forgets a network.
    pub fn remove_network(&mut self, id: &str) {
        self.networks.remove(id);
    }

    /// The networks whose containers are of interest.
    pub fn bridge_networks(&self) -> Vec<String> {
        self.networks
            .values()
            .filter(|entry| entry.network.bridge.is_some())
            .map(|entry| entry.network.id.clone())
            .collect()
    }

    /// Takes the list of all containers; those that are not in it are gone.
    pub fn set_containers(&mut self, answers: &[ContainerAnswer]) {
        let ids: BTreeSet<_> = answers.iter().filter_map(|c| c.id.as_deref()).collect();
        self.containers.retain(|id, _| ids.contains(id.as_str()));
        for answer in answers {
            self.set_container(answer);
        }
    }

    /// Takes what is listed of one container.
    pub fn set_container(&mut self, answer: &ContainerAnswer) {
        let Some(id) = answer.id.as_deref().filter(|id| is_id(id)) else {
            return;
        };
        let running = matches!(answer.state.as_deref(), Some("running" | "paused"));
        let old = self.containers.remove(id);
        let was_running = old.as_ref().is_some_and(|old| old.running);
        let life = old.as_ref().map_or(0, |old| old.life);
        let settings = answer.network_settings.as_ref();
        let networks = settings.and_then(|settings| settings.networks.as_ref());
        let known = old.as_ref().and_then(|old| old.container.as_ref().ok());
        let known = known.map(|container| container.name.as_str());
        let entry = ContainerEntry {
            container: container(id, answer, known),
            running,
            network_mode: answer
                .host_config
                .as_ref()
                .and_then(|config| config.network_mode.clone())
                .unwrap_or_default(),
            networks: networks
                .into_iter()
                .flatten()
                .map(|(name, settings)| (name.clone(), settings.as_ref().into()))
                .collect(),
            published: ports::published(answer.ports.as_deref().unwrap_or_default()),
            detail: old.and_then(|old| old.detail).filter(|_| running),
            life: life + u64::from(was_running != running),
        };
        self.containers.insert(id.to_owned(), entry);
    }

    /// Forgets a container.
    pub fn remove_container(&mut self, id: &str) {
        self.containers.remove(id);
    }

    /// Takes a container's new name.
    pub fn rename(&mut self, id: &str, name: &str) {
        let entry = self.containers.get_mut(id);
        if let Some(Ok(container)) = entry.map(|entry| &mut entry.container) {
            name.clone_into(&mut container.name);
        }
    }

    /// Forgets what is known of a container's present life: it ended, or another one began.
    pub fn new_life(&mut self, id: &str) {
        if let Some(entry) = self.containers.get_mut(id) {
            entry.detail = None;
            entry.life += 1;
        }
    }

    /// Containers that networks mention and that are not known.
    pub fn missing(&self) -> Vec<String> {
        let members = self.networks.values().flat_map(|n| n.members.keys());
        let unknown: BTreeSet<_> = members
            .filter(|id| is_id(id) && !self.containers.contains_key(*id))
            .collect();
        unknown.into_iter().cloned().collect()
    }

    /// Running containers whose namespace is not known, with their present life.
    pub fn uninspected(&self) -> Vec<(String, u64)> {
        self.containers
            .iter()
            .filter(|(_, entry)| entry.running && entry.detail.is_none())
            .map(|(id, entry)| (id.clone(), entry.life))
            .collect()
    }

    /// Takes a container's details, if they are about its present life.
    pub fn set_detail(&mut self, id: &str, life: u64, answer: &DetailAnswer) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        if entry.life != life || !entry.running {
            return;
        }
        let pid = answer.state.as_ref().and_then(|state| state.pid);
        let network = answer.network_settings.as_ref();
        let file = network.and_then(|network| network.sandbox_key.as_deref());
        entry.detail = Some(Detail {
            sandbox: Sandbox {
                file: file.filter(|file| file.starts_with('/')).map(PathBuf::from),
                pid: pid
                    .and_then(|pid| u32::try_from(pid).ok())
                    .filter(|pid| *pid > 0),
            },
            image: answer
                .config
                .as_ref()
                .and_then(|config| config.image.clone()),
        });
    }

    /// What follows from all that.
    pub fn view(&self) -> DockerView {
        let mut view = DockerView {
            networks: self.networks.values().map(|n| n.network.clone()).collect(),
            ..DockerView::default()
        };
        let mut containers = BTreeMap::new();
        for (id, entry) in &self.containers {
            match &entry.container {
                Ok(container) => {
                    let mut container = container.clone();
                    if let Some(image) = entry.detail.as_ref().and_then(|d| d.image.as_ref()) {
                        container.image = Some(image.clone());
                    }
                    containers.insert(id.as_str(), (Arc::new(container), entry));
                }
                Err(warning) => view.warnings.push(warning.clone()),
            }
        }
        for (id, (container, entry)) in &containers {
            self.view_container(&mut view, id, container, entry);
        }
        for NetworkEntry { network, members } in self.networks.values() {
            let Some(bridge) = &network.bridge else {
                continue;
            };
            for (id, member) in members {
                // "ep-...": an attachment that is not yet, or no more, a container's.
                let Some((container, entry)) = containers.get(id.as_str()) else {
                    continue;
                };
                let membership = entry.networks.get(&network.name);
                let link_local = membership.map(|membership| &membership.link_local);
                match attachment(network, bridge, container, member, link_local) {
                    Ok(attachment) => view.attachments.push(Attachment {
                        running: entry.running,
                        published: if entry.publishes_on(network, &self.networks) {
                            entry.published.clone()
                        } else {
                            BTreeSet::new()
                        },
                        ..attachment
                    }),
                    Err(warning) => view.warnings.push(warning),
                }
            }
        }
        view
    }

    fn view_container(
        &self,
        view: &mut DockerView,
        id: &str,
        container: &Arc<Container>,
        entry: &ContainerEntry,
    ) {
        if !entry.running {
            return;
        }
        if let Some(owner) = entry.network_mode.strip_prefix("container:") {
            let named = |entry: &ContainerEntry| matches!(&entry.container, Ok(container) if container.name == owner);
            let by_name = self.containers.iter().find(|(_, entry)| named(entry));
            view.sharers.push(Sharer {
                container: Arc::clone(container),
                owner: by_name.map_or(owner, |(id, _)| id).to_owned(),
            });
            return;
        }
        if let Some(detail) = &entry.detail {
            view.sandboxes.insert(id.to_owned(), detail.sandbox.clone());
        }
        for name in entry.networks.keys() {
            let network = self.networks.values().find(|n| n.network.name == *name);
            if let Some(NetworkEntry { network, .. }) = network
                && network.driver != "bridge"
            {
                view.unprotected.push(Unprotected {
                    container: id.to_owned(),
                    name: container.name.clone(),
                    network: network.name.clone(),
                    driver: network.driver.clone(),
                });
            }
        }
    }
}

/// What Docker names the bridge, or was told to name it.
fn bridge_name(id: &str, answer: &NetworkAnswer) -> Option<String> {
    let given = answer.options.as_ref().and_then(|o| o.get(BRIDGE_OPTION));
    let name = match given {
        Some(given) if !given.is_empty() => given.clone(),
        _ => format!("br-{}", &id[..12]),
    };
    let valid = name.len() <= INTERFACE_NAME_BYTES
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    valid.then_some(name)
}

/// `known`: which name it had, as far as we know.
fn container(id: &str, answer: &ContainerAnswer, known: Option<&str>) -> Result<Container, String> {
    let short = &id[..12];
    let names = answer.names.iter().flatten();
    // With links between containers, names of the form /other/alias come as well.
    let mut names = names
        .map(|name| name.trim_start_matches('/'))
        .filter(|name| !name.contains('/'));
    // For a moment after a change of name Docker tells both; its event has told which is the new one.
    let name = names.clone().find(|name| Some(*name) == known);
    let name = name.or_else(|| names.next()).unwrap_or(short);
    let labels = answer.labels.clone().unwrap_or_default();
    let bytes: usize = labels
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > LABELS_BYTES {
        return Err(format!(
            "container {short}: {bytes} bytes of labels are more than {LABELS_BYTES}: \
             it is not named, and nothing of it passes"
        ));
    }
    let image = answer.image.clone().filter(|image| !image.is_empty());
    if name.len().max(image.as_ref().map_or(0, String::len)) > NAME_BYTES {
        return Err(format!(
            "container {short}: a name of more than {NAME_BYTES} bytes: \
             it is not named, and nothing of it passes"
        ));
    }
    Ok(Container {
        id: id.to_owned(),
        name: name.to_owned(),
        image,
        project: labels.get(PROJECT_LABEL).filter(|p| !p.is_empty()).cloned(),
        labels,
    })
}

fn attachment(
    network: &DockerNetwork,
    bridge: &str,
    container: &Arc<Container>,
    answer: &EndpointAnswer,
    link_local: Option<&Vec<String>>,
) -> Result<Attachment, String> {
    let odd = |what: &str, value: &str| {
        format!(
            "container {} on network {}: Docker gives `{}` for {what}: it is not named there",
            printable(&container.name),
            network.name,
            printable(value)
        )
    };
    let endpoint = answer.endpoint_id.as_deref().unwrap_or_default();
    if !is_id(endpoint) {
        return Err(odd("its endpoint", endpoint));
    }
    let text = answer.mac_address.as_deref().unwrap_or_default();
    let mac = text
        .parse::<MacAddress>()
        .ok()
        .filter(MacAddress::is_usable);
    let mac = mac.ok_or_else(|| odd("its MAC address", text))?;
    let mut addresses = BTreeSet::new();
    for text in [&answer.ipv4_address, &answer.ipv6_address]
        .into_iter()
        .flatten()
    {
        if !text.is_empty() {
            let address = address(text).ok_or_else(|| odd("its address", text))?;
            addresses.insert(address);
        }
    }
    for text in link_local.into_iter().flatten() {
        let address = address(text).ok_or_else(|| odd("its link-local address", text))?;
        addresses.insert(address);
    }
    Ok(Attachment {
        endpoint: endpoint.to_owned(),
        container: Arc::clone(container),
        network: network.name.clone(),
        bridge: bridge.to_owned(),
        mac,
        addresses,
        published: BTreeSet::new(),
        running: false,
    })
}

/// An address, with or without the length of its network's prefix, that one host may have.
fn address(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('/') {
        Some(_) => text.parse::<IpNet>().ok()?.addr(),
        None => text.parse().ok()?,
    };
    crate::inventory::model::is_usable_address(address).then_some(address)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

//! Who is behind which interface: what the kernel shows, what Docker says and what was settled
//! before, merged into one inventory. Pure: no clock, no I/O.
//!
//! An endpoint is named by an authority that it cannot influence, in this order:
//!
//! 1. *Namespace.* The interface's other end is in the network namespace of a container that Docker
//!    says is attached to this very bridge.
//! 2. *MAC.* Docker is just starting a container, and so does not tell its namespace yet; but it has
//!    assigned a MAC address on this very bridge, and exactly one unnamed interface's other end has
//!    it. Nothing in that container has run yet, so nothing can have changed that address. Confirmed
//!    or corrected by the namespace as soon as Docker tells.
//! 3. *Plain.* It is nobody's that Docker knows of.
//!
//! Once named by the first two, an endpoint stays what it is while its interface exists: a container
//! gains nothing by changing its MAC address or moving its interface into a namespace of its own.

pub(super) mod candidates;
mod claims;
mod ledger;
mod naming;
mod remark;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::docker::{DockerState, DockerView};
use super::model::{Endpoint, HostAddress, Inventory, MacAddress};
use super::netlink::{InterfaceAddress, Link, Nsid, Peer};
use super::uplinks::{self, Uplink};
use crate::policy::model::Pattern;
use crate::state::numbers::EndpointNumber;

pub use ledger::{Ledger, LedgerError};
pub use remark::{Remark, Why};

/// What the kernel shows at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostView {
    /// All interfaces of this host.
    pub links: Vec<Link>,
    /// All addresses of this host.
    pub addresses: Vec<InterfaceAddress>,
    /// The other ends of interfaces, by the index of ours; those that [`wants_peer`] asks for.
    pub peers: BTreeMap<u32, Peer>,
    /// The network namespaces of Docker's running containers, by container id.
    pub namespaces: BTreeMap<String, Nsid>,
    /// The interfaces that default routes lead to.
    pub default_routes: BTreeSet<u32>,
}

/// What is known of Docker, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct DockerKnowledge<'a> {
    /// What it says.
    pub view: &'a DockerView,
    /// When the last complete list was asked for.
    pub listed_at: Option<Instant>,
    /// Whether it can be expected to answer, sooner or later.
    pub expected: bool,
}

impl<'a> From<&'a DockerState> for DockerKnowledge<'a> {
    fn from(state: &'a DockerState) -> Self {
        Self {
            view: &state.view,
            listed_at: state.listed_at,
            expected: state.is_expected(),
        }
    }
}

/// What is to be watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Bridges all of whose ports are endpoints: `docker0`, `br-????????????`.
    pub managed: Vec<Pattern>,
    /// Bridges that are not managed after all.
    pub excluded: Vec<Pattern>,
    /// The host's ways to the outside: never endpoints. None: where default routes lead to.
    pub uplinks: Vec<Pattern>,
    /// Interfaces that are endpoints, and what is known of them.
    pub plain: Vec<PlainInterface>,
    /// Interfaces that identities of the policy are chosen by: endpoints too.
    pub policy_interfaces: Vec<Pattern>,
    /// The largest endpoint number.
    pub last_number: EndpointNumber,
    /// How long an interface on a managed bridge must have been there, without Docker knowing of it,
    /// before it is taken for nobody's.
    pub grace: Duration,
}

/// An interface whose endpoint is described by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainInterface {
    /// The host-side interface's name.
    pub interface: String,
    /// The MAC address behind it; `None`: as its other end has it.
    pub mac: Option<MacAddress>,
    /// The addresses behind it; empty: as its other end has them.
    pub addresses: BTreeSet<IpAddr>,
}

/// What follows from it all.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// Everything that policy is compiled for.
    pub inventory: Inventory,
    /// The host's ways to the outside.
    pub uplinks: Vec<Uplink>,
    /// To be handed in the next time, and kept for the next start.
    pub ledger: Ledger,
    /// What people should know.
    pub remarks: Vec<Remark>,
    /// Whether a complete list from Docker would settle something that is open.
    pub wants_docker_list: bool,
    /// When time alone may settle something that is open.
    pub check_again_at: Option<Instant>,
}

/// The interfaces whose other ends must be read for [`merge`]: all but those that are named already
/// by an authority that does not need it.
#[must_use]
pub fn wants_peer(links: &[Link], settings: &Settings, ledger: &Ledger) -> Vec<u32> {
    candidates::find(links, settings, &mut Vec::new())
        .into_iter()
        .filter(|candidate| !ledger.is_settled(candidate.link))
        .map(|candidate| candidate.link.ifindex)
        .collect()
}

/// Merges all that is known into one inventory.
#[must_use]
pub fn merge(
    host: &HostView,
    docker: DockerKnowledge<'_>,
    settings: &Settings,
    ledger: &Ledger,
    now: Instant,
) -> Merged {
    let mut remarks: Vec<_> = docker
        .view
        .warnings
        .iter()
        .cloned()
        .map(Remark::Odd)
        .collect();
    let candidates = candidates::find(&host.links, settings, &mut remarks);
    remarks.extend(unmanaged_networks(docker.view, settings));

    let mut ledger = ledger.clone();
    ledger.docker_seen |= docker.listed_at.is_some();
    ledger.update(&candidates, settings.last_number, now, &mut remarks);
    if docker.listed_at.is_some() {
        let told: BTreeSet<_> = docker
            .view
            .attachments
            .iter()
            .map(|a| &*a.endpoint)
            .collect();
        ledger.forget_spent(|attachment| told.contains(attachment));
    }

    let names = naming::name(
        &candidates,
        host,
        docker,
        settings,
        &ledger,
        now,
        &mut remarks,
    );
    let owners = claims::settle(&names, host, docker, &ledger, &mut remarks);

    let mut inventory = Inventory {
        endpoints: BTreeMap::new(),
        host_addresses: host
            .addresses
            .iter()
            .map(|address| HostAddress {
                address: address.address,
                ifindex: address.ifindex,
            })
            .collect(),
    };
    for (name, owner) in names.named.iter().zip(owners) {
        let link = name.candidate.link;
        ledger.set_naming(link.ifindex, name.basis.clone(), owner.clone());
        let Some(number) = ledger.number(link.ifindex) else {
            continue;
        };
        inventory.endpoints.insert(
            number,
            Endpoint {
                number,
                interface: link.name.clone(),
                ifindex: link.ifindex,
                bridge: name.candidate.bridge.map(|bridge| bridge.ifindex),
                owner,
            },
        );
    }
    Merged {
        uplinks: uplinks::find(host, settings, &inventory),
        inventory,
        ledger,
        remarks,
        wants_docker_list: names.wants_docker_list,
        check_again_at: names.check_again_at,
    }
}

/// Docker's bridge networks that nobody told us to watch.
fn unmanaged_networks<'a>(
    view: &'a DockerView,
    settings: &'a Settings,
) -> impl Iterator<Item = Remark> + 'a {
    view.networks.iter().filter_map(|network| {
        let bridge = network.bridge.as_ref()?;
        let managed = candidates::is_managed(bridge, settings);
        let excluded = settings.excluded.iter().any(|p| p.matches(bridge));
        (!managed && !excluded).then(|| Remark::UnmanagedNetwork {
            network: network.name.clone(),
            bridge: bridge.clone(),
        })
    })
}

//! Who a question is about.

use std::net::IpAddr;

use ipnet::IpNet;

use super::families::Families;
use crate::compile::names;
use crate::inventory::model::{Endpoint, Inventory};
use crate::policy::model::{IdentityId, NetworkId, Peer, Policy, TestPeer};
use crate::state::numbers::EndpointNumber;

/// One side of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// What a rule or a test could name.
    Asked(TestPeer),
    /// A container that runs: one endpoint for each network it is attached to.
    Endpoints {
        /// As it was asked for.
        name: String,
        /// Its endpoints.
        endpoints: Vec<EndpointNumber>,
    },
}

/// Nobody is called that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownPeer {
    /// Neither in the policy nor on this host.
    #[error(
        "`{text}` is no entity (any, host, containers, world, internet, lan, same-project), address or {container}, \
         and the policy defines no identity or network of that name{known}"
    )]
    Unknown {
        /// As it was asked for.
        text: String,
        /// What kind of container name was looked for.
        container: &'static str,
        /// What the policy defines, as a clause to append.
        known: String,
    },
    /// A CIDR that is not one.
    #[error("`{text}` has host bits set: write `{prefix}` for the network, or the address alone")]
    HostBits {
        /// As it was asked for.
        text: String,
        /// What was probably meant.
        prefix: IpNet,
    },
}

impl Who {
    /// Finds out who is meant: an entity, an identity, a network, an address, a CIDR, or the name or
    /// id (from 12 digits) of a container that runs, in this order; `container:NAME` is always a
    /// container. With an inventory, an address of the host or of an endpoint stands for its owner.
    ///
    /// # Errors
    /// Nobody is meant.
    pub fn find(
        text: &str,
        policy: &Policy,
        inventory: Option<&Inventory>,
    ) -> Result<Self, UnknownPeer> {
        if let Some(name) = text.strip_prefix("container:") {
            return containers(name, inventory).ok_or_else(|| unknown(text, policy, inventory));
        }
        if let Some(peer) = named(text, policy) {
            return Ok(Self::Asked(TestPeer::Peer(peer)));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(owner(text, address, inventory));
        }
        if let Ok(cidr) = text.parse::<IpNet>() {
            let prefix = cidr.trunc();
            if prefix != cidr {
                let text = text.to_owned();
                return Err(UnknownPeer::HostBits { text, prefix });
            }
            return Ok(Self::Asked(TestPeer::Peer(Peer::Cidr(cidr))));
        }
        containers(text, inventory).ok_or_else(|| unknown(text, policy, inventory))
    }

    /// What it is called in answers.
    #[must_use]
    pub fn name(&self, policy: &Policy) -> String {
        match self {
            Self::Asked(TestPeer::Peer(peer)) => names::peer(policy, peer),
            Self::Asked(TestPeer::Address(address)) => address.to_string(),
            Self::Endpoints { name, .. } => name.clone(),
        }
    }

    pub(super) fn is_same_project(&self) -> bool {
        *self == Self::Asked(TestPeer::Peer(Peer::SameProject))
    }

    pub(super) fn families(&self, policy: &Policy) -> Families {
        match self {
            Self::Asked(TestPeer::Address(address)) => Families::of(&IpNet::from(*address)),
            Self::Asked(TestPeer::Peer(Peer::Cidr(cidr))) => Families::of(cidr),
            Self::Asked(TestPeer::Peer(Peer::Network(id))) => policy.networks[id.0]
                .cidrs
                .iter()
                .map(Families::of)
                .fold(Families::default(), Families::either),
            _ => Families::BOTH,
        }
    }
}

impl From<TestPeer> for Who {
    fn from(peer: TestPeer) -> Self {
        Self::Asked(peer)
    }
}

fn named(text: &str, policy: &Policy) -> Option<Peer> {
    let entity = match text {
        "any" => Peer::Any,
        "host" => Peer::Host,
        "containers" => Peer::Containers,
        "world" => Peer::World,
        "lan" => Peer::Lan,
        "internet" => Peer::Internet,
        "same-project" => Peer::SameProject,
        _ => {
            let identity = policy.identities.iter().position(|one| one.name == text);
            let network = || policy.networks.iter().position(|one| one.name == text);
            return identity
                .map(|index| Peer::Identity(IdentityId(index)))
                .or_else(|| network().map(|index| Peer::Network(NetworkId(index))));
        }
    };
    Some(entity)
}

fn owner(text: &str, address: IpAddr, inventory: Option<&Inventory>) -> Who {
    let Some(inventory) = inventory else {
        return Who::Asked(TestPeer::Address(address));
    };
    let endpoints = matching(inventory, |endpoint| {
        let owner = endpoint.owner.as_ref();
        owner.is_some_and(|owner| owner.addresses.contains(&address))
    });
    let of_host = |inventory: &Inventory| {
        let mut addresses = inventory.host_addresses.iter();
        addresses.any(|host| host.address == address)
    };
    if !endpoints.is_empty() {
        let name = text.to_owned();
        Who::Endpoints { name, endpoints }
    } else if of_host(inventory) {
        Who::Asked(TestPeer::Peer(Peer::Host))
    } else {
        Who::Asked(TestPeer::Address(address))
    }
}

fn containers(text: &str, inventory: Option<&Inventory>) -> Option<Who> {
    /// Of a container id, as `docker ps` shows it.
    const SHORT_ID: usize = 12;
    let endpoints = matching(inventory?, |endpoint| {
        endpoint.owner.as_ref().is_some_and(|owner| {
            let id = owner.attributes.container.as_deref();
            owner.attributes.name == text
                || text.len() >= SHORT_ID && id.is_some_and(|id| id.starts_with(text))
        })
    });
    let name = text.to_owned();
    (!endpoints.is_empty()).then_some(Who::Endpoints { name, endpoints })
}

fn matching(inventory: &Inventory, wanted: impl Fn(&Endpoint) -> bool) -> Vec<EndpointNumber> {
    let endpoints = inventory.endpoints.values();
    endpoints
        .filter(|endpoint| wanted(endpoint))
        .map(|endpoint| endpoint.number)
        .collect()
}

fn unknown(text: &str, policy: &Policy, inventory: Option<&Inventory>) -> UnknownPeer {
    /// More names than this help nobody.
    const SHOWN: usize = 12;
    let identities = policy.identities.iter().map(|one| one.name.as_str());
    let networks = policy.networks.iter().map(|one| one.name.as_str());
    let names: Vec<_> = identities.chain(networks).collect();
    let known = match names.len() {
        0 => String::new(),
        1..=SHOWN => format!(" (but: {})", names.join(", ")),
        _ => format!(" (but: {}, ...)", names[..SHOWN].join(", ")),
    };
    UnknownPeer::Unknown {
        text: text.to_owned(),
        container: match inventory {
            Some(_) => "container that runs on a managed network",
            None => "CIDR (containers are known only to a running daemon)",
        },
        known,
    }
}

//! What the kernel should hold: a plain value, made from a compiled policy and an inventory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::denial::Denial;
use super::networks::Networks;
use super::numbers::{EndpointNumber, IdentityNumber, PairKey};
use super::steps::StepList;
use crate::compile::compiled::{Compiled, Subject};
use crate::inventory::model::{Inventory, MacAddress, Owner};

/// Addresses of one family that a template has room for (`SENDER_ADDRESSES_MAX` in `abi.h`).
pub const SENDER_ADDRESSES_MAX: usize = 8;

/// Everything the kernel should hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// What the judging slot should hold.
    pub policy: PolicyImage,
    /// What holds whichever slot judges.
    pub live: LiveInventory,
}

/// One complete policy, as one slot holds it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyImage {
    /// What every subject does with peers that `pairs` does not name.
    pub subjects: Arc<BTreeMap<IdentityNumber, Subject>>,
    /// What a subject does with a particular peer.
    pub pairs: Arc<BTreeMap<PairKey, Arc<StepList>>>,
    /// The world outside. Shared, since there may be 1,000,000s of prefixes.
    pub networks: Arc<Networks>,
    /// Who of the world is denied whatever he opens.
    pub denials: BTreeMap<IdentityNumber, Denial>,
    /// Which identity number each endpoint has.
    pub endpoints: BTreeMap<EndpointNumber, IdentityNumber>,
}

impl From<&Compiled> for PolicyImage {
    fn from(compiled: &Compiled) -> Self {
        Self {
            subjects: Arc::clone(&compiled.subjects),
            pairs: Arc::clone(&compiled.pairs),
            networks: Arc::clone(compiled.trees()),
            denials: compiled.denials.clone(),
            endpoints: compiled.endpoints.clone(),
        }
    }
}

impl PolicyImage {
    /// Whether the two are one and the same, but for which endpoint has which number: all that they
    /// share is shared. `false` proves nothing.
    #[must_use]
    pub fn shares_all(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.subjects, &other.subjects)
            && Arc::ptr_eq(&self.pairs, &other.pairs)
            && Arc::ptr_eq(&self.networks, &other.networks)
    }

    /// Every list of steps that is used, with repetitions.
    pub fn lists(&self) -> impl Iterator<Item = &Arc<StepList>> {
        self.subjects
            .values()
            .flat_map(|subject| subject.generic.iter().flatten())
            .chain(self.pairs.values())
    }
}

/// What holds whichever slot judges: who is who, and where programs are attached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveInventory {
    /// The endpoints' records.
    pub endpoints: BTreeMap<EndpointNumber, EndpointRecord>,
    /// Who owns which address of this host.
    pub addresses: BTreeMap<AddressKey, AddressOwner>,
    /// Which ports of the host lead to which endpoint.
    pub published: BTreeMap<PublishedKey, PublishedTarget>,
    /// By interface index.
    pub attachments: BTreeMap<u32, Attachment>,
    /// By interface index: uplinks that drop before anything else does.
    pub xdp: BTreeMap<u32, XdpAttachment>,
    /// Who may always reach which of the host's TCP ports.
    pub management: BTreeSet<ManagementKey>,
}

/// Where an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Index of the host-side interface.
    pub ifindex: u32,
    /// Index of the bridge it is a port of.
    pub bridge: Option<u32>,
}

/// An address of this host, with the zone it is known in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey {
    /// The address; never an IPv4-mapped IPv6 one.
    pub address: IpAddr,
    /// 0, but for link-local addresses, of which the same one may be in use on every bridge: the
    /// bridge's index, or the interface's own where there is no bridge.
    pub zone: u32,
}

impl AddressKey {
    /// The key of an address that is reached through the bridge or interface `link`.
    #[must_use]
    pub fn new(address: IpAddr, link: u32) -> Self {
        let link_local = match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        Self {
            address: address.to_canonical(),
            zone: if link_local { link } else { 0 },
        }
    }
}

/// Who answers at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressOwner {
    /// The host itself.
    Host,
    /// An endpoint.
    Endpoint(EndpointNumber),
}

/// A port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishedKey {
    /// At which address; the unspecified one: at all of its family.
    pub address: IpAddr,
    /// Of which protocol, by its number.
    pub protocol: u8,
    /// Which one.
    pub port: u16,
}

/// What is behind a port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedTarget {
    /// Who.
    pub endpoint: EndpointNumber,
    /// The port that it is there.
    pub port: u16,
}

/// The two programs of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The interface's name, for messages only.
    pub interface: String,
    /// What its templates know.
    pub constants: TemplateConstants,
}

/// An XDP program on an uplink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdpAttachment {
    /// The interface's name, for messages only.
    pub interface: String,
    /// Where it may run.
    pub mode: XdpMode,
}

/// Where an XDP program may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum XdpMode {
    /// In the driver if it can, else behind it.
    Any,
    /// In the driver.
    Native,
    /// Behind the driver.
    Generic,
}

impl XdpMode {
    /// Whether a program may run there.
    #[must_use]
    pub const fn allows(self, generic: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Native => !generic,
            Self::Generic => generic,
        }
    }
}

/// Somebody who may always reach a TCP port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManagementKey {
    /// From where.
    pub network: IpNet,
    /// The host's port.
    pub port: u16,
}

/// What one interface's templates know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateConstants {
    /// Whose interface it is.
    pub number: EndpointNumber,
    /// Who may send there. Unknown: nothing passes.
    pub sender: Option<Sender>,
}

impl TemplateConstants {
    /// An uplink's: no endpoint has number 0, and what an uplink's programs ask differs with nothing but
    /// the interface, which the packet tells.
    pub const UPLINK: Self = Self {
        number: EndpointNumber(0),
        sender: None,
    };

    /// Whether it is an uplink's.
    #[must_use]
    pub fn is_uplink(&self) -> bool {
        self.number.0 == 0
    }
}

/// Who may send from an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The only MAC address.
    pub mac: MacAddress,
    /// At most [`SENDER_ADDRESSES_MAX`].
    pub ipv4: BTreeSet<Ipv4Addr>,
    /// At most [`SENDER_ADDRESSES_MAX`], without the link-local one that follows from the MAC.
    pub ipv6: BTreeSet<Ipv6Addr>,
}

/// What of an inventory could not be taken as it is. Nothing is opened by it: what is left out is
/// an address that proves nothing, so its traffic is dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryProblem {
    /// Two owners of one address: the first one keeps it.
    #[error("{address} belongs to {kept}, and so cannot belong to endpoint {}", refused.0)]
    AddressTaken {
        /// What both have.
        address: IpAddr,
        /// Who keeps it, for people.
        kept: String,
        /// Who goes without.
        refused: EndpointNumber,
    },
    /// More addresses than a template has room for: the first ones are kept.
    #[error(
        "{interface} has {count} {family} addresses, of which only {SENDER_ADDRESSES_MAX} can be used"
    )]
    TooManyAddresses {
        /// The host-side interface's name.
        interface: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// How many it has.
        count: usize,
    },
}

impl LiveInventory {
    /// What the kernel should know of an inventory, and what of it could not be taken.
    #[must_use]
    pub fn new(inventory: &Inventory) -> (Self, Vec<InventoryProblem>) {
        let mut live = Self::default();
        let mut problems = Vec::new();
        // The host comes first: whoever takes the host's address is not the host.
        for host in &inventory.host_addresses {
            live.addresses.insert(
                AddressKey::new(host.address, host.ifindex),
                AddressOwner::Host,
            );
        }
        for (&number, endpoint) in &inventory.endpoints {
            live.endpoints.insert(
                number,
                EndpointRecord {
                    ifindex: endpoint.ifindex,
                    bridge: endpoint.bridge,
                },
            );
            let sender = endpoint
                .owner
                .as_ref()
                .map(|owner| sender(owner, &endpoint.interface, &mut problems));
            for port in endpoint.owner.iter().flat_map(|owner| &owner.published) {
                let key = PublishedKey {
                    address: port.address.to_canonical(),
                    protocol: port.protocol,
                    port: port.host_port,
                };
                // Whoever merged the inventory has seen to it that there is one only.
                live.published.entry(key).or_insert(PublishedTarget {
                    endpoint: number,
                    port: port.port,
                });
            }
            if let Some(sender) = &sender {
                let link = endpoint.bridge.unwrap_or(endpoint.ifindex);
                live.own(number, sender, link, &mut problems);
            }
            live.attachments.insert(
                endpoint.ifindex,
                Attachment {
                    interface: endpoint.interface.clone(),
                    constants: TemplateConstants { number, sender },
                },
            );
        }
        (live, problems)
    }

    /// Enters the addresses of one endpoint.
    fn own(
        &mut self,
        number: EndpointNumber,
        sender: &Sender,
        link: u32,
        problems: &mut Vec<InventoryProblem>,
    ) {
        let addresses = sender
            .ipv4
            .iter()
            .map(|&address| IpAddr::V4(address))
            .chain(sender.ipv6.iter().map(|&address| IpAddr::V6(address)))
            .chain([IpAddr::V6(link_local(sender.mac))]);
        for address in addresses {
            match self.addresses.get(&AddressKey::new(address, link)) {
                None => {
                    let owner = AddressOwner::Endpoint(number);
                    self.addresses.insert(AddressKey::new(address, link), owner);
                }
                Some(AddressOwner::Endpoint(owner)) if *owner == number => {}
                Some(owner) => problems.push(InventoryProblem::AddressTaken {
                    address,
                    kept: match owner {
                        AddressOwner::Host => "the host".to_owned(),
                        AddressOwner::Endpoint(owner) => format!("endpoint {}", owner.0),
                    },
                    refused: number,
                }),
            }
        }
    }
}

/// Who may send, as far as a template has room.
fn sender(owner: &Owner, interface: &str, problems: &mut Vec<InventoryProblem>) -> Sender {
    let mut ipv4 = BTreeSet::new();
    let mut ipv6 = BTreeSet::new();
    for address in &owner.addresses {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                ipv4.insert(address);
            }
            IpAddr::V6(address) if address == link_local(owner.mac) => {}
            IpAddr::V6(address) => {
                ipv6.insert(address);
            }
        }
    }
    for (family, count) in [("IPv4", ipv4.len()), ("IPv6", ipv6.len())] {
        if count > SENDER_ADDRESSES_MAX {
            problems.push(InventoryProblem::TooManyAddresses {
                interface: interface.to_owned(),
                family,
                count,
            });
        }
    }
    Sender {
        mac: owner.mac,
        ipv4: ipv4.into_iter().take(SENDER_ADDRESSES_MAX).collect(),
        ipv6: ipv6.into_iter().take(SENDER_ADDRESSES_MAX).collect(),
    }
}

/// The link-local address that follows from a MAC address (RFC 4291, appendix A).
#[must_use]
pub fn link_local(mac: MacAddress) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let pair = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        pair(a ^ 2, b),
        pair(c, 0xff),
        pair(0xfe, d),
        pair(e, f),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::model::{Attributes, Endpoint, HostAddress};

    fn endpoint(number: u32, addresses: &[&str]) -> Endpoint {
        Endpoint {
            number: EndpointNumber(number),
            interface: format!("veth{number}"),
            ifindex: 100 + number,
            bridge: Some(7),
            owner: Some(Owner {
                mac: MacAddress([2, 0x42, 0xac, 0x11, 0, number as u8]),
                addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
                attributes: Attributes::default(),
                published: BTreeSet::new(),
            }),
        }
    }

    fn inventory(endpoints: Vec<Endpoint>, host: &[(&str, u32)]) -> Inventory {
        Inventory {
            endpoints: endpoints
                .into_iter()
                .map(|endpoint| (endpoint.number, endpoint))
                .collect(),
            host_addresses: host
                .iter()
                .map(|&(address, ifindex)| HostAddress {
                    address: address.parse().unwrap(),
                    ifindex,
                })
                .collect(),
        }
    }

    fn owner(live: &LiveInventory, address: &str, zone: u32) -> Option<AddressOwner> {
        let address = address.parse().unwrap();
        live.addresses.get(&AddressKey { address, zone }).copied()
    }

    #[test]
    fn an_unnamed_endpoint_is_attached_and_owns_nothing() {
        let mut unnamed = endpoint(1, &["172.17.0.2"]);
        unnamed.owner = None;
        let (live, problems) = LiveInventory::new(&inventory(vec![unnamed], &[]));
        assert_eq!(problems, []);
        assert!(live.addresses.is_empty());
        assert_eq!(live.attachments[&101].constants.sender, None);
        assert_eq!(live.endpoints[&EndpointNumber(1)].bridge, Some(7));
    }

    #[test]
    fn link_local_addresses_are_known_by_their_bridge_and_others_everywhere() {
        let (live, _) = LiveInventory::new(&inventory(
            vec![endpoint(2, &["172.17.0.2", "fd00::2"])],
            &[("fe80::1", 7), ("172.17.0.1", 7)],
        ));
        let two = Some(AddressOwner::Endpoint(EndpointNumber(2)));
        assert_eq!(owner(&live, "172.17.0.2", 0), two);
        assert_eq!(owner(&live, "fd00::2", 0), two);
        assert_eq!(owner(&live, "fe80::42:acff:fe11:2", 7), two);
        assert_eq!(owner(&live, "fe80::1", 7), Some(AddressOwner::Host));
        assert_eq!(owner(&live, "172.17.0.1", 0), Some(AddressOwner::Host));
    }

    #[test]
    fn nobody_takes_an_address_of_the_host_or_of_an_endpoint_before_it() {
        let (live, problems) = LiveInventory::new(&inventory(
            vec![
                endpoint(1, &["172.17.0.2"]),
                endpoint(2, &["172.17.0.2", "172.17.0.1"]),
            ],
            &[("172.17.0.1", 7)],
        ));
        assert_eq!(
            owner(&live, "172.17.0.2", 0),
            Some(AddressOwner::Endpoint(EndpointNumber(1)))
        );
        assert_eq!(owner(&live, "172.17.0.1", 0), Some(AddressOwner::Host));
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn addresses_beyond_a_templates_room_are_left_out_and_reported() {
        let many: Vec<String> = (1..=9).map(|n| format!("10.0.0.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (live, problems) = LiveInventory::new(&inventory(vec![endpoint(1, &many)], &[]));
        let sender = live.attachments[&101].constants.sender.as_ref().unwrap();
        assert_eq!(sender.ipv4.len(), SENDER_ADDRESSES_MAX);
        assert_eq!(owner(&live, "10.0.0.9", 0), None);
        assert!(matches!(
            problems[..],
            [InventoryProblem::TooManyAddresses { count: 9, .. }]
        ));
    }

    #[test]
    fn the_sender_s_own_link_local_address_takes_no_room() {
        let (live, _) = LiveInventory::new(&inventory(
            vec![endpoint(1, &["fe80::42:acff:fe11:1"])],
            &[],
        ));
        let sender = live.attachments[&101].constants.sender.as_ref().unwrap();
        assert!(sender.ipv6.is_empty());
    }
}

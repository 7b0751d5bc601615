//! Who holds which address. One address is one holder's, or a packet's sender could not be told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::naming::{Basis, Name, Names};
use super::{DockerKnowledge, HostView, Ledger, Remark, Why};
use crate::inventory::docker::{Attachment, DockerView};
use crate::inventory::model::{Attributes, MacAddress, Owner, is_usable_address};
use crate::inventory::netlink::Link;
use crate::state::numbers::EndpointNumber;

/// `SENDER_ADDRESSES_MAX` of abi.h: what one endpoint may send from, of each family.
const ADDRESSES_MAX: usize = 8;

/// Gives every named endpoint its owner. The host comes first, then what Docker says now, then what
/// Docker said once, then what others say of themselves; among equals the one that held it before,
/// then the lower number.
pub(super) fn settle(
    names: &Names<'_>,
    host: &HostView,
    docker: DockerKnowledge<'_>,
    ledger: &Ledger,
    remarks: &mut Vec<Remark>,
) -> Vec<Option<Owner>> {
    let mut settlement = Settlement {
        host,
        docker: docker.view,
        listed: docker.listed_at.is_some(),
        ledger,
        addresses: BTreeMap::new(),
        macs: BTreeMap::new(),
        published: BTreeSet::new(),
        remarks,
    };
    settlement.host_claims();
    let mut owners = vec![None; names.named.len()];
    let mut order: Vec<_> = (0..names.named.len())
        .map(|index| (settlement.rank(&names.named[index]), index))
        .collect();
    order.sort();
    let mut reserved = false;
    for ((rank, ..), index) in order {
        if rank > Rank::Docker && !reserved {
            settlement.reserve_attachments();
            reserved = true;
        }
        owners[index] = settlement.owner(&names.named[index], rank);
    }
    owners
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Docker says so now.
    Docker,
    /// Docker said so once.
    Stale,
    /// It says so itself, or the settings do.
    Plain,
    Unnamed,
}

struct Settlement<'a> {
    host: &'a HostView,
    docker: &'a DockerView,
    /// Docker has answered at all.
    listed: bool,
    ledger: &'a Ledger,
    /// Holders, by address and zone (the bridge, for link-local addresses).
    addresses: BTreeMap<(IpAddr, u32), String>,
    /// Holders, by bridge (0: any) and MAC address.
    macs: BTreeMap<(u32, MacAddress), String>,
    /// Ports of the host, with address and protocol, that lead to somebody.
    published: BTreeSet<(IpAddr, u8, u16)>,
    remarks: &'a mut Vec<Remark>,
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn key(address: IpAddr, zone: u32) -> (IpAddr, u32) {
    (address, if is_link_local(address) { zone } else { 0 })
}

impl Settlement<'_> {
    fn host_claims(&mut self) {
        let holder = || "the host".to_owned();
        for address in &self.host.addresses {
            self.addresses
                .insert(key(address.address, address.ifindex), holder());
        }
        for mac in self.host.links.iter().filter_map(|link| link.mac) {
            self.macs.insert((0, mac), holder());
        }
    }

    /// What Docker has assigned to a container whose interface is not there yet.
    fn reserve_attachments(&mut self) {
        for attachment in &self.docker.attachments {
            let bridge = self
                .host
                .links
                .iter()
                .find(|link| link.name == attachment.bridge);
            let zone = bridge.map_or(0, |bridge| bridge.ifindex);
            let holder = &attachment.container.name;
            for address in &attachment.addresses {
                let entry = self.addresses.entry(key(*address, zone));
                entry.or_insert_with(|| holder.clone());
            }
            let entry = self.macs.entry((zone, attachment.mac));
            entry.or_insert_with(|| holder.clone());
        }
    }

    fn attachment(&self, name: &Name<'_>) -> Option<&Attachment> {
        let id = name.basis.as_ref()?.attachment()?;
        self.docker.attachments.iter().find(|a| a.endpoint == id)
    }

    fn rank(&self, name: &Name<'_>) -> (Rank, bool, Option<EndpointNumber>) {
        let rank = match &name.basis {
            None => Rank::Unnamed,
            Some(Basis::Plain) => Rank::Plain,
            Some(_) if self.attachment(name).is_some() => Rank::Docker,
            Some(_) => Rank::Stale,
        };
        let ifindex = name.candidate.link.ifindex;
        let new = self.ledger.naming(ifindex).is_none();
        (rank, new, self.ledger.number(ifindex))
    }

    fn owner(&mut self, name: &Name<'_>, rank: Rank) -> Option<Owner> {
        let link = name.candidate.link;
        let mut owner = match rank {
            Rank::Unnamed => return None,
            Rank::Docker => owner_of(self.attachment(name)?, link),
            Rank::Stale => {
                let (_, owner) = self.ledger.naming(link.ifindex)?;
                if self.listed {
                    self.remarks.push(Remark::Stale {
                        interface: link.name.clone(),
                        name: owner.attributes.name.clone(),
                    });
                }
                let mut owner = owner.clone();
                owner.attributes.interface.clone_from(&link.name);
                owner
            }
            Rank::Plain => self.plain_owner(name)?,
        };
        let zone = name
            .candidate
            .bridge
            .map_or(link.ifindex, |bridge| bridge.ifindex);
        owner.addresses = self.claim(&owner, zone);
        owner.published.retain(|port| {
            let key = (port.address, port.protocol, port.host_port);
            self.published.insert(key)
        });
        self.limit(&mut owner);
        let entry = self.macs.entry((zone, owner.mac));
        entry.or_insert_with(|| owner.attributes.name.clone());
        Some(owner)
    }

    /// The addresses that nobody else holds.
    fn claim(&mut self, owner: &Owner, zone: u32) -> BTreeSet<IpAddr> {
        let mut held = BTreeSet::new();
        for address in &owner.addresses {
            match self.addresses.entry(key(*address, zone)) {
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    vacant.insert(owner.attributes.name.clone());
                    held.insert(*address);
                }
                std::collections::btree_map::Entry::Occupied(holder) => {
                    self.remarks.push(Remark::AddressTaken {
                        interface: owner.attributes.interface.clone(),
                        address: *address,
                        holder: holder.get().clone(),
                    });
                }
            }
        }
        held
    }

    fn limit(&mut self, owner: &mut Owner) {
        let (ipv4, ipv6): (Vec<_>, Vec<_>) = owner.addresses.iter().partition(|a| a.is_ipv4());
        if ipv4.len().max(ipv6.len()) <= ADDRESSES_MAX {
            return;
        }
        self.remarks.push(Remark::TooManyAddresses {
            interface: owner.attributes.interface.clone(),
            limit: ADDRESSES_MAX,
        });
        let families = [ipv4, ipv6].into_iter();
        owner.addresses = families
            .flat_map(|all| all.into_iter().take(ADDRESSES_MAX))
            .collect();
    }

    fn plain_owner(&mut self, name: &Name<'_>) -> Option<Owner> {
        let link = name.candidate.link;
        let by_hand = name.candidate.plain;
        let zone = name
            .candidate
            .bridge
            .map_or(link.ifindex, |bridge| bridge.ifindex);
        let peer = self.host.peers.get(&link.ifindex);
        let attributes = Attributes {
            name: link.name.clone(),
            interface: link.name.clone(),
            ..Attributes::default()
        };
        let mac = match by_hand.and_then(|plain| plain.mac) {
            Some(mac) => mac,
            None => self.free_mac(link, zone, peer.and_then(|peer| peer.mac))?,
        };
        let addresses = match by_hand.filter(|plain| !plain.addresses.is_empty()) {
            Some(plain) => plain.addresses.clone(),
            None => {
                let all = peer.map(|peer| peer.addresses.clone()).unwrap_or_default();
                self.on_link(name, mac, all)
            }
        };
        Some(Owner {
            mac,
            addresses,
            attributes,
            published: BTreeSet::new(),
        })
    }

    /// The MAC address that the other end gave itself, unless it is somebody else's.
    fn free_mac(&mut self, link: &Link, zone: u32, mac: Option<MacAddress>) -> Option<MacAddress> {
        let taken = mac.and_then(|mac| {
            let holder = self
                .macs
                .get(&(zone, mac))
                .or_else(|| self.macs.get(&(0, mac)));
            holder.map(|holder| (mac, holder.clone()))
        });
        let why = match (mac.filter(MacAddress::is_usable), taken) {
            (None, _) => Why::NoPeer,
            (Some(_), Some((mac, holder))) => Why::MacTaken { mac, holder },
            (Some(mac), None) => return Some(mac),
        };
        self.remarks.push(Remark::Unnamed {
            interface: link.name.clone(),
            why,
        });
        None
    }

    /// Of addresses that the other end gave itself, those that are in a network of that bridge: else
    /// it could take any address of the world for its own.
    fn on_link(
        &mut self,
        name: &Name<'_>,
        mac: MacAddress,
        addresses: BTreeSet<IpAddr>,
    ) -> BTreeSet<IpAddr> {
        let side = name.candidate.bridge.unwrap_or(name.candidate.link);
        let of_host = self
            .host
            .addresses
            .iter()
            .filter(|address| address.ifindex == side.ifindex)
            .filter_map(|address| IpNet::new(address.address, address.prefix_length).ok());
        let of_docker = self
            .docker
            .networks
            .iter()
            .filter(|network| network.bridge.as_ref() == Some(&side.name))
            .flat_map(|network| network.subnets.iter().copied());
        let networks: Vec<_> = of_host.chain(of_docker).collect();
        let mut on_link = BTreeSet::new();
        for address in addresses {
            if address == IpAddr::V6(link_local_of(mac)) || !is_usable_address(address) {
                continue; // it has the former anyway
            }
            let in_one = networks.iter().any(|network| is_host_in(network, address));
            if is_link_local(address) || in_one {
                on_link.insert(address);
            } else {
                self.remarks.push(Remark::AddressOffLink {
                    interface: name.candidate.link.name.clone(),
                    address,
                });
            }
        }
        on_link
    }
}

fn owner_of(attachment: &Attachment, link: &Link) -> Owner {
    let container = &attachment.container;
    Owner {
        mac: attachment.mac,
        addresses: attachment.addresses.clone(),
        attributes: Attributes {
            container: Some(container.id.clone()),
            name: container.name.clone(),
            image: container.image.clone(),
            network: Some(attachment.network.clone()),
            project: container.project.clone(),
            interface: link.name.clone(),
            labels: container.labels.clone(),
        },
        published: attachment.published.clone(),
    }
}

/// An address that one host of the network may have: not the network's own, not its broadcast one.
fn is_host_in(network: &IpNet, address: IpAddr) -> bool {
    let point_to_point = network.prefix_len() + 1 >= network.max_prefix_len();
    let reserved =
        address == network.network() || (address.is_ipv4() && address == network.broadcast());
    network.contains(&address) && (point_to_point || !reserved)
}

/// The link-local address that follows from a MAC address (RFC 4291, appendix A).
fn link_local_of(MacAddress([a, b, c, d, e, f]): MacAddress) -> Ipv6Addr {
    let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        word(a ^ 2, b),
        word(c, 0xff),
        word(0xfe, d),
        word(e, f),
    )
}

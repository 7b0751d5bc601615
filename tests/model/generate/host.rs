//! Who is on the host: where, always the same few; which of them, and whose, each time anew.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use bridgewall::inventory::model::{Attributes, MacAddress, Owner, PublishedPort};
use proptest::collection::btree_set;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::harness::trace::{Host, Interface};

pub const BRIDGE: u32 = 100;
const OTHER_BRIDGE: u32 = 200;
/// Where the world comes in.
pub const UPLINK: u32 = 9;

pub const GATEWAY_MAC: [u8; 6] = [0x02, 0x42, 0, 0, 0, 1];

/// One place for an endpoint.
pub struct Place {
    pub number: u32,
    bridge: Option<u32>,
    pub mac: [u8; 6],
    pub addresses: &'static [&'static str],
}

const fn place(
    number: u32,
    bridge: Option<u32>,
    last: u8,
    addresses: &'static [&'static str],
) -> Place {
    Place {
        number,
        bridge,
        mac: [0x02, 0x42, 0xac, 0x11, 0, last],
        addresses,
    }
}

/// One more address than a template has room for, of each family.
const MANY: &[&str] = &[
    "172.18.0.10",
    "172.18.0.11",
    "172.18.0.12",
    "172.18.0.13",
    "172.18.0.14",
    "172.18.0.15",
    "172.18.0.16",
    "172.18.0.17",
    "172.18.0.18",
    "fd00:18::10",
    "fd00:18::11",
    "fd00:18::12",
    "fd00:18::13",
    "fd00:18::14",
    "fd00:18::15",
    "fd00:18::16",
    "fd00:18::17",
    "fd00:18::18",
];

/// Two on one bridge, one on another, one with IPv4 only, one without a bridge, one with too many
/// addresses, one that may get the address of the first when that is gone, and one that has the MAC
/// address, and so the link-local one, of another on the other bridge.
pub const PLACES: [Place; 8] = [
    place(1, Some(BRIDGE), 2, &["172.17.0.2", "fd00:17::2"]),
    place(
        2,
        Some(BRIDGE),
        3,
        &["172.17.0.3", "fd00:17::3", "fd00:17::33"],
    ),
    place(3, Some(OTHER_BRIDGE), 4, &["172.18.0.2", "fd00:18::2"]),
    place(4, Some(BRIDGE), 5, &["172.17.0.5"]),
    place(5, None, 6, &["10.9.0.5", "fd00:9::5"]),
    place(6, Some(OTHER_BRIDGE), 7, MANY),
    place(
        7,
        Some(BRIDGE),
        8,
        &["172.17.0.2", "172.17.0.7", "fd00:17::2"],
    ),
    place(8, Some(OTHER_BRIDGE), 3, &["172.18.0.8", "fd00:18::8"]),
];

const HOST: [(&str, u32); 7] = [
    ("172.17.0.1", BRIDGE),
    ("172.18.0.1", OTHER_BRIDGE),
    ("fd00:17::1", BRIDGE),
    ("fd00:18::1", OTHER_BRIDGE),
    ("fe80::1", BRIDGE),
    ("fe80::1", OTHER_BRIDGE),
    ("198.51.100.7", UPLINK),
];

impl Place {
    pub fn ifindex(&self) -> u32 {
        10 + self.number
    }

    pub fn is_beside(&self, other: &Self) -> bool {
        self.bridge.is_some() && self.bridge == other.bridge
    }

    pub fn address(&self, v6: bool, which: usize) -> Option<IpAddr> {
        let all = self
            .addresses
            .iter()
            .map(|text| text.parse().expect("an address"));
        let family: Vec<IpAddr> = all
            .filter(|address: &IpAddr| address.is_ipv6() == v6)
            .collect();
        (!family.is_empty()).then(|| family[which % family.len()])
    }

    pub fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac;
        let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
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
}

/// A host with some of the places taken.
pub fn host() -> impl Strategy<Value = Host> {
    PLACES
        .each_ref()
        .map(interface)
        .prop_map(|interfaces| Host {
            addresses: HOST
                .iter()
                .map(|(address, ifindex)| (address.parse().expect("an address"), *ifindex))
                .collect(),
            endpoints: interfaces.into_iter().flatten().collect(),
        })
}

/// `None`: there is nobody now. The first two are nearly always there, so that there is somebody to talk.
fn interface(place: &'static Place) -> impl Strategy<Value = Option<Interface>> {
    let absent = if place.number <= 2 { 0.01 } else { 0.25 };
    let there = option::weighted(
        1.0 - absent,
        option::weighted(0.96, (attributes(place.number), published(place))),
    );
    there.prop_map(move |owner| {
        owner.map(|owner| Interface {
            number: place.number,
            ifindex: place.ifindex(),
            bridge: place.bridge,
            owner: owner.map(|(attributes, published)| Owner {
                mac: MacAddress(place.mac),
                addresses: addresses(place),
                attributes,
                published,
            }),
        })
    })
}

/// Ports of the host, few, so that they are asked for. Engines publish those of containers on bridges.
fn published(place: &'static Place) -> impl Strategy<Value = BTreeSet<PublishedPort>> {
    let most = if place.bridge.is_some() { 5 } else { 1 };
    let port = (
        select(vec!["0.0.0.0", "::", "172.17.0.1", "fd00:17::1"]),
        select(vec![6_u8, 6, 17, 132]),
        select(vec![80_u16, 53, 8000, 8101]),
        select(vec![80_u16, 443, 8050]),
    );
    let port = port.prop_map(|(address, protocol, host_port, port)| PublishedPort {
        address: address.parse().expect("an address"),
        protocol,
        host_port,
        port,
    });
    btree_set(port, 0..most)
}

fn addresses(place: &Place) -> BTreeSet<IpAddr> {
    let parse = |text: &&str| text.parse().expect("an address");
    place.addresses.iter().map(parse).collect()
}

fn attributes(number: u32) -> impl Strategy<Value = Attributes> {
    let value = || option::of(select(vec!["a", "b", "c"]));
    let project = option::of(select(vec!["shop", "blog"]));
    let image = option::of(select(vec!["shop/web:1", "nginx"]));
    let network = option::of(select(vec!["front", "frontend", "back"]));
    (value(), value(), project, image, network).prop_map(
        move |(role, env, project, image, network)| {
            let labels = [("role", role), ("env", env)];
            let labels: BTreeMap<_, _> = labels
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
                .collect();
            Attributes {
                container: Some(format!("{number:064x}")),
                name: format!("box{number}"),
                image: image.map(str::to_owned),
                network: network.map(str::to_owned),
                project: project.map(str::to_owned),
                interface: format!("veth{number}"),
                labels,
            }
        },
    )
}

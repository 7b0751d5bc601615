//! Which network an address is in: the search trees as the kernel searches them, beside a naive
//! longest-prefix search.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::fixture::*;
use crate::frame::*;
use crate::node::{FAMILIES, Family, INTERNET, Node};

/// All that is opened to it is denied.
const OFFICE: u32 = INTERNET | 7;

/// A SYN from A to an address of the world.
fn syn_to(ip: IpAddr, port: u16) -> Vec<u8> {
    let family = if ip.is_ipv4() { Family::V4 } else { Family::V6 };
    let mut frame = frame(family, Node::A, Node::World, &tcp(port, 80, SYN));
    match ip {
        IpAddr::V4(ip) => frame[30..34].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => frame[38..54].copy_from_slice(&ip.octets()),
    }
    frame
}

fn longest(table: &BTreeMap<IpNet, u32>, ip: IpAddr) -> u32 {
    let covering = table.iter().filter(|(prefix, _)| prefix.contains(&ip));
    *covering
        .max_by_key(|(prefix, _)| prefix.prefix_len())
        .expect("a default route")
        .1
}

/// The first and last address of a prefix, and those beside them.
fn borders(prefix: &IpNet) -> Vec<IpAddr> {
    match prefix {
        IpNet::V4(prefix) => {
            let (first, last) = (prefix.network().to_bits(), prefix.broadcast().to_bits());
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .map(|bits| IpAddr::V4(bits.into()))
                .into()
        }
        IpNet::V6(prefix) => {
            let (first, last) = (prefix.network().to_bits(), prefix.broadcast().to_bits());
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .map(|bits| IpAddr::V6(bits.into()))
                .into()
        }
    }
}

/// Those that may stand in a packet, and are nobody's on this host.
fn is_of_the_world(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let first = ip.octets()[0];
            !matches!(first, 0 | 10 | 127 | 224..)
        }
        IpAddr::V6(ip) => (0x2000..0xfc00).contains(&ip.segments()[0]),
    }
}

#[track_caller]
fn assert_all_found(firewall: &Firewall, slot: u32, table: &BTreeMap<IpNet, u32>) {
    firewall.set_networks(slot, table.clone());
    // Nothing is opened, so that the table of connections does not fill.
    for (peer, verdict) in [(OFFICE, Verdict::Deny), (INTERNET, Verdict::Drop)] {
        let rules = [rule(verdict, 3, 0, 0xff_ffff)];
        firewall.set_rules_in(slot as u8, Side::Egress, Node::A, peer, &rules);
    }
    let mut asked: Vec<_> = table.keys().flat_map(borders).collect();
    asked.retain(is_of_the_world);
    asked.sort_unstable();
    asked.dedup();
    for (n, ip) in asked.into_iter().enumerate() {
        let outcome = firewall.from(Node::A, &syn_to(ip, 1 + n as u16));
        if longest(table, ip) == OFFICE {
            outcome.drops(Reason::DROP_POLICY_DENY, &format!("{ip} is in it"));
        } else {
            outcome.drops(Reason::DROP_POLICY_DEFAULT, &format!("{ip} is not"));
        }
    }
}

fn with(firewall: &Firewall, prefixes: &[(&str, u32)]) -> BTreeMap<IpNet, u32> {
    let mut table = firewall.networks(0);
    table.extend(
        prefixes
            .iter()
            .map(|(prefix, identity)| (prefix.parse().expect("a prefix"), *identity)),
    );
    table
}

#[test]
fn prefixes_of_every_length_are_found_at_their_borders() {
    let firewall = Firewall::new();
    let mut table = firewall.networks(0);
    // Apart from each other, so that each decides for itself.
    for length in 8..=32_u8 {
        let bits = u32::from(length) << 24 | 0x0055_aa55;
        let prefix = Ipv4Net::new(bits.into(), length).expect("a prefix");
        table.insert(IpNet::V4(prefix.trunc()), OFFICE);
    }
    table.remove(&"10.0.0.0/8".parse().expect("a prefix"));
    for length in 16..=128_u8 {
        let bits = (0x2000_u128 + u128::from(length)) << 112 | (u128::MAX >> 17 & 0x5555 << 60);
        let prefix = Ipv6Net::new((bits | 0x1234_5678).into(), length).expect("a prefix");
        table.insert(IpNet::V6(prefix.trunc()), OFFICE);
    }
    assert_all_found(&firewall, 0, &table);
}

#[test]
fn everything_and_exceptions_within_exceptions_are_found() {
    let firewall = Firewall::new();
    let table = with(
        &firewall,
        &[
            ("0.0.0.0/0", OFFICE),
            ("198.51.0.0/16", INTERNET),
            ("198.51.100.0/24", OFFICE),
            ("198.51.100.128/25", INTERNET),
            ("198.51.100.200/32", OFFICE),
            ("::/0", OFFICE),
            ("2001:db8::/32", INTERNET),
            ("2001:db8:1::/48", OFFICE),
            ("2001:db8:1:2::/64", INTERNET),
            ("2001:db8:1:2:8000::/65", OFFICE),
            ("2001:db8:1:2:8000::5/128", INTERNET),
            ("3fff:ffff::/32", INTERNET),
            ("4000::/3", INTERNET),
        ],
    );
    assert_all_found(&firewall, 0, &table);
}

#[test]
fn a_thousand_close_prefixes_are_found_in_both_slots() {
    let firewall = Firewall::new();
    let mut table = firewall.networks(0);
    // A cheap sequence in which numbers and lengths do not go together.
    let mut state = 0x1234_5678_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for _ in 0..500 {
        let identity = if next() % 2 == 0 { OFFICE } else { INTERNET };
        let bits = 0xcb00_0000 | next() & 0xffff;
        let prefix = Ipv4Net::new(bits.into(), 17 + (next() % 16) as u8).expect("a prefix");
        table.insert(IpNet::V4(prefix.trunc()), identity);
        let close = u128::from(next() & 0xff) << (next() % 15 * 8);
        let bits = 0x2001_0db8_u128 << 96 | close;
        let prefix = Ipv6Net::new(bits.into(), 33 + (next() % 96) as u8).expect("a prefix");
        table.insert(IpNet::V6(prefix.trunc()), identity);
    }
    assert_all_found(&firewall, 0, &table);
    firewall.switch_slot();
    table.retain(|prefix, _| prefix.prefix_len() % 3 != 0 || prefix.prefix_len() == 0);
    assert_all_found(&firewall, 1, &table);
}

#[test]
fn what_leads_nowhere_drops() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let ip = Node::World.address(family);
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        firewall.set_network(0, ip, bits, OFFICE);
        firewall.set_network(0, ip, bits, 0);
        firewall
            .from(Node::A, &syn_to(ip, 1))
            .drops(Reason::DROP_IDENTITY_MISSING, "nobody's number");
    }
}

//! The world outside: networks, exceptions, local and public.

use bridgewall::compile::world::LAN;
use bridgewall::state::numbers::{IdentityNumber, PeerKind};
use ipnet::IpNet;

use crate::build::{World, all, closed, containers};

fn table(world: &World) -> Vec<String> {
    let names = &world.compiled.identities;
    let networks = world.compiled.networks.iter();
    networks
        .filter(|(prefix, _)| !LAN.contains(prefix))
        .map(|(prefix, number)| format!("{prefix} {}", names[number].name))
        .collect()
}

fn name(world: &World, address: &str) -> String {
    world.compiled.identities[&world.number(address)]
        .name
        .clone()
}

#[test]
fn the_default_routes_and_the_local_ranges_are_always_there() {
    let world = closed().on(containers(&[]));
    assert_eq!(table(&world), ["0.0.0.0/0 internet", "::/0 internet"]);
    assert_eq!(world.compiled.networks.len(), LAN.len() + 2);
    for range in LAN {
        assert_eq!(world.compiled.networks[&range], IdentityNumber::lan(0));
    }
    assert_eq!(world.number("8.8.8.8"), IdentityNumber::internet(0));
}

#[test]
fn local_is_what_the_design_names_and_what_never_leaves_a_link() {
    let world = closed().on(containers(&[]));
    let local = [
        "10.0.0.0",
        "10.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "169.254.0.0",
        "169.254.255.255",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.251",
        "255.255.255.255",
        "fc00::",
        "fdff:ffff::1",
        "fe80::1",
        "febf::1",
        "::",
        "::1",
        "ff02::fb",
    ];
    let public = [
        "9.255.255.255",
        "11.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "224.0.1.0",
        "239.1.1.1",
        "255.255.255.254",
        "fbff::1",
        "fe00::1",
        "fec0::1",
        "ff05::2",
        "2001:db8::1",
        "::2",
    ];
    for address in local {
        assert_eq!(world.number(address).kind(), PeerKind::Lan, "{address}");
    }
    for address in public {
        assert_eq!(
            world.number(address).kind(),
            PeerKind::Internet,
            "{address}"
        );
    }
}

#[test]
fn an_exception_is_not_in_the_network() {
    let world = closed()
        .network("office", &["203.0.113.0/24"], &["203.0.113.64/26"])
        .on(containers(&[]));
    assert_eq!(
        table(&world),
        [
            "0.0.0.0/0 internet",
            "203.0.113.0/24 office",
            "203.0.113.64/26 internet",
            "::/0 internet"
        ]
    );
}

#[test]
fn what_one_network_excludes_another_one_includes_again() {
    let world = closed()
        .network("inner", &["203.0.113.64/27"], &["203.0.113.66/32"])
        .network("office", &["203.0.113.0/24"], &["203.0.113.64/26"])
        .on(containers(&[]));
    assert_eq!(name(&world, "203.0.113.1"), "office");
    assert_eq!(name(&world, "203.0.113.65"), "inner");
    assert_eq!(name(&world, "203.0.113.66"), "internet");
    assert_eq!(name(&world, "203.0.113.100"), "internet");
    assert_eq!(name(&world, "203.0.113.200"), "office");
}

#[test]
fn an_exception_beats_a_longer_prefix_of_the_same_network() {
    let world = closed()
        .network(
            "office",
            &["203.0.113.0/24", "203.0.113.66/32"],
            &["203.0.113.64/26"],
        )
        .on(containers(&[]));
    assert_eq!(name(&world, "203.0.113.66"), "internet");
}

#[test]
fn overlapping_networks_are_a_set_with_a_number_of_its_own() {
    let world = closed()
        .network("office", &["203.0.113.0/24"], &[])
        .network("vpn", &["203.0.113.0/25"], &[])
        .allow("203.0.113.0/30", "host", all())
        .on(containers(&[]));
    assert_eq!(name(&world, "203.0.113.200"), "office");
    assert_eq!(name(&world, "203.0.113.100"), "office+vpn");
    assert_eq!(name(&world, "203.0.113.1"), "office+vpn+203.0.113.0/30");
}

#[test]
fn one_set_has_one_number_wherever_it_lies_and_differs_by_kind_only() {
    let world = closed()
        .network(
            "office",
            &["10.9.0.0/16", "203.0.113.0/24", "2001:db8::/32"],
            &[],
        )
        .on(containers(&[]));
    let public = world.number("203.0.113.1");
    let local = world.number("10.9.1.1");
    assert_eq!(world.number("2001:db8::5"), public);
    assert_eq!(public.kind(), PeerKind::Internet);
    assert_eq!(local.kind(), PeerKind::Lan);
    assert_eq!(public.0 | IdentityNumber::lan(0).0, local.0);
}

#[test]
fn prefixes_that_say_what_covers_them_says_are_left_out() {
    let world = closed()
        .network(
            "office",
            &["203.0.113.0/24", "203.0.113.0/25", "203.0.113.7/32"],
            &[],
        )
        .on(containers(&[]));
    assert_eq!(
        table(&world),
        [
            "0.0.0.0/0 internet",
            "203.0.113.0/24 office",
            "::/0 internet"
        ]
    );
}

#[test]
fn a_prefix_that_decides_for_no_address_is_left_out() {
    let world = closed()
        .network("high", &["203.0.113.128/25"], &[])
        .network("low", &["203.0.113.0/25"], &[])
        .network("office", &["203.0.113.0/24"], &[])
        .on(containers(&[]));
    assert_eq!(
        table(&world),
        [
            "0.0.0.0/0 internet",
            "203.0.113.0/25 low+office",
            "203.0.113.128/25 high+office",
            "::/0 internet"
        ]
    );
}

#[test]
fn a_default_route_stays_even_where_it_decides_for_nobody() {
    let world = closed()
        .network("high", &["128.0.0.0/1", "8000::/1"], &[])
        .network("low", &["0.0.0.0/1", "::/1"], &[])
        .on(containers(&[]));
    assert_eq!(name(&world, "1.1.1.1"), "low");
    assert_eq!(name(&world, "200.1.1.1"), "high");
    assert_eq!(name(&world, "2001:db8::1"), "low");
    assert_eq!(name(&world, "9000::1"), "high");
    // No number stands for addresses that do not exist.
    assert!(
        !world
            .compiled
            .identities
            .contains_key(&IdentityNumber::internet(0))
    );
    assert_eq!(
        table(&world),
        [
            "0.0.0.0/0 low",
            "128.0.0.0/1 high",
            "::/0 low",
            "8000::/1 high"
        ]
    );
}

#[test]
fn the_whole_of_ipv6_is_a_network_like_any_other() {
    let world = closed()
        .network("six", &["::/0"], &["2001:db8::/32"])
        .on(containers(&[]));
    assert_eq!(name(&world, "2001:db8::1"), "internet");
    assert_eq!(name(&world, "2001:db9::1"), "six");
    assert_eq!(name(&world, "fd00::1"), "six");
    assert_eq!(world.number("fd00::1").kind(), PeerKind::Lan);
    let all: IpNet = "::/0".parse().unwrap();
    assert_eq!(world.compiled.numbers_in(all).len(), 3);
}

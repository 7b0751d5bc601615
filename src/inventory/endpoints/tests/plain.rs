//! Endpoints that are nobody's that Docker knows of.

use super::*;

#[test]
fn a_foreign_interface_is_nobodys_while_a_container_misses_one() {
    let mut world = World::new();
    world.veth(11, 1, 50, 2, &["172.18.0.2"]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    world.merge();
    world.later(GRACE * 10);
    let merged = world.merge();
    let container = "web".to_owned();
    assert_eq!(*merged.why(11), Why::MaybeMissing { container });
    assert_eq!(merged.who(11), "nobody");
}

#[test]
fn an_interface_that_docker_does_not_know_is_plain_after_a_list_and_a_time() {
    let mut world = World::new();
    world.later(GRACE); // the list is from now, and so is the interface
    world.veth(11, 1, 50, 9, &["172.18.0.9", "fe80::9"]);
    let merged = world.merge();
    assert_eq!(*merged.why(11), Why::Pending);
    assert!(
        !merged.wants_docker_list,
        "Docker is left to start what it starts, and tells of that by itself"
    );
    let next = merged.check_again_at.expect("a time to look again");
    assert!(next > world.now && next <= world.now + GRACE / 10);
    world.now = next;
    assert!(
        world.merge().wants_docker_list,
        "the list is not younger than the interface"
    );

    world.later(GRACE / 2);
    assert_eq!(world.merge().who(11), "nobody", "listed, but too young");
    world.now += GRACE;
    let merged = world.merge();
    assert_eq!(merged.who(11), "veth11 172.18.0.9 fe80::9");
    let attributes = &merged.owner(11).unwrap().attributes;
    assert_eq!(
        (
            attributes.container.as_deref(),
            attributes.interface.as_str()
        ),
        (None, "veth11")
    );
    assert_eq!(merged.check_again_at, None);
}

#[test]
fn without_a_younger_list_no_time_is_long_enough() {
    let mut world = World::new();
    world.veth(11, 1, 50, 9, &["172.18.0.9"]);
    world.listed_at = None;
    world.merge();
    world.now += GRACE * 1000;
    assert_eq!(*world.merge().why(11), Why::DockerAway);
}

#[test]
fn a_list_that_is_older_than_the_interface_says_nothing_of_it() {
    let mut world = World::new();
    world.now += GRACE;
    world.veth(11, 1, 50, 9, &["172.18.0.9"]);
    world.merge();
    world.now += GRACE * 1000;
    let merged = world.merge();
    assert_eq!(*merged.why(11), Why::Pending);
    assert!(merged.wants_docker_list);
}

#[test]
fn where_there_is_no_docker_interfaces_are_plain_at_once() {
    let mut world = World::new();
    world.listed_at = None;
    world.expected = false;
    world.veth(11, 1, 50, 9, &["172.18.0.9"]);
    assert_eq!(world.merge().who(11), "veth11 172.18.0.9");
}

#[test]
fn a_docker_that_went_away_is_still_expected() {
    let mut world = World::new();
    world.merge();
    world.restart("this boot");
    world.listed_at = None;
    world.expected = false; // its socket is gone with it
    world.veth(11, 1, 50, 9, &["172.18.0.9"]);
    assert_eq!(*world.merge().why(11), Why::DockerAway);
}

#[test]
fn a_plain_interface_turns_out_to_be_a_containers() {
    let mut world = World::new();
    world.listed_at = None;
    world.expected = false;
    world.veth(11, 1, 7, 9, &["172.18.0.9"]);
    let number = world.merge().endpoint(11).number;
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    let merged = world.merge();
    assert_eq!(merged.who(11), "web 172.18.0.2");
    assert_eq!(merged.endpoint(11).number, number);
}

#[test]
fn a_plain_interface_takes_nobodys_address_and_none_from_elsewhere() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    world.listed_at = Some(world.now);
    let own = "fe80::42:acff:fe12:9"; // follows from its MAC address
    let greedy = [
        "172.18.0.1",
        "172.18.0.2",
        "172.18.0.0",
        "172.18.255.255",
        "8.8.8.8",
        "127.0.0.1",
        "172.18.0.9",
        own,
    ];
    world.veth(13, 1, 50, 9, &greedy);
    world.merge();
    world.later(GRACE * 2);
    let merged = world.merge();
    assert_eq!(merged.who(13), "veth13 172.18.0.9");
    assert!(merged.says("8.8.8.8 is in none of the host's networks"));
    assert!(merged.says("172.18.0.2 belongs to web already"));
    assert_eq!(merged.who(11), "web 172.18.0.2");
}

#[test]
fn a_plain_interface_takes_nobodys_mac() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    world.veth(13, 1, 50, 2, &["172.18.0.9"]);
    world.merge();
    world.later(GRACE * 2);
    let merged = world.merge();
    let (mac, holder) = (mac_address(2), "web".to_owned());
    assert_eq!(*merged.why(13), Why::MacTaken { mac, holder });
    assert_eq!(merged.who(13), "nobody");
}

#[test]
fn an_interface_that_the_policy_names_is_an_endpoint_wherever_it_is() {
    let mut world = World::new();
    world.settings.policy_interfaces = vec![pattern("lxc*"), pattern("tap9")];
    let mut lxc = link(21, "lxc1", "veth");
    lxc.peer = Some(3);
    lxc.peer_namespace = Some(Nsid(60));
    world.host.links.push(lxc);
    world.host.addresses.push(InterfaceAddress {
        ifindex: 21,
        address: "10.5.0.1".parse().unwrap(),
        prefix_length: 24,
    });
    let peer = Peer {
        mac: Some(mac_address(77)),
        addresses: ["10.5.0.2".parse().unwrap()].into(),
    };
    world.host.peers.insert(21, peer);
    let merged = world.merge();
    assert_eq!(merged.who(21), "lxc1 10.5.0.2");
    assert_eq!(merged.endpoint(21).bridge, None);
    assert!(merged.says("tap9: no such interface"));
    assert!(!merged.says("lxc"), "{:?}", merged.remarks);
}

#[test]
fn a_tap_needs_its_mac_by_hand() {
    let mut world = World::new();
    world.settings.policy_interfaces = vec![pattern("tap0")];
    world.host.links.push(link(21, "tap0", "tun"));
    let merged = world.merge();
    assert_eq!(*merged.why(21), Why::NoPeer);
    assert_eq!(merged.who(21), "nobody");
    world.settings.plain.push(PlainInterface {
        interface: "tap0".to_owned(),
        mac: Some(mac_address(5)),
        addresses: ["192.0.2.5".parse().unwrap()].into(),
    });
    assert_eq!(world.merge().who(21), "tap0 192.0.2.5");
}

#[test]
fn uplinks_bridges_and_the_loopback_interface_are_never_endpoints() {
    let mut world = World::new();
    world.settings.policy_interfaces = vec![pattern("*"), pattern("eth0")];
    world.host.links.push(link(21, "eth0", "veth"));
    world.host.links.push(link(22, "lo", ""));
    let merged = world.merge();
    assert!(merged.inventory.endpoints.is_empty());
    assert!(merged.says("eth0: cannot be an endpoint: it is an uplink"));
    assert!(
        !merged.says("lo:"),
        "a glob does not mean everything it matches"
    );
}

#[test]
fn an_excluded_bridge_is_left_alone_and_an_unmanaged_network_is_told() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.settings.excluded = vec![pattern(&bridge_name(1))];
    let merged = world.merge();
    assert!(merged.inventory.endpoints.is_empty());
    assert_eq!(merged.remarks, [], "it was meant");
    world.settings.excluded.clear();
    world.settings.managed = vec![pattern("docker0")];
    assert!(world.merge().says("the Docker network net1 is unprotected"));
}

//! Endpoints that are Docker's: by namespace, by MAC address, and who keeps what.

use super::*;

#[test]
fn a_running_container_is_known_by_its_namespace() {
    let mut world = World::new();
    world.veth(11, 1, 7, 99, &["172.18.0.99"]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    let merged = world.merge();
    let owner = merged.owner(11).unwrap();
    assert_eq!(merged.who(11), "web 172.18.0.2");
    assert_eq!(
        owner.mac,
        mac_address(2),
        "Docker's, not the one it gave itself"
    );
    assert_eq!(owner.attributes.container.as_deref(), Some("id of web"));
    assert_eq!(owner.attributes.network.as_deref(), Some("net1"));
    assert_eq!(owner.attributes.labels["role"], "web");
    assert_eq!(merged.endpoint(11).bridge, Some(1));
    assert_eq!(merged.remarks, []);
    assert_eq!(merged.check_again_at, None);
    assert!(!merged.wants_docker_list);
}

#[test]
fn a_starting_container_is_known_by_its_mac_and_then_confirmed() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    assert_eq!(world.merge().who(11), "web 172.18.0.2");
    world.running("web", 7);
    // It changes its MAC address as soon as it can.
    world.host.peers.get_mut(&11).unwrap().mac = Some(mac_address(66));
    let merged = world.merge();
    assert_eq!(merged.who(11), "web 172.18.0.2");
    assert_eq!(merged.owner(11).unwrap().mac, mac_address(2));
    assert_eq!(merged.remarks, []);
}

#[test]
fn a_binding_by_mac_is_corrected_by_the_namespace() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    assert_eq!(world.merge().who(11), "web 172.18.0.2");
    world.attach("evil", 1, 3, "172.18.0.3");
    world.running("evil", 7);
    let merged = world.merge();
    assert_eq!(merged.who(11), "evil 172.18.0.3");
    assert!(merged.says("it is not web's"), "{:?}", merged.remarks);

    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.merge();
    world.running("web", 8);
    let merged = world.merge();
    assert_eq!(merged.who(11), "nobody", "web turned out to be elsewhere");
}

#[test]
fn who_comes_after_a_container_with_its_mac_is_not_that_one() {
    for restarted in [false, true] {
        let mut world = World::new();
        world.veth(11, 1, 7, 2, &[]);
        world.attach("web", 1, 2, "172.18.0.2");
        assert_eq!(world.merge().who(11), "web 172.18.0.2");
        if restarted {
            world.restart("this boot");
        }
        // What Docker has told is of before: it has given the address to another one by now.
        world.unplug(11);
        world.merge();
        world.veth(13, 1, 8, 2, &[]);
        assert_eq!(world.merge().who(13), "nobody");
        world.unplug(13);
        // An interface of the same index and name, of which others have told that it is a new one.
        world.veth(11, 1, 8, 2, &[]);
        world.ledger.forget(&[11].into());
        assert_eq!(world.merge().who(11), "nobody");
        // Started again, it is attached anew, and known at once.
        world.detach("web");
        world.attach("web", 1, 2, "172.18.0.2").endpoint = "another".to_owned();
        assert_eq!(world.merge().who(11), "web 172.18.0.2");
    }
}

#[test]
fn two_interfaces_with_the_same_mac_prove_nothing() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.veth(13, 1, 8, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    let merged = world.merge();
    assert_eq!(
        (merged.who(11), merged.who(13)),
        ("nobody".into(), "nobody".into())
    );
    assert_eq!(*merged.why(11), Why::Pending);
    world.running("web", 8);
    let merged = world.merge();
    assert_eq!(
        (merged.who(11), merged.who(13)),
        ("nobody".into(), "web 172.18.0.2".into())
    );
}

#[test]
fn a_mac_proves_nothing_while_a_running_containers_interface_is_not_found() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]); // evil's, with web's MAC address
    world.attach("evil", 1, 3, "172.18.0.3").running = true;
    world.attach("web", 1, 2, "172.18.0.2");
    assert_eq!(world.merge().who(11), "nobody");
    world.running("evil", 7);
    assert_eq!(world.merge().who(11), "evil 172.18.0.3");
}

#[test]
fn a_mac_on_another_bridge_proves_nothing() {
    let mut world = World::new();
    world.bridge(2);
    world.veth(11, 2, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    assert_eq!(world.merge().who(11), "nobody");
}

#[test]
fn a_mac_of_an_interface_that_is_still_on_the_host_proves_nothing() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.host.links.last_mut().unwrap().peer_namespace = None;
    world.attach("web", 1, 2, "172.18.0.2");
    assert_eq!(world.merge().who(11), "nobody");
}

#[test]
fn a_container_that_moves_its_interface_away_stays_who_it_is() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    world.merge();
    world.host.links.last_mut().unwrap().peer_namespace = Some(Nsid(50));
    world.later(GRACE * 10);
    assert_eq!(world.merge().who(11), "web 172.18.0.2");
    world.restart("this boot");
    world.later(GRACE * 10);
    assert_eq!(
        world.merge().who(11),
        "web 172.18.0.2",
        "after a restart too"
    );
}

#[test]
fn one_container_on_two_networks_is_two_endpoints() {
    let mut world = World::new();
    world.bridge(2);
    world.veth(11, 1, 7, 2, &[]);
    world.veth(13, 2, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.attach("web", 2, 2, "172.19.0.2");
    world.running("web", 7);
    let merged = world.merge();
    assert_eq!(merged.who(11), "web 172.18.0.2");
    assert_eq!(merged.who(13), "web 172.19.0.2");
    let network = |ifindex| merged.owner(ifindex).unwrap().attributes.network.clone();
    assert_eq!(
        (network(11), network(13)),
        (Some("net1".into()), Some("net2".into()))
    );
}

#[test]
fn a_second_interface_from_a_container_to_the_same_bridge_is_nobodys() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    world.merge();
    world.veth(13, 1, 7, 2, &["172.18.0.77"]);
    world.later(GRACE * 10);
    let merged = world.merge();
    assert_eq!(merged.who(11), "web 172.18.0.2");
    let container = "web".to_owned();
    assert_eq!(*merged.why(13), Why::Ambiguous { container });
}

#[test]
fn a_rename_reaches_the_endpoint() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    let number = world.merge().endpoint(11).number;
    let attachment = &mut world.docker.attachments[0];
    Arc::make_mut(&mut attachment.container).name = "shop".to_owned();
    let merged = world.merge();
    assert_eq!(merged.who(11), "shop 172.18.0.2");
    assert_eq!(merged.endpoint(11).number, number);
}

#[test]
fn a_removed_containers_address_carries_no_rights_to_the_next() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("old", 1, 2, "172.18.0.2");
    world.running("old", 7);
    let old = world.merge().endpoint(11).number;
    world.unplug(11);
    assert!(world.merge().inventory.endpoints.is_empty());
    world.detach("old");
    world.veth(13, 1, 7, 2, &[]);
    world.attach("new", 1, 2, "172.18.0.2");
    let merged = world.merge();
    assert_eq!(merged.who(13), "new 172.18.0.2");
    assert_ne!(merged.endpoint(13).number, old);
}

#[test]
fn an_interface_that_docker_forgot_gives_its_address_to_whom_docker_gave_it() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("old", 1, 2, "172.18.0.2");
    world.running("old", 7);
    world.merge();
    world.detach("old");
    let merged = world.merge();
    assert_eq!(
        merged.who(11),
        "old 172.18.0.2",
        "Docker may be mistaken for a while"
    );
    assert!(merged.says("does not know this attachment of old"));
    world.attach("new", 1, 3, "172.18.0.2");
    assert_eq!(
        world.merge().who(11),
        "old",
        "reserved before the new interface is there"
    );
    world.veth(13, 1, 8, 3, &[]);
    let merged = world.merge();
    assert_eq!(
        (merged.who(11), merged.who(13)),
        ("old".into(), "new 172.18.0.2".into())
    );
}

#[test]
fn an_address_claimed_twice_stays_with_its_first_holder() {
    let mut world = World::new();
    world.settings.last_number = EndpointNumber(2);
    world.veth(9, 1, 6, 1, &[]);
    world.veth(13, 1, 8, 3, &[]);
    world.attach("first", 1, 3, "172.18.0.2");
    world.running("first", 8);
    world.merge();
    world.unplug(9);
    world.veth(15, 1, 7, 2, &[]);
    world.attach("second", 1, 2, "172.18.0.2");
    world.running("second", 7);
    let merged = world.merge();
    assert_eq!(merged.who(13), "first 172.18.0.2");
    assert_eq!(merged.who(15), "second");
    assert!(merged.says("veth15: 172.18.0.2 belongs to first already"));
    let number = |ifindex| merged.endpoint(ifindex).number;
    assert!(
        number(15) < number(13),
        "it is not the lower number that counts"
    );
}

#[test]
fn nobody_takes_an_address_of_the_host() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.1");
    world.running("web", 7);
    let merged = world.merge();
    assert_eq!(merged.who(11), "web");
    assert!(merged.says("veth11: 172.18.0.1 belongs to the host already"));
}

#[test]
fn the_same_link_local_address_may_be_on_two_bridges_but_not_twice_on_one() {
    let mut world = World::new();
    world.bridge(2);
    world.veth(11, 1, 7, 2, &[]);
    world.veth(13, 2, 8, 3, &[]);
    world.veth(15, 2, 9, 4, &[]);
    world.attach("a", 1, 2, "fe80::7");
    world.attach("b", 2, 3, "fe80::7");
    world.attach("c", 2, 4, "fe80::7");
    for (name, namespace) in [("a", 7), ("b", 8), ("c", 9)] {
        world.running(name, namespace);
    }
    let merged = world.merge();
    assert_eq!(
        [merged.who(11), merged.who(13), merged.who(15)],
        ["a fe80::7", "b fe80::7", "c"]
    );
}

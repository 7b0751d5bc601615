//! Numbers, restarts, limits.

use super::*;

#[test]
fn numbers_and_names_survive_a_restart_even_without_docker() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.veth(13, 1, 8, 3, &[]);
    world.attach("a", 1, 2, "172.18.0.2");
    world.attach("b", 1, 3, "172.18.0.3");
    world.running("a", 7);
    world.running("b", 8);
    let before = world.merge().inventory;
    world.restart("this boot");
    world.docker = DockerView::default();
    world.host.namespaces.clear();
    world.listed_at = None;
    let merged = world.merge();
    assert_eq!(merged.inventory.endpoints, before.endpoints);
    assert_eq!(merged.remarks, [], "Docker has not said anything else");
}

#[test]
fn another_boot_or_another_interface_of_the_same_index_starts_afresh() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    world.merge();
    world.docker.attachments.clear();
    let kept = world.ledger.clone();
    world.restart("the next boot");
    assert_eq!(
        world.merge().who(11),
        "nobody",
        "the ledger is another boot's"
    );

    world.ledger = kept;
    let veth = world.host.links.last_mut().unwrap();
    veth.name = "veth-other".to_owned();
    assert_eq!(
        world.merge().who(11),
        "web 172.18.0.2",
        "renamed: its MAC address tells"
    );
    let veth = world.host.links.last_mut().unwrap();
    (veth.name, veth.mac) = ("veth-third".to_owned(), Some(mac_address(123)));
    assert_eq!(world.merge().who(11), "nobody", "another one");
}

/// Name, index and MAC address may all be those of the one that is gone.
#[test]
fn what_is_forgotten_gets_another_number_and_nobody_else_s_name() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.running("web", 7);
    let before = world.merge().endpoint(11).number;
    world.detach("web");
    let mut merged = world.merge();
    assert_eq!(
        merged.who(11),
        "web 172.18.0.2",
        "as far as anybody can tell"
    );
    assert_eq!(merged.endpoint(11).number, before);

    assert_eq!(world.ledger.interfaces(), BTreeSet::from([11]));
    world.ledger.forget(&BTreeSet::from([11, 12]));
    merged = world.merge();
    assert_eq!(merged.who(11), "nobody");
    assert_ne!(merged.endpoint(11).number, before);
}

#[test]
fn numbers_ascend_and_wrap_around_without_hitting_those_in_use() {
    let mut world = World::new();
    world.settings.last_number = EndpointNumber(4);
    world.veth(11, 1, 7, 2, &[]);
    let stays = world.merge().endpoint(11).number;
    assert_eq!(stays, EndpointNumber(1));
    let mut seen = Vec::new();
    for ifindex in (13..25).step_by(2) {
        world.veth(ifindex, 1, 8, 3, &[]);
        let merged = world.merge();
        assert_eq!(merged.endpoint(11).number, stays);
        seen.push(merged.endpoint(ifindex).number.0);
        world.unplug(ifindex);
    }
    assert_eq!(seen, [2, 3, 4, 2, 3, 4]);
}

#[test]
fn without_a_free_number_an_interface_is_no_endpoint_and_that_is_told() {
    let mut world = World::new();
    world.settings.last_number = EndpointNumber(2);
    for ifindex in [11, 13, 15] {
        world.veth(ifindex, 1, 8, 3, &[]);
    }
    let merged = world.merge();
    assert_eq!(merged.inventory.endpoints.len(), 2);
    assert!(merged.says("veth15: nothing passes: all endpoint numbers are in use"));
    world.unplug(11);
    assert_eq!(world.merge().endpoint(15).number, EndpointNumber(1));
}

#[test]
fn more_addresses_than_are_checked_are_left_out_and_that_is_told() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    let attachment = world.attach("web", 1, 2, "172.18.0.2");
    let more = (3..20).map(|n| format!("172.18.0.{n}").parse::<IpAddr>().unwrap());
    attachment.addresses.extend(more);
    world.running("web", 7);
    let merged = world.merge();
    assert_eq!(merged.owner(11).unwrap().addresses.len(), 8);
    assert!(merged.says("more than 8 addresses"));
}

#[test]
fn the_host_view_asks_for_no_peer_that_is_settled() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.veth(13, 1, 50, 3, &[]);
    world.attach("web", 1, 2, "172.18.0.2");
    let wanted = |world: &World| wants_peer(&world.host.links, &world.settings, &world.ledger);
    assert_eq!(wanted(&world), [11, 13]);
    world.running("web", 7);
    world.merge();
    assert_eq!(wanted(&world), [13]);
}

#[test]
fn a_second_merge_of_the_same_changes_nothing() {
    let mut world = World::new();
    world.veth(11, 1, 7, 2, &[]);
    world.veth(13, 1, 50, 3, &["172.18.0.3"]);
    world.attach("web", 1, 2, "172.18.0.2");
    world.later(GRACE);
    let first = world.merge();
    assert_eq!(world.merge(), first);
}

//! Links, addresses and namespaces, read from the real kernel.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver};

use bridgewall::inventory::Trigger;
use bridgewall::inventory::netlink::{Link, watch};
use bridgewall::netlink::Netlink;

use crate::host::{Cleanup, Namespace, eventually, receive, run};

fn link(netlink: &mut Netlink, name: &str) -> Link {
    let links = netlink.links().expect("links");
    links
        .into_iter()
        .find(|link| link.name == name)
        .unwrap_or_else(|| panic!("no interface {name}"))
}

fn watch() -> Receiver<Trigger> {
    let (sender, receiver) = mpsc::channel();
    watch::start(move |trigger| match sender.send(trigger) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    })
    .expect("watch");
    receiver
}

#[test]
fn a_veth_on_a_bridge_shows_its_master_and_where_its_other_end_is() {
    let namespace = Namespace::new("veth");
    let _bridge = Cleanup::new("ip link del inv-br0");
    run("ip link add inv-br0 type bridge");
    run(&format!(
        "ip link add inv-v0 master inv-br0 up type veth peer name eth0 netns {}",
        namespace.name
    ));
    namespace.ip("link set eth0 address 02:00:00:00:00:17 up");
    namespace.ip("addr add 10.99.1.2/24 dev eth0");
    namespace.ip("addr add fd00:99::2/64 dev eth0 nodad");
    namespace.ip("addr add 10.99.77.77/32 dev lo");

    let mut netlink = Netlink::open().expect("netlink");
    let bridge = link(&mut netlink, "inv-br0");
    let veth = link(&mut netlink, "inv-v0");
    assert!(bridge.is_bridge() && veth.is_veth());
    assert_eq!(veth.master, Some(bridge.ifindex));
    assert!(veth.up);
    let of_file = netlink.namespace_of_file(&namespace.path()).expect("nsid");
    assert!(of_file.is_some());
    assert_eq!(veth.peer_namespace, of_file);

    let peer = eventually("the peer's IPv6 address", || {
        let peer = netlink.peer(&veth).expect("peer").expect("a peer");
        (peer.addresses.len() == 3).then_some(peer)
    });
    assert_eq!(peer.mac.expect("its MAC").to_string(), "02:00:00:00:00:17");
    let addresses: Vec<_> = peer.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(
        addresses,
        ["10.99.1.2", "fd00:99::2", "fe80::ff:fe00:17"],
        "the interface's own addresses, and not those of others in its namespace"
    );
}

#[test]
fn a_veth_whose_ends_are_both_here_has_no_peer_namespace() {
    let _veth = Cleanup::new("ip link del inv-both0");
    run("ip link add inv-both0 type veth peer name inv-both1");
    let mut netlink = Netlink::open().expect("netlink");
    let one = link(&mut netlink, "inv-both0");
    let other = link(&mut netlink, "inv-both1");
    assert_eq!(one.peer, Some(other.ifindex));
    assert_eq!(one.peer_namespace, None);
    assert_eq!(netlink.peer(&one).expect("no error"), None);
}

#[test]
fn a_peer_that_is_gone_is_no_error() {
    let namespace = Namespace::new("gone");
    let _veth = Cleanup::new("ip link del inv-gone0");
    run(&format!(
        "ip link add inv-gone0 type veth peer name eth0 netns {}",
        namespace.name
    ));
    let mut netlink = Netlink::open().expect("netlink");
    let veth = link(&mut netlink, "inv-gone0");
    assert!(netlink.peer(&veth).expect("peer").is_some());
    drop(namespace);
    eventually("the peer's end", || {
        netlink
            .peer(&veth)
            .expect("no error")
            .is_none()
            .then_some(())
    });
}

#[test]
fn the_hosts_addresses_come_with_their_interface_and_prefix() {
    let _bridge = Cleanup::new("ip link del inv-addr0");
    run("ip link add inv-addr0 up type bridge");
    run("ip addr add 10.99.2.1/24 dev inv-addr0");
    run("ip addr add fd00:99:2::1/64 dev inv-addr0 nodad");
    let mut netlink = Netlink::open().expect("netlink");
    let bridge = link(&mut netlink, "inv-addr0");
    let mut found: Vec<_> = netlink
        .addresses()
        .expect("addresses")
        .into_iter()
        .filter(|address| address.ifindex == bridge.ifindex)
        .map(|address| format!("{}/{}", address.address, address.prefix_length))
        .filter(|address| !address.starts_with("fe80"))
        .collect();
    found.sort();
    assert_eq!(found, ["10.99.2.1/24", "fd00:99:2::1/64"]);
}

#[test]
fn a_process_leads_to_the_same_namespace_as_its_file() {
    let namespace = Namespace::new("pid");
    let _veth = Cleanup::new("ip link del inv-pid0");
    run(&format!(
        "ip link add inv-pid0 type veth peer name eth0 netns {}",
        namespace.name
    ));
    let mut netlink = Netlink::open().expect("netlink");
    let veth = link(&mut netlink, "inv-pid0");
    let mut process = std::process::Command::new("ip")
        .args(["netns", "exec", &namespace.name, "cat"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("a process");
    eventually("the process in its namespace", || {
        let found = netlink.namespace_of_process(process.id()).expect("nsid");
        (found.is_some() && found == veth.peer_namespace).then_some(())
    });
    process.kill().expect("kill");
    process.wait().expect("wait");
    assert_eq!(
        netlink
            .namespace_of_process(process.id())
            .expect("no error"),
        None,
        "a process that is gone"
    );
    let not_a_namespace = std::path::Path::new("/etc/passwd");
    assert_eq!(
        netlink
            .namespace_of_file(not_a_namespace)
            .expect("no error"),
        None
    );
}

#[test]
fn a_link_that_comes_changes_and_goes_is_noticed() {
    let triggers = watch();
    let _veth = Cleanup::new("ip link del inv-seen0");
    run("ip link add inv-seen0 type veth peer name inv-seen1");
    let ifindex = link(&mut Netlink::open().expect("netlink"), "inv-seen0").ifindex;
    let changed = Trigger::LinkChanged { ifindex };
    receive("it appears", &triggers, |trigger| *trigger == changed);
    run("ip addr add 10.99.3.1/32 dev inv-seen0");
    let addresses = Trigger::HostAddresses { ifindex };
    receive("its address", &triggers, |trigger| *trigger == addresses);
    run("ip link del inv-seen0");
    let gone = Trigger::LinkGone { ifindex };
    receive("it goes", &triggers, |trigger| *trigger == gone);
}

#[test]
fn an_address_change_in_a_peers_namespace_is_noticed() {
    let namespace = Namespace::new("noticed");
    let _veth = Cleanup::new("ip link del inv-noticed0");
    run(&format!(
        "ip link add inv-noticed0 type veth peer name eth0 netns {}",
        namespace.name
    ));
    let mut netlink = Netlink::open().expect("netlink");
    let nsid = link(&mut netlink, "inv-noticed0")
        .peer_namespace
        .expect("a namespace");
    let triggers = watch();
    let peer = Trigger::Peer { namespace: nsid };
    namespace.ip("addr add 10.99.4.2/24 dev eth0");
    receive("the new address", &triggers, |trigger| *trigger == peer);
    while triggers.try_recv().is_ok() {}
    namespace.ip("link set eth0 address 02:00:00:00:00:99");
    receive("the new MAC address", &triggers, |trigger| *trigger == peer);
}

#[test]
fn notices_that_were_lost_are_a_reason_to_list_everything() {
    // Nobody takes the first trigger, so the thread does not read on, and its small buffer fills.
    let (sender, triggers) = mpsc::sync_channel(0);
    watch::start_with_buffers(4096, 4096, move |trigger| match sender.send(trigger) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    })
    .expect("watch");
    let _veth = Cleanup::new("ip link del inv-lost0");
    run("ip link add inv-lost0 type veth peer name inv-lost1");
    // Of a new alias the kernel tells only where the interface is up.
    run("ip link set inv-lost0 up");
    for _ in 0..20 {
        run("ip link set inv-lost0 alias one");
        run("ip link set inv-lost0 alias other");
    }
    receive(
        "a call to list all",
        &triggers,
        |trigger| matches!(trigger, Trigger::Relist { cause } if cause.contains("lost")),
    );
    let ifindex = link(&mut Netlink::open().expect("netlink"), "inv-lost0").ifindex;
    eventually("the watch goes on", || {
        run("ip link set inv-lost0 alias later");
        let changed = Trigger::LinkChanged { ifindex };
        triggers.try_iter().any(|t| t == changed).then_some(())
    });
}

//! From a real Docker engine's events, and the kernel's notices, to the inventory.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bridgewall::inventory::endpoints::Ledger;
use bridgewall::policy::model::Pattern;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket,
};

use crate::engine::{Container, Loop, Network, endpoints_of};
use crate::host::{eventually, run};

/// When each interface of this host sent its first packet.
#[derive(Clone, Default)]
struct FirstPackets(Arc<Mutex<BTreeMap<usize, Instant>>>);

impl FirstPackets {
    fn watch() -> Self {
        let this = Self::default();
        let first = this.clone();
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .expect("a packet socket (root)");
        thread::spawn(move || {
            const PACKET_OUTGOING: u8 = 4;
            let mut frame = [0; 64];
            while let Ok((_, Some(from))) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame) {
                if from.pkttype() != PACKET_OUTGOING {
                    let mut first = first.0.lock().expect("a lock");
                    first.entry(from.ifindex()).or_insert_with(Instant::now);
                }
            }
        });
        this
    }

    fn of(&self, ifindex: u32) -> Option<Instant> {
        self.0
            .lock()
            .expect("a lock")
            .get(&(ifindex as usize))
            .copied()
    }
}

/// How early depends on how busy the machine is, so one of many is enough: what is not named yet is not
/// let through either, and its first packets are lost, not misjudged.
#[test]
fn a_new_container_can_be_named_before_its_first_packet() {
    const ROUNDS: usize = 20;
    let network = Network::new("first");
    let gateway = network.gateway();
    let packets = FirstPackets::watch();
    let mut looking = Loop::new(&[&network]);
    looking.until_connected();
    let lead = (0..ROUNDS).find_map(|round| {
        let container = Container::create(
            &format!("first-{round}"),
            &format!("--network {} --label role=ping", network.name),
            &format!("ping -c 1 {gateway}"),
        );
        let start = thread::spawn({
            let name = container.name.clone();
            move || run(&format!("docker start {name}"))
        });
        let endpoint = looking.until("its name", |merged| {
            endpoints_of(merged, &container.id).pop()
        });
        let named = Instant::now();
        let owner = endpoint.owner.expect("an owner");
        assert_eq!(owner.attributes.labels["role"], "ping");
        assert_eq!(owner.addresses.len(), 1);
        let packet = eventually("its first packet", || packets.of(endpoint.ifindex));
        start.join().expect("docker start");
        packet.checked_duration_since(named)
    });
    assert!(lead.is_some(), "none of {ROUNDS} was named before it spoke");
}

#[test]
fn an_endpoint_comes_and_goes_with_its_container() {
    let network = Network::new("life");
    let mut looking = Loop::new(&[&network]);
    let container = Container::run("life", &format!("--network {}", network.name));
    let first = looking.until_named(&container);
    assert_eq!(first.owner.as_ref().unwrap().attributes.name, "inv-life");
    assert_eq!(
        first.owner.as_ref().unwrap().attributes.image.as_deref(),
        Some("inv-busybox")
    );

    container.docker("stop -t 0");
    looking.until("its end", |merged| {
        merged.inventory.endpoints.is_empty().then_some(())
    });
    container.docker("start");
    let second = looking.until_named(&container);
    assert_ne!(second.ifindex, first.ifindex);
    assert_ne!(
        second.number, first.number,
        "numbers come back as late as possible"
    );

    run(&format!(
        "docker rename {} inv-life-renamed",
        container.name
    ));
    looking.until("the new name", |merged| {
        let endpoint = endpoints_of(merged, &container.id).pop()?;
        (endpoint.owner?.attributes.name == "inv-life-renamed").then_some(())
    });
    run(&format!(
        "docker rename inv-life-renamed {}",
        container.name
    ));

    container.docker("restart -t 0");
    let third = looking.until("its third interface", |merged| {
        let endpoint = endpoints_of(merged, &container.id).pop()?;
        (endpoint.ifindex > second.ifindex).then_some(endpoint)
    });
    assert!(third.number > second.number);
}

#[test]
fn a_second_network_is_a_second_endpoint() {
    let (one, two) = (Network::new("one"), Network::new("two"));
    let mut looking = Loop::new(&[&one, &two]);
    let container = Container::run("both", &format!("--network {}", one.name));
    let first = looking.until_named(&container);
    run(&format!(
        "docker network connect {} {}",
        two.name, container.name
    ));
    let both = looking.until("its second endpoint", |merged| {
        let both = endpoints_of(merged, &container.id);
        (both.len() == 2).then_some(both)
    });
    let mut networks: Vec<_> = both
        .iter()
        .filter_map(|endpoint| endpoint.owner.as_ref()?.attributes.network.clone())
        .collect();
    networks.sort();
    assert_eq!(networks, ["inv-one", "inv-two"]);
    assert!(both.contains(&first), "the first one is as it was");
    run(&format!(
        "docker network disconnect {} {}",
        one.name, container.name
    ));
    looking.until("the first one's end", |merged| {
        let left = endpoints_of(merged, &container.id);
        (left.len() == 1 && left[0].ifindex != first.ifindex).then_some(())
    });
}

#[test]
fn containers_that_share_a_namespace_are_one_endpoint_of_its_owner() {
    let network = Network::new("share");
    let mut looking = Loop::new(&[&network]);
    let owner = Container::run("owner", &format!("--network {}", network.name));
    let endpoint = looking.until_named(&owner);
    let _guest = Container::run("guest", &format!("--network container:{}", owner.name));
    let merged = looking.look();
    assert_eq!(merged.inventory.endpoints.len(), 1);
    assert_eq!(merged.inventory.endpoints[&endpoint.number], endpoint);
}

#[test]
fn a_container_that_changes_its_mac_stays_who_it_is() {
    let network = Network::new("mac");
    let mut looking = Loop::new(&[&network]);
    let victim = Container::run("victim", &format!("--network {}", network.name));
    let evil = Container::run(
        "evil",
        &format!("--network {} --cap-add NET_ADMIN", network.name),
    );
    let of_victim = looking.until_named(&victim);
    let of_evil = looking.until_named(&evil);
    let mac = of_victim.owner.as_ref().expect("an owner").mac;
    run(&format!("docker exec {} ip link set eth0 down", evil.name));
    run(&format!(
        "docker exec {} ip link set eth0 address {mac}",
        evil.name
    ));
    run(&format!("docker exec {} ip link set eth0 up", evil.name));
    let unchanged = |looking: &mut Loop| {
        looking.until("both as they were", |merged| {
            let all: Vec<_> = merged.inventory.endpoints.values().cloned().collect();
            (all.len() == 2 && all.contains(&of_victim) && all.contains(&of_evil)).then_some(())
        });
    };
    unchanged(&mut looking);
    // The daemon starts anew, and knows nothing but what is to be seen now.
    let managed = || vec![Pattern::new(&network.bridge).expect("a pattern")];
    let mut anew = Loop::with(managed(), Ledger::new("a boot"));
    anew.until("each by its namespace", |merged| {
        let name = |ifindex: u32| {
            let mut all = merged.inventory.endpoints.values();
            let endpoint = all.find(|endpoint| endpoint.ifindex == ifindex)?;
            Some(endpoint.owner.as_ref()?.attributes.name.clone())
        };
        let names = (name(of_victim.ifindex)?, name(of_evil.ifindex)?);
        assert_eq!(names, ("inv-victim".to_owned(), "inv-evil".to_owned()));
        Some(())
    });
    // Or with what was kept.
    let mut kept = Loop::with(managed(), looking.ledger.clone());
    unchanged(&mut kept);
}

#[test]
fn containers_started_at_once_are_each_known_by_their_own_address() {
    let network = Network::new("crowd");
    let mut looking = Loop::new(&[&network]);
    looking.until_connected();
    let containers: Vec<_> = (0..6)
        .map(|n| {
            let options = format!("--network {}", network.name);
            Container::create(&format!("crowd-{n}"), &options, "sleep 600")
        })
        .collect();
    let starts: Vec<_> = containers
        .iter()
        .map(|container| {
            let name = container.name.clone();
            thread::spawn(move || run(&format!("docker start {name}")))
        })
        .collect();
    let found = looking.until("all of them", |merged| {
        let one = |c: &Container| endpoints_of(merged, &c.id).pop();
        containers.iter().map(one).collect::<Option<Vec<_>>>()
    });
    for start in starts {
        start.join().expect("docker start");
    }
    for (container, endpoint) in containers.iter().zip(found) {
        let owner = endpoint.owner.expect("an owner");
        let addresses: Vec<_> = owner.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, container.addresses(), "{}", container.name);
    }
}

#[test]
fn an_interface_that_docker_does_not_know_is_named_from_its_peer_after_the_grace_time() {
    let network = Network::new("foreign");
    let namespace = crate::host::Namespace::new("foreign");
    let mut looking = Loop::new(&[&network]);
    looking.until_connected();
    run(&format!(
        "ip link add inv-foreign0 master {} up type veth peer name eth0 netns {}",
        network.bridge, namespace.name
    ));
    namespace.ip("link set eth0 address 02:00:00:00:00:21 up");
    let gateway = network.gateway();
    let (prefix, _) = gateway.rsplit_once('.').expect("an IPv4 address");
    namespace.ip(&format!("addr add {prefix}.77/16 dev eth0"));
    namespace.ip("addr add 8.8.8.8/32 dev eth0");
    let appeared = Instant::now();
    let owner = looking.until("its name", |merged| {
        let mut all = merged.inventory.endpoints.values();
        all.find(|endpoint| endpoint.interface == "inv-foreign0")?
            .owner
            .clone()
    });
    assert!(
        appeared.elapsed() > Duration::from_secs(1),
        "not before its time"
    );
    assert_eq!(owner.mac.to_string(), "02:00:00:00:00:21");
    assert!(
        owner
            .addresses
            .contains(&format!("{prefix}.77").parse().unwrap())
    );
    assert!(!owner.addresses.contains(&"8.8.8.8".parse().unwrap()));
    assert_eq!(owner.attributes.container, None);
}

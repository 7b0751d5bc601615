//! What the merge promises, on hand-made hosts. Interfaces on the bridge `br-` have the index that a
//! test gives them, and their other ends are in the namespace of the same number.

use std::sync::Arc;

use super::*;
use crate::inventory::docker::{Attachment, Container, DockerNetwork};
use crate::inventory::model::Owner;

const GRACE: Duration = Duration::from_secs(2);

/// A host in the making.
struct World {
    host: HostView,
    docker: DockerView,
    settings: Settings,
    ledger: Ledger,
    listed_at: Option<Instant>,
    expected: bool,
    now: Instant,
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

fn bridge_name(number: u32) -> String {
    format!("br-{number:012}")
}

impl World {
    /// With one managed bridge of index 1, 172.18.0.1/16, and a Docker that has answered.
    fn new() -> Self {
        let now = Instant::now();
        let mut world = Self {
            host: HostView::default(),
            docker: DockerView::default(),
            settings: Settings {
                managed: vec![pattern("docker0"), pattern("br-????????????")],
                excluded: Vec::new(),
                uplinks: vec![pattern("eth*")],
                plain: Vec::new(),
                policy_interfaces: Vec::new(),
                last_number: EndpointNumber(100),
                grace: GRACE,
            },
            ledger: Ledger::new("this boot"),
            listed_at: Some(now),
            expected: true,
            now,
        };
        world.bridge(1);
        world
    }

    fn bridge(&mut self, number: u32) {
        let mut link = link(number, &bridge_name(number), "bridge");
        link.mac = Some(MacAddress([2, 0, 0, 0, 0xff, number as u8]));
        self.host.links.push(link);
        self.host.addresses.push(InterfaceAddress {
            ifindex: number,
            address: format!("172.{}.0.1", 17 + number).parse().unwrap(),
            prefix_length: 16,
        });
        self.docker.networks.push(DockerNetwork {
            id: format!("{number:064}"),
            name: format!("net{number}"),
            driver: "bridge".to_owned(),
            bridge: Some(bridge_name(number)),
            subnets: Vec::new(),
        });
    }

    /// A veth on a bridge, whose other end is in the namespace `namespace`.
    fn veth(&mut self, ifindex: u32, bridge: u32, namespace: i32, mac: u8, addresses: &[&str]) {
        let mut veth = link(ifindex, &format!("veth{ifindex}"), "veth");
        veth.master = Some(bridge);
        veth.peer = Some(ifindex - 1);
        veth.peer_namespace = Some(Nsid(namespace));
        self.host.links.push(veth);
        let peer = Peer {
            mac: Some(mac_address(mac)),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        };
        self.host.peers.insert(ifindex, peer);
    }

    fn unplug(&mut self, ifindex: u32) {
        self.host.links.retain(|link| link.ifindex != ifindex);
        self.host.peers.remove(&ifindex);
    }

    /// Docker attaches a container that it is starting.
    fn attach(&mut self, name: &str, bridge: u32, mac: u8, address: &str) -> &mut Attachment {
        self.docker.attachments.push(Attachment {
            endpoint: format!("{name}@{bridge}"),
            container: Arc::new(Container {
                id: format!("id of {name}"),
                name: name.to_owned(),
                image: Some("busybox".to_owned()),
                labels: BTreeMap::from([("role".to_owned(), name.to_owned())]),
                project: None,
            }),
            network: format!("net{bridge}"),
            bridge: bridge_name(bridge),
            mac: mac_address(mac),
            addresses: [address.parse().unwrap()].into(),
            running: false,
        });
        self.docker.attachments.last_mut().unwrap()
    }

    /// Docker tells that the container runs, and where.
    fn running(&mut self, name: &str, namespace: i32) {
        let id = format!("id of {name}");
        for attachment in &mut self.docker.attachments {
            attachment.running |= attachment.container.id == id;
        }
        self.host.namespaces.insert(id, Nsid(namespace));
    }

    /// Docker removes a container's attachments.
    fn detach(&mut self, name: &str) {
        let id = format!("id of {name}");
        self.docker.attachments.retain(|a| a.container.id != id);
        self.host.namespaces.remove(&id);
    }

    fn merge(&mut self) -> Merged {
        let knowledge = DockerKnowledge {
            view: &self.docker,
            listed_at: self.listed_at,
            expected: self.expected,
        };
        let merged = merge(
            &self.host,
            knowledge,
            &self.settings,
            &self.ledger,
            self.now,
        );
        self.ledger = merged.ledger.clone();
        merged
    }

    /// Time passes, and Docker lists all it has.
    fn later(&mut self, duration: Duration) {
        self.now += duration;
        self.listed_at = Some(self.now);
    }

    /// The daemon is stopped and started again: of the ledger only its text is left.
    fn restart(&mut self, boot: &str) {
        self.ledger = Ledger::restore(&self.ledger.to_text().unwrap(), boot).unwrap();
    }
}

fn link(ifindex: u32, name: &str, kind: &str) -> Link {
    Link {
        ifindex,
        name: name.to_owned(),
        kind: Some(kind.to_owned()),
        master: None,
        peer: None,
        peer_namespace: None,
        mac: Some(MacAddress([6, 0, 0, 0, 0, ifindex as u8])),
        up: true,
        operational: true,
    }
}

fn mac_address(last: u8) -> MacAddress {
    MacAddress([2, 0x42, 0xac, 18, 0, last])
}

impl Merged {
    fn endpoint(&self, ifindex: u32) -> &Endpoint {
        let mut all = self.inventory.endpoints.values();
        all.find(|endpoint| endpoint.ifindex == ifindex)
            .unwrap_or_else(|| panic!("no endpoint {ifindex}"))
    }

    fn owner(&self, ifindex: u32) -> Option<&Owner> {
        self.endpoint(ifindex).owner.as_ref()
    }

    /// The name that an endpoint goes by, and its addresses.
    fn who(&self, ifindex: u32) -> String {
        let Some(owner) = self.owner(ifindex) else {
            return "nobody".to_owned();
        };
        let addresses = owner.addresses.iter().map(ToString::to_string);
        let mut words = vec![owner.attributes.name.clone()];
        words.extend(addresses);
        words.join(" ")
    }

    fn why(&self, ifindex: u32) -> &Why {
        let interface = &self.endpoint(ifindex).interface;
        self.remarks
            .iter()
            .find_map(|remark| match remark {
                Remark::Unnamed { interface: i, why } if i == interface => Some(why),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no reason: {:?}", self.remarks))
    }

    fn says(&self, part: &str) -> bool {
        self.remarks
            .iter()
            .any(|remark| remark.to_string().contains(part))
    }
}

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
    world.veth(13, 1, 8, 3, &[]);
    world.attach("second", 1, 3, "172.18.0.2");
    world.running("second", 8);
    world.merge();
    world.veth(11, 1, 7, 2, &[]);
    world.attach("first", 1, 2, "172.18.0.2");
    world.running("first", 7);
    let merged = world.merge();
    assert_eq!(merged.who(13), "second 172.18.0.2");
    assert_eq!(merged.who(11), "first");
    assert!(merged.says("veth11: 172.18.0.2 belongs to second already"));
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

#[test]
fn an_interface_that_docker_does_not_know_is_plain_after_a_list_and_a_time() {
    let mut world = World::new();
    world.later(GRACE); // the list is from now, and so is the interface
    world.veth(11, 1, 50, 9, &["172.18.0.9", "fe80::9"]);
    let merged = world.merge();
    assert_eq!(*merged.why(11), Why::Pending);
    assert!(
        merged.wants_docker_list,
        "the list is not younger than the interface"
    );
    let next = merged.check_again_at.expect("a time to look again");
    assert!(next > world.now && next <= world.now + GRACE);

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
    assert_eq!(world.merge().inventory.endpoints, before.endpoints);
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

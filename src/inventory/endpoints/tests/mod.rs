//! What the merge promises, on hand-made hosts. Interfaces on the bridge `br-` have the index that a
//! test gives them, and their other ends are in the namespace of the same number.

mod ledger;
mod named;
mod plain;

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
            published: BTreeSet::new(),
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
        group: 0,
        ethernet: true,
        xdp: None,
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

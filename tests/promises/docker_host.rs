//! A host with two bridge networks and an engine that says what the test wants: its containers are
//! namespaces, and get the interface, the index and the addresses that the test chooses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use bridgewall::control::client::Client;
use bridgewall::control::protocol::{Listing, Request, Response};
use bridgewall::control::report::EndpointReport;

use crate::common::daemon::{Attach, Daemon};
use crate::common::fake_docker::{
    FakeAttachment, FakeContainer, FakeDocker, FakeNetwork, Fate, id_of,
};
use crate::common::frame::Mac;
use crate::common::namespace::Namespace;
use crate::common::sandbox::{Sandbox, mac_text};
use crate::roomy;

/// The networks.
pub const NETWORKS: [FakeNetwork; 2] = [
    FakeNetwork {
        name: "front",
        bridge: "br0",
        subnet: "10.77.0.0/24",
    },
    FakeNetwork {
        name: "back",
        bridge: "br1",
        subnet: "10.78.0.0/24",
    },
];

/// How a container is on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plug {
    /// The host-side interface's name.
    pub interface: String,
    /// Its index; `None`: one that was never used.
    pub index: Option<u32>,
    /// The last byte of its addresses, which is all that MAC addresses of one network differ in too.
    pub last: u8,
}

impl Plug {
    fn mac(&self, network: usize) -> Mac {
        [0x02, 0x42, 10, 77 + network as u8, 0, self.last]
    }

    /// IPv4 and IPv6.
    pub fn addresses(&self, network: usize) -> [IpAddr; 2] {
        [
            Ipv4Addr::new(10, 77 + network as u8, 0, self.last).into(),
            Ipv6Addr::new(0xfd77 + network as u16, 0, 0, 0, 0, 0, 0, self.last.into()).into(),
        ]
    }
}

/// A container.
#[derive(Debug)]
pub struct Box {
    /// What it is called now.
    pub name: String,
    /// What the engine's id of it is made of: no other container's ever.
    id: String,
    /// Its label `role`.
    pub role: String,
    /// By the place in [`NETWORKS`].
    pub plugs: BTreeMap<usize, Plug>,
    /// `created`, `running`, `paused` or `exited`.
    pub state: &'static str,
    /// While it runs.
    pub namespace: Option<Namespace>,
    /// A path of that, which is no other namespace's ever.
    sandbox: Option<PathBuf>,
    /// By network: which of all attachments that one is. Another one each time that it is made.
    attachments: BTreeMap<usize, u32>,
}

impl Box {
    /// Whether it has interfaces.
    pub fn runs(&self) -> bool {
        self.namespace.is_some()
    }
}

/// What is left of a container that has ended.
pub struct Left {
    /// For `ip`: its interfaces go. They would go with its namespace too, but nobody could say when.
    pub commands: String,
    _namespace: Option<Namespace>,
}

/// An endpoint as it should be, or as the daemon says it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    interface: String,
    ifindex: u32,
    name: Option<String>,
    container: Option<String>,
    network: Option<String>,
    bridge: Option<String>,
    mac: Option<String>,
    addresses: BTreeSet<IpAddr>,
    identities: Vec<String>,
    armed: bool,
}

/// The host.
pub struct DockerHost {
    /// Its namespace, and the outside.
    pub sandbox: Sandbox,
    /// Its engine.
    pub engine: FakeDocker,
    /// Its containers, by the name that they had at first.
    pub boxes: BTreeMap<String, Box>,
    created: u32,
    attached: u32,
    namespaces: u32,
}

impl DockerHost {
    /// Without any container.
    pub fn new() -> Self {
        let sandbox = Sandbox::new(&[]);
        sandbox.host().namespace.ip(
            "link add br1 address 02:bb:00:00:00:78 type bridge mcast_snooping 0
             addr add 10.78.0.1/24 dev br1
             addr add fd78::1/64 dev br1 nodad
             link set br1 up",
        );
        let folder = sandbox.place().directory();
        std::fs::create_dir(folder.join("netns")).expect("make a folder");
        Self {
            engine: FakeDocker::start(folder, &NETWORKS),
            sandbox,
            boxes: BTreeMap::new(),
            created: 0,
            attached: 0,
            namespaces: 0,
        }
    }

    /// A daemon that manages both bridges.
    #[track_caller]
    pub fn daemon(&self, attach: Attach, policy: &str) -> Daemon {
        let configuration = format!(
            "{}\n[bridges]\nmanaged = [\"br0\", \"br1\"]\n",
            self.engine.configuration()
        );
        let endpoints = self.expected().len() as u64;
        let place = self.sandbox.place();
        Daemon::start(place, attach, &roomy(&configuration), policy, endpoints)
    }

    /// A container is made.
    pub fn create(&mut self, key: &str, role: &str, plugs: BTreeMap<usize, Plug>, fate: Fate) {
        self.created += 1;
        let container = Box {
            name: key.to_owned(),
            id: format!("{key}.{}", self.created),
            role: role.to_owned(),
            plugs,
            state: "created",
            namespace: None,
            sandbox: None,
            attachments: BTreeMap::new(),
        };
        self.boxes.insert(key.to_owned(), container);
        self.tell(key);
        self.event(key, "create", fate);
    }

    /// A container starts: its interfaces are made, and then something runs in it.
    pub fn start(&mut self, key: &str, fate: Fate) {
        self.start_after("", key, fate);
    }

    /// The same, and right before it its `ip` does something else.
    pub fn start_after(&mut self, before: &str, key: &str, fate: Fate) {
        let namespace = Namespace::create();
        self.namespaces += 1;
        let folder = self.sandbox.place().directory().join("netns");
        let path = folder.join(self.namespaces.to_string());
        symlink(namespace.path(), &path).expect("name a namespace");
        let container = self.boxes.get_mut(key).expect("it was created");
        container.namespace = Some(namespace);
        container.sandbox = Some(path);
        for network in container.plugs.keys() {
            self.attached += 1;
            container.attachments.insert(*network, self.attached);
        }
        self.tell(key);
        let plugs = self.boxes[key].plugs.clone();
        for network in plugs.keys() {
            let name = NETWORKS[*network].name;
            self.engine.network_event(name, "connect", fate);
        }
        let commands: String = plugs
            .iter()
            .map(|(network, plug)| self.plug_in(key, *network, plug))
            .collect();
        self.host().ip(&format!("{before}{commands}"));
        for (network, plug) in &plugs {
            self.address(key, *network, plug);
        }
        self.set_state(key, "running");
        self.event(key, "start", fate);
    }

    fn host(&self) -> &Namespace {
        &self.sandbox.host().namespace
    }

    /// The `ip` commands that connect a container.
    fn plug_in(&self, key: &str, network: usize, plug: &Plug) -> String {
        let namespace = self.boxes[key].namespace.as_ref().expect("it runs");
        let index = plug.index.map(|index| format!("index {index}"));
        format!(
            "link add {0} {1} type veth peer name eth{network} address {2} netns {3}\n\
             link set {0} master {4} up\n",
            plug.interface,
            index.unwrap_or_default(),
            mac_text(plug.mac(network)),
            namespace.path().display(),
            NETWORKS[network].bridge,
        )
    }

    fn address(&self, key: &str, network: usize, plug: &Plug) {
        let [ipv4, ipv6] = plug.addresses(network);
        let namespace = self.boxes[key].namespace.as_ref().expect("it runs");
        namespace.ip(&format!(
            "addr add {ipv4}/24 dev eth{network}\n\
             addr add {ipv6}/64 dev eth{network} nodad\n\
             link set eth{network} up"
        ));
    }

    /// Its interfaces go, and its namespace.
    pub fn stop(&mut self, key: &str, fate: Fate) {
        let left = self.end(key, fate);
        self.host().ip(&left.commands);
    }

    /// As far as the engine knows it is gone.
    pub fn end(&mut self, key: &str, fate: Fate) -> Left {
        let container = self.boxes.get_mut(key).expect("it was created");
        let namespace = container.namespace.take();
        if let Some(path) = container.sandbox.take() {
            std::fs::remove_file(path).expect("forget a namespace");
        }
        let plugs = container.plugs.clone();
        self.set_state(key, "exited");
        self.event(key, "die", fate);
        for network in plugs.keys() {
            let name = NETWORKS[*network].name;
            self.engine.network_event(name, "disconnect", fate);
        }
        let commands = plugs.values();
        Left {
            commands: commands
                .map(|plug| format!("link del {}\n", plug.interface))
                .collect(),
            _namespace: namespace,
        }
    }

    /// A container that does not run is removed.
    pub fn remove(&mut self, key: &str, fate: Fate) {
        let container = self.boxes.remove(key).expect("it was created");
        self.engine.set(&container.id, None);
        self.engine.container_event(&container.id, "destroy", fate);
    }

    /// One that runs is connected to one more network.
    pub fn connect(&mut self, key: &str, network: usize, plug: Plug, fate: Fate) {
        let container = self.boxes.get_mut(key).expect("it was created");
        container.plugs.insert(network, plug.clone());
        self.attached += 1;
        container.attachments.insert(network, self.attached);
        self.tell(key);
        self.host().ip(&self.plug_in(key, network, &plug));
        self.address(key, network, &plug);
        self.engine
            .network_event(NETWORKS[network].name, "connect", fate);
    }

    /// One that runs is disconnected.
    pub fn disconnect(&mut self, key: &str, network: usize, fate: Fate) {
        let container = self.boxes.get_mut(key).expect("it was created");
        let plug = container.plugs.remove(&network).expect("it is connected");
        self.tell(key);
        self.host().ip(&format!("link del {}\n", plug.interface));
        self.engine
            .network_event(NETWORKS[network].name, "disconnect", fate);
    }

    /// A container is called otherwise.
    pub fn rename(&mut self, key: &str, name: String, fate: Fate) {
        self.boxes.get_mut(key).expect("it was created").name = name;
        self.tell(key);
        self.event(key, "rename", fate);
    }

    /// A container is paused, or runs on.
    pub fn pause(&mut self, key: &str, fate: Fate) {
        let (state, action) = match self.boxes[key].state {
            "paused" => ("running", "unpause"),
            _ => ("paused", "pause"),
        };
        self.set_state(key, state);
        self.event(key, action, fate);
    }

    fn event(&self, key: &str, action: &str, fate: Fate) {
        let id = &self.boxes[key].id;
        self.engine.container_event(id, action, fate);
    }

    fn set_state(&mut self, key: &str, state: &'static str) {
        self.boxes.get_mut(key).expect("it was created").state = state;
        self.tell(key);
    }

    /// The engine knows the container as it is now.
    fn tell(&self, key: &str) {
        let container = &self.boxes[key];
        let plugs = container.plugs.iter().filter(|_| container.runs());
        let attachments = plugs.map(|(network, plug)| {
            let attachment = FakeAttachment {
                id: format!("{}/{}", container.id, container.attachments[network]),
                mac: plug.mac(*network),
                addresses: plug.addresses(*network).to_vec(),
            };
            (NETWORKS[*network].name, attachment)
        });
        let told = FakeContainer {
            name: container.name.clone(),
            labels: BTreeMap::from([("role".to_owned(), container.role.clone())]),
            state: container.state,
            sandbox: container.sandbox.clone(),
            attachments: attachments.collect(),
        };
        self.engine.set(&container.id, Some(told));
    }

    /// The endpoints that there should be. Identities are called like their label.
    pub fn expected(&self) -> BTreeSet<Seen> {
        let mut expected = BTreeSet::new();
        for container in self.boxes.values().filter(|container| container.runs()) {
            for (&network, plug) in &container.plugs {
                expected.insert(Seen {
                    interface: plug.interface.clone(),
                    ifindex: self.host().interface_index(&plug.interface),
                    name: Some(container.name.clone()),
                    container: Some(id_of(&container.id)),
                    network: Some(NETWORKS[network].name.to_owned()),
                    bridge: Some(NETWORKS[network].bridge.to_owned()),
                    mac: Some(mac_text(plug.mac(network))),
                    addresses: plug.addresses(network).into(),
                    identities: vec![container.role.clone()],
                    armed: true,
                });
            }
        }
        expected
    }

    /// The endpoints that there are; `None` if the daemon does not answer.
    pub fn seen(daemon: &Daemon) -> Option<BTreeSet<Seen>> {
        let mut client = Client::connect(&daemon.socket()).ok()?;
        match client.ask(Request::List(Listing::Endpoints)).ok()? {
            Response::Endpoints(endpoints) => Some(endpoints.into_iter().map(Seen::from).collect()),
            _ => None,
        }
    }
}

impl From<EndpointReport> for Seen {
    fn from(report: EndpointReport) -> Self {
        Self {
            interface: report.interface,
            ifindex: report.ifindex,
            name: report.name,
            container: report.container,
            network: report.network,
            bridge: report.bridge,
            mac: report.mac,
            addresses: report.addresses.into_iter().collect(),
            identities: report.identities,
            armed: report.armed,
        }
    }
}

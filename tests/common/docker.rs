//! Containers of a real Docker engine, on networks of its own.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use super::namespace::Namespace;
use super::place::{self, Place};
use super::sandbox::{Node, mac_text};

/// The image of every container: busybox, made here.
pub const IMAGE: &str = "bwtest-box";

/// Ways from the host to machines beside it, that tests may make.
const LINKS: [&str; 3] = ["bwtestup", "bwtestoffice", "bwtestlan"];

/// Marks everything that tests make in an engine.
const LABEL: &str = "bridgewall-test";

/// The engine, for one test at a time, and a host for a daemon beside it.
///
/// Which engine: that of `DOCKER_HOST`, or this machine's. Tests run in its network namespace:
/// `scripts/test` sees to both.
pub struct Engine {
    place: Arc<Place>,
    outside: Option<Node>,
    // Last: the next test may begin when all else is gone.
    _turn: Flock<File>,
}

impl Engine {
    /// Waits for its turn, and clears away what an earlier test may have left.
    pub fn take() -> Self {
        let turn = turn();
        let engine = Self {
            place: Arc::new(Place::new(Namespace::current())),
            outside: None,
            _turn: turn,
        };
        engine.clear();
        if docker(&["image", "ls", "--quiet", IMAGE]).is_empty() {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/image");
            let made = Command::new(script).arg(IMAGE).status();
            assert!(
                made.is_ok_and(|status| status.success()),
                "{script} {IMAGE} failed"
            );
        }
        engine
    }

    /// Where a daemon can run.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// What bridgewall.toml says: this engine, and the bridges of tests only.
    pub fn configuration() -> String {
        let socket = Self::socket();
        format!(
            "[docker]\nsocket = \"{}\"\n\n[bridges]\nmanaged = [\"bwtest?\"]\n",
            socket.display()
        )
    }

    /// The socket the engine listens at.
    fn socket() -> PathBuf {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        match host.strip_prefix("unix://") {
            Some(path) => path.into(),
            None => "/var/run/docker.sock".into(),
        }
    }

    /// Makes the network `bwtest-NUMBER` with the bridge `bwtestNUMBER`, 10.88.NUMBER.0/24 and
    /// fd88:NUMBER::/64.
    pub fn network(&self, number: u8) -> Network {
        let network = Network { number };
        docker(&[
            "network",
            "create",
            "--label",
            LABEL,
            "--ipv6",
            "--subnet",
            &format!("10.88.{number}.0/24"),
            "--subnet",
            &format!("fd88:{number}::/64"),
            "--opt",
            &format!("com.docker.network.bridge.name={}", network.bridge()),
            &network.name(),
        ]);
        network
    }

    /// A container to be started.
    pub fn container(&self, name: &str) -> Recipe {
        Recipe {
            name: format!("bwtest-{name}"),
            arguments: Vec::new(),
            command: Vec::new(),
        }
    }

    /// A machine beside the host, joined to it by a link of its own. The host's address there is
    /// 198.51.100.1 and 2001:db8:51::1.
    pub fn outside(&mut self) -> &Node {
        let node = self.neighbour("bwtestup", [198, 51, 100], "2001:db8:51::");
        self.outside.insert(node)
    }

    /// A machine beside the host, joined to it by a link of this name (one of [`LINKS`]). The host has
    /// number 1 in both networks, a /24 and a /64, and the machine number 2.
    pub fn neighbour(&self, link: &str, [a, b, c]: [u8; 3], ipv6: &str) -> Node {
        assert!(LINKS.contains(&link), "{link} would not be cleared away");
        let mac = [0x02, 0xbb, 0, 0, c, 9];
        let node = Node {
            namespace: Namespace::create(),
            ipv4: Ipv4Addr::new(a, b, c, 2),
            ipv6: format!("{ipv6}2").parse().expect("an address"),
            mac,
            interface: "eth0",
        };
        self.place.namespace.ip(&format!(
            "link add {link} type veth peer name eth0 address {} netns {}
             addr add {a}.{b}.{c}.1/24 dev {link}
             addr add {ipv6}1/64 dev {link} nodad
             link set {link} up",
            mac_text(mac),
            node.namespace.path().display()
        ));
        node.namespace.ip(&format!(
            "addr add {}/24 dev eth0
             addr add {}/64 dev eth0 nodad
             link set eth0 up
             route add default via {a}.{b}.{c}.1
             route add default via {ipv6}1",
            node.ipv4, node.ipv6
        ));
        node
    }

    /// Removes whatever tests have made, as far as that is possible: what was not there to remove, or
    /// would not go, is no reason to fail a test that did not leave it.
    fn clear(&self) {
        let attempt = |arguments: &[&str]| {
            let output = Command::new("docker").args(arguments).output();
            output.map_or_else(
                |_| String::new(),
                |output| String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        let ours = format!("label={LABEL}");
        for (list, remove) in [
            (&["ps", "--all"][..], &["rm", "--force", "--volumes"][..]),
            (&["network", "ls"], &["network", "rm"]),
        ] {
            let listed = attempt(&[list, &["--quiet", "--filter", &ours]].concat());
            let names: Vec<&str> = listed.split_whitespace().collect();
            if !names.is_empty() {
                attempt(&[remove, &names].concat());
            }
        }
        // They are there only after a test that was killed, or failed.
        for link in LINKS {
            let delete = || Command::new("ip").args(["link", "del", link]).output();
            let _ = self.place.namespace.inside(delete);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Waits for all other tests, also of other processes, that use the engine.
fn turn() -> Flock<File> {
    let lock = place::root().join("engine.lock");
    std::fs::create_dir_all(place::root())
        .and_then(|()| File::create(&lock))
        .map_err(|error| error.to_string())
        .and_then(|file| Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e.to_string()))
        .unwrap_or_else(|error| panic!("lock {}: {error}", lock.display()))
}

/// A bridge network.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    number: u8,
}

impl Network {
    /// Docker's name for it.
    pub fn name(self) -> String {
        format!("bwtest-{}", self.number)
    }

    /// The bridge's name.
    pub fn bridge(self) -> String {
        format!("bwtest{}", self.number)
    }

    /// The host's addresses on it.
    pub fn gateway(self) -> [IpAddr; 2] {
        [
            Ipv4Addr::new(10, 88, self.number, 1).into(),
            format!("fd88:{}::1", self.number)
                .parse::<Ipv6Addr>()
                .expect("an address")
                .into(),
        ]
    }
}

/// How a container is to be.
#[derive(Debug)]
pub struct Recipe {
    name: String,
    arguments: Vec<String>,
    command: Vec<String>,
}

impl Recipe {
    /// With a label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.argument("--label").argument(&format!("{key}={value}"))
    }

    /// With one more argument of `docker run`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With a published port.
    pub fn publish(self, host: u16, container: u16) -> Self {
        self.argument("--publish")
            .argument(&format!("{host}:{container}"))
    }

    /// With fixed addresses, which end with this number.
    pub fn at(self, network: Network, last: u8) -> Self {
        self.argument("--ip")
            .argument(&format!("10.88.{}.{last}", network.number))
            .argument("--ip6")
            .argument(&format!("fd88:{}::{last:x}", network.number))
    }

    /// Runs this shell script instead of sleeping.
    pub fn script(mut self, script: &str) -> Self {
        self.command = ["sh", "-c", script].map(str::to_owned).to_vec();
        self
    }

    /// Starts it on a network.
    #[track_caller]
    pub fn start(self, network: Network) -> Container {
        let (network_name, label) = (network.name(), LABEL.to_owned());
        let mut words: Vec<&str> = vec![
            "run",
            "--detach",
            "--name",
            &self.name,
            "--network",
            &network_name,
            "--label",
            &label,
        ];
        words.extend(self.arguments.iter().map(String::as_str));
        words.push(IMAGE);
        words.extend(self.command.iter().map(String::as_str));
        docker(&words);
        Container::inspect(&self.name, network, "eth0")
    }
}

/// A running container, and one of its attachments.
#[derive(Debug)]
pub struct Container {
    /// Docker's name for it.
    pub name: String,
    /// Its namespace, and its addresses on the network.
    pub node: Node,
    network: Network,
}

impl Container {
    fn inspect(name: &str, network: Network, interface: &'static str) -> Self {
        let text = docker(&["inspect", name]);
        let all: Value = serde_json::from_str(&text).expect("docker inspect writes JSON");
        let container = &all[0];
        let pid = container["State"]["Pid"].as_u64().filter(|pid| *pid != 0);
        let pid = pid.unwrap_or_else(|| panic!("{name} does not run: {}", docker(&["logs", name])));
        let attachment = &container["NetworkSettings"]["Networks"][network.name()];
        let field = |key: &str| {
            attachment[key].as_str().unwrap_or_else(|| {
                panic!("{name} has no {key} on {}: {attachment}", network.name())
            })
        };
        let mut mac = [0; 6];
        for (byte, text) in mac.iter_mut().zip(field("MacAddress").split(':')) {
            *byte = u8::from_str_radix(text, 16).expect("a MAC address");
        }
        Self {
            name: name.to_owned(),
            node: Node {
                namespace: Namespace::of_process(pid as u32),
                ipv4: field("IPAddress").parse().expect("an IPv4 address"),
                ipv6: field("GlobalIPv6Address").parse().expect("an IPv6 address"),
                mac,
                interface,
            },
            network,
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.node.namespace
    }

    /// A port at both of its addresses.
    pub fn sockets(&self, port: u16) -> [SocketAddr; 2] {
        self.node.sockets(port)
    }

    /// Its IPv4 and IPv6 addresses.
    pub fn addresses(&self) -> [IpAddr; 2] {
        self.node.addresses()
    }

    /// Connects it to a second network, and gives that attachment.
    #[track_caller]
    pub fn connect(&self, network: Network) -> Self {
        docker(&["network", "connect", &network.name(), &self.name]);
        Self::inspect(&self.name, network, "eth1")
    }

    /// Stops it, as `docker stop` does, but without waiting for its good manners.
    #[track_caller]
    pub fn stop(&self) {
        docker(&["stop", "--time", "0", &self.name]);
    }

    /// Starts it again; its namespace, and perhaps its addresses, are new.
    #[track_caller]
    pub fn start(&self) -> Self {
        docker(&["start", &self.name]);
        Self::inspect(&self.name, self.network, "eth0")
    }

    /// Removes it.
    #[track_caller]
    pub fn remove(self) {
        docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// Runs the Docker client and gives what it wrote.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("run docker: scripts/install-deps installs it");
    assert!(
        output.status.success(),
        "docker {}: {}\nscripts/test starts an engine if none runs",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

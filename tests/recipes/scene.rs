//! Where recipes are tried: containers of a real engine, the host, and machines in the office, in the LAN
//! and on the internet, with nothing but the firewall between them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::daemon::{Attach, Daemon};
use crate::common::docker::{Container, Engine, Recipe};
use crate::common::namespace::Namespace;
use crate::common::sandbox::Node;
use crate::common::verdict::{Traffic, Verdicts, why};

/// The folder of all recipes.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples")
}

/// A container: its name, and its labels.
pub type Cast<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// What Compose labels containers with.
pub const SERVICE: &str = "com.docker.compose.service";
pub const PROJECT: &str = "com.docker.compose.project";

/// Machines outside: what they are called, the host's interface that leads there, and its networks.
const NEIGHBOURS: [(&str, &str, [u8; 3], &str); 3] = [
    ("office", "bwtestoffice", [203, 0, 113], "2001:db8:1::"),
    ("internet", "bwtestup", [198, 51, 100], "2001:db8:51::"),
    ("lan", "bwtestlan", [192, 168, 7], "fd07::"),
];

/// A recipe at work.
pub struct Scene {
    pub daemon: Daemon,
    nodes: BTreeMap<String, Node>,
    _open: OpenHost,
    _containers: Vec<Container>,
    _engine: Engine,
}

impl Scene {
    /// With these containers on one network, and a daemon that has taken the recipe of this name.
    #[track_caller]
    pub fn new(recipe: &str, cast: &[Cast<'_>]) -> Self {
        Self::with(recipe, cast, |_, recipe| recipe)
    }

    /// The same, where containers are started in another manner.
    #[track_caller]
    pub fn with(recipe: &str, cast: &[Cast<'_>], manner: impl Fn(&str, Recipe) -> Recipe) -> Self {
        let engine = Engine::take();
        let network = engine.network(1);
        let host = engine.place().namespace.duplicate();
        let open = OpenHost::new(host.duplicate());
        let mut nodes: BTreeMap<String, Node> = NEIGHBOURS
            .into_iter()
            .map(|(name, link, ipv4, ipv6)| (name.to_owned(), engine.neighbour(link, ipv4, ipv6)))
            .collect();
        let mut containers = Vec::new();
        for (name, labels) in cast {
            let container = labels
                .iter()
                .fold(engine.container(name), |container, (key, value)| {
                    container.label(key, value)
                });
            let container = manner(name, container).start(network);
            nodes.insert((*name).to_owned(), copy(&container.node));
            containers.push(container);
        }
        // As its neighbours see it.
        for (name, link, [a, b, c], ipv6) in NEIGHBOURS {
            let there = Node {
                namespace: host.duplicate(),
                ipv4: [a, b, c, 1].into(),
                ipv6: format!("{ipv6}1").parse().expect("an address"),
                mac: [0; 6],
                interface: link,
            };
            nodes.insert(format!("host beside {name}"), there);
        }
        // As containers see it.
        let gateway = Node {
            namespace: host,
            ipv4: [10, 88, 1, 1].into(),
            ipv6: "fd88:1::1".parse().expect("an address"),
            mac: [0; 6],
            interface: "bwtest1",
        };
        nodes.insert("host".to_owned(), gateway);

        // All that a recipe refers to stands beside it.
        for entry in fs::read_dir(folder()).expect("list the recipes") {
            let path = entry.expect("list the recipes").path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                let name = path.file_name().expect("a name");
                let copy = engine.place().directory().join(name);
                fs::copy(&path, copy).expect("copy a list");
            }
        }
        let path = folder().join(format!("{recipe}.toml"));
        let policy = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        // Nobody is let in for being there already: what counts here is the recipe.
        let configuration = format!(
            "{}\n[uplinks]\ninterfaces = [{}]\n[management]\nenabled = false\n",
            Engine::configuration(),
            NEIGHBOURS
                .map(|(_, link, ..)| format!("{link:?}"))
                .join(", "),
        );
        let daemon = Daemon::start(
            engine.place(),
            Attach::Auto,
            &configuration,
            &policy,
            cast.len() as u64,
        );
        Self {
            daemon,
            nodes,
            _open: open,
            _containers: containers,
            _engine: engine,
        }
    }

    /// Somebody, by name.
    #[track_caller]
    pub fn node(&self, name: &str) -> &Node {
        self.nodes
            .get(name)
            .unwrap_or_else(|| panic!("nobody is called {name}"))
    }

    /// All of it is answered.
    #[track_caller]
    pub fn allows(&self, from: &str, to: &str, traffic: &[Traffic]) {
        let verdicts = Verdicts::of(&self.daemon);
        for traffic in traffic {
            verdicts.allowed(self.node(from), self.node(to), *traffic);
        }
    }

    /// Nothing of it arrives, for no rule allows it.
    #[track_caller]
    pub fn drops(&self, from: &str, to: &str, traffic: &[Traffic]) {
        self.refuses(from, to, traffic, why::DEFAULT);
    }

    /// Nothing of it arrives, for a rule denies it.
    #[track_caller]
    pub fn denies(&self, from: &str, to: &str, traffic: &[Traffic]) {
        self.refuses(from, to, traffic, why::DENIED);
    }

    #[track_caller]
    fn refuses(&self, from: &str, to: &str, traffic: &[Traffic], reason: &str) {
        let verdicts = Verdicts::of(&self.daemon);
        let mut to = copy(self.node(to));
        if NEIGHBOURS.iter().any(|(_, link, ..)| *link == to.interface) {
            // There frames are seen before they are dropped: what counts is what gets to the sockets.
            to.interface = "lo";
        }
        for traffic in traffic {
            verdicts.dropped(self.node(from), &to, *traffic, reason);
        }
    }

    /// All of it is answered, and reported as what would be dropped.
    #[track_caller]
    pub fn audits(&self, from: &str, to: &str, traffic: &[Traffic]) {
        let verdicts = Verdicts::of(&self.daemon);
        for traffic in traffic {
            verdicts.audited(self.node(from), self.node(to), *traffic);
        }
    }
}

fn copy(node: &Node) -> Node {
    Node {
        namespace: node.namespace.duplicate(),
        ..*node
    }
}

/// Engines keep the outside from ports that are not published, and give containers the host's address
/// on their way out. Neither is to hide what the firewall does.
struct OpenHost(Namespace);

const RULES: [&[&str]; 2] = [&["FORWARD"], &["POSTROUTING", "-t", "nat"]];

impl OpenHost {
    fn new(host: Namespace) -> Self {
        let open = Self(host);
        open.change("-I");
        open
    }

    fn change(&self, how: &str) {
        for program in ["iptables", "ip6tables"] {
            for rule in RULES {
                self.0
                    .run(program, &[&[how], rule, &["-j", "ACCEPT"]].concat());
            }
        }
    }
}

impl Drop for OpenHost {
    fn drop(&mut self) {
        self.change("-D");
    }
}

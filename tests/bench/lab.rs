//! A host with two containers and one firewall, of the kinds that are compared.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread;

use crate::common::PATIENCE;
use crate::common::craft::Family;
use crate::common::daemon::{Attach, BINARY, Daemon};
use crate::common::probe::{self, Outcome};
use crate::common::sandbox::{BRIDGE, Node, Sandbox};
use crate::common::service::Service;
use crate::peers::{self, Peers};

/// Where `db` is reached, in every lab and with every firewall.
pub const PORT: u16 = 9000;

/// Where `web` is reached from outside.
pub const PUBLISHED: u16 = 8080;

/// What stands between the two containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firewall {
    /// Nothing.
    Bridge,
    /// A program at both hooks of both ports that does nothing.
    BareTcx,
    /// A program at the sender's port that leads into the receiver's namespace.
    BareRedirect,
    /// The bridge's frames are shown to the hooks of IP, where nobody listens.
    BridgeNetfilter,
    /// Family bridge, a verdict map, no state.
    NftBridge,
    /// Hook forward with connection tracking and a verdict map.
    NftForward,
    /// So many rules before the one that allows.
    Iptables(u32),
    /// Ours.
    Bridgewall {
        /// Pairs of identities that have policy of their own.
        entries: u32,
        fast_path: bool,
    },
}

impl Firewall {
    /// For the tables.
    pub fn name(self) -> String {
        match self {
            Self::Bridge => "plain bridge".to_owned(),
            Self::BareTcx => "bare tcx program".to_owned(),
            Self::BareRedirect => "bare bpf_redirect_peer".to_owned(),
            Self::BridgeNetfilter => "br_netfilter, no rules".to_owned(),
            Self::NftBridge => "nftables, bridge, stateless".to_owned(),
            Self::NftForward => "nftables, forward, conntrack".to_owned(),
            Self::Iptables(rules) => format!("iptables, {rules} rules"),
            Self::Bridgewall { entries, fast_path } => {
                let path = if fast_path {
                    "fast path"
                } else {
                    "over the bridge"
                };
                format!("bridgewall, {path}, {entries} entries")
            }
        }
    }
}

/// A host of its own, as long as it lives.
pub struct Lab {
    pub firewall: Firewall,
    /// Another build of ours than this one.
    build: Option<PathBuf>,
    pub peers: Peers,
    pub daemon: Option<Daemon>,
    // Its namespaces go last.
    pub sandbox: Sandbox,
}

impl Lab {
    /// Sets one up, on a thread whose name is the place's.
    fn new(name: String, firewall: Firewall, build: Option<PathBuf>) -> Self {
        thread::scope(|scope| {
            let builder = thread::Builder::new().name(name);
            let made = builder.spawn_scoped(scope, || Self::set_up(firewall, build));
            made.expect("start a thread").join().expect("set up a host")
        })
    }

    fn set_up(firewall: Firewall, build: Option<PathBuf>) -> Self {
        let sandbox = Sandbox::new(&["web", "db"]);
        let host = &sandbox.host().namespace;
        let shown = matches!(
            firewall,
            Firewall::BridgeNetfilter | Firewall::NftForward | Firewall::Iptables(_)
        );
        for table in ["iptables", "ip6tables", "arptables"] {
            let value = if shown && table != "arptables" {
                "1"
            } else {
                "0"
            };
            host.sysctl(&format!("net/bridge/bridge-nf-call-{table}"), value);
        }
        let mut lab = Self {
            firewall,
            build,
            peers: Peers::load(host.interface_index("db")),
            daemon: None,
            sandbox,
        };
        lab.put_up();
        lab.introduce();
        lab
    }

    /// For the tables.
    pub fn name(&self) -> String {
        let name = self.firewall.name();
        match self.build {
            Some(_) => name.replace("bridgewall", "other build"),
            None => name,
        }
    }

    /// A container.
    pub fn node(&self, name: &str) -> &Node {
        self.sandbox.container(name)
    }

    /// The index of a container's interface on the host.
    pub fn port_of(&self, name: &str) -> u32 {
        self.sandbox.host().namespace.interface_index(name)
    }

    fn put_up(&mut self) {
        let host = &self.sandbox.host().namespace;
        match self.firewall {
            Firewall::Bridge | Firewall::BridgeNetfilter => {}
            Firewall::BareTcx => {
                for port in ["web", "db"].map(|name| self.port_of(name)) {
                    for kind in [libbpf_sys::BPF_TCX_INGRESS, libbpf_sys::BPF_TCX_EGRESS] {
                        let program = self.peers.program("bare");
                        host.inside(|| peers::attach_tcx(program, port, kind));
                    }
                }
            }
            Firewall::BareRedirect => {
                // One way only: what is measured goes from web to db.
                let (port, program) = (self.port_of("web"), self.peers.program("bare_redirect"));
                host.inside(|| peers::attach_tcx(program, port, libbpf_sys::BPF_TCX_INGRESS));
            }
            Firewall::NftBridge => {
                host.run("nft", &[&self.nft_bridge()]);
            }
            Firewall::NftForward => {
                host.run("nft", &[&self.nft_forward()]);
            }
            Firewall::Iptables(rules) => self.iptables(rules),
            Firewall::Bridgewall { entries, fast_path } => {
                let place = self.sandbox.place();
                let configuration = configuration(&self.sandbox, entries, fast_path);
                let policy = policy(entries);
                for number in 0..subjects(entries) {
                    host.ip(&format!(
                        "link add other{number} address {} type veth peer name end{number}\nlink set end{number} up\nlink set other{number} up",
                        other_mac(number)
                    ));
                }
                let daemon = Daemon::start_build(
                    self.build.as_deref().unwrap_or(BINARY.as_ref()),
                    place,
                    Attach::Auto,
                    &configuration,
                    &policy,
                    u64::from(subjects(entries)) + 2,
                );
                self.daemon = Some(daemon);
            }
        }
    }

    fn nft_bridge(&self) -> String {
        let [web, db] = ["web", "db"].map(|name| self.node(name));
        format!(
            "table bridge bench {{
                map v4 {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service : verdict
                    elements = {{ {0} . {1} . udp . {PORT} : accept, {0} . {1} . tcp . {PORT} : accept }}
                }}
                map v6 {{ type ipv6_addr . ipv6_addr . inet_proto . inet_service : verdict
                    elements = {{ {2} . {3} . udp . {PORT} : accept, {2} . {3} . tcp . {PORT} : accept }}
                }}
                chain forward {{ type filter hook forward priority 0; policy drop;
                    ip saddr . ip daddr . ip protocol . th dport vmap @v4
                    ip6 saddr . ip6 daddr . ip6 nexthdr . th dport vmap @v6
                    ip daddr . ip saddr . ip protocol . th sport vmap @v4
                    ip6 daddr . ip6 saddr . ip6 nexthdr . th sport vmap @v6
                    meta protocol arp accept
                    meta l4proto icmpv6 accept
                }}
            }}",
            web.ipv4, db.ipv4, web.ipv6, db.ipv6
        )
    }

    fn nft_forward(&self) -> String {
        let [web, db] = ["web", "db"].map(|name| self.node(name));
        format!(
            "table inet bench {{
                map v4 {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service : verdict
                    elements = {{ {0} . {1} . udp . {PORT} : accept, {0} . {1} . tcp . {PORT} : accept }}
                }}
                map v6 {{ type ipv6_addr . ipv6_addr . inet_proto . inet_service : verdict
                    elements = {{ {2} . {3} . udp . {PORT} : accept, {2} . {3} . tcp . {PORT} : accept }}
                }}
                chain forward {{ type filter hook forward priority 0; policy drop;
                    ct state established,related accept
                    ip saddr . ip daddr . meta l4proto . th dport vmap @v4
                    ip6 saddr . ip6 daddr . meta l4proto . th dport vmap @v6
                    meta l4proto icmpv6 accept
                }}
            }}",
            web.ipv4, db.ipv4, web.ipv6, db.ipv6
        )
    }

    /// As many tools write them: rules for others first, each with an address and a port.
    fn iptables(&self, rules: u32) {
        let [web, db] = ["web", "db"].map(|name| self.node(name));
        for (tool, web, db) in [
            ("iptables", IpAddr::from(web.ipv4), IpAddr::from(db.ipv4)),
            ("ip6tables", web.ipv6.into(), db.ipv6.into()),
        ] {
            let mut text = "*filter\n:FORWARD DROP [0:0]\n".to_owned();
            for rule in 1..rules {
                let other = match web {
                    IpAddr::V4(_) => format!("10.99.{}.{}", rule / 250, rule % 250 + 1),
                    IpAddr::V6(_) => format!("fd99::{rule:x}"),
                };
                let _ = writeln!(
                    text,
                    "-A FORWARD -s {other} -d {db} -p udp --dport 53 -j ACCEPT"
                );
            }
            for protocol in ["udp", "tcp"] {
                let _ = writeln!(
                    text,
                    "-A FORWARD -s {web} -d {db} -p {protocol} --dport {PORT} -j ACCEPT\n\
                     -A FORWARD -s {db} -d {web} -p {protocol} --sport {PORT} -j ACCEPT"
                );
            }
            if tool == "ip6tables" {
                text += "-A FORWARD -p ipv6-icmp -j ACCEPT\n";
            }
            text += "COMMIT\n";
            let path = self.sandbox.place().directory().join(tool);
            std::fs::write(&path, text).expect("write rules");
            let path = path.display().to_string();
            let host = &self.sandbox.host().namespace;
            host.run(&format!("{tool}-restore"), &[&path]);
        }
    }

    /// Both containers find each other, and the bridge both; and the one may talk to the other.
    fn introduce(&self) {
        let [web, db] = ["web", "db"].map(|name| self.node(name));
        let service = Service::tcp(&db.namespace, PORT, "hello");
        for to in db.sockets(PORT) {
            let outcome = probe::tcp_within(&web.namespace, to, PATIENCE);
            let name = self.name();
            assert_eq!(outcome, Outcome::Answered, "{name}: from web to {to}");
        }
        drop(service);
    }
}

/// All of these, each on a host of its own; and once more those with another build of ours.
pub fn labs(scenario: &str, firewalls: &[Firewall], beside: Option<&Path>) -> Vec<Lab> {
    let ours = |firewall: &&Firewall| matches!(firewall, Firewall::Bridgewall { .. });
    let others = beside.into_iter().flat_map(|build| {
        let ours = firewalls.iter().filter(ours);
        ours.map(|firewall| (firewall, Some(build.to_owned())))
    });
    let all = firewalls.iter().map(|firewall| (firewall, None));
    let numbered = all.chain(others).enumerate();
    numbered
        .map(|(number, (firewall, build))| {
            Lab::new(format!("bench-{scenario}-{number}"), *firewall, build)
        })
        .collect()
}

fn configuration(sandbox: &Sandbox, entries: u32, fast_path: bool) -> String {
    let fast_path = if fast_path { "auto" } else { "off" };
    let mut text = sandbox.configuration().replace(
        "managed = []",
        &format!("managed = [\"{BRIDGE}\"]\nfast_path = \"{fast_path}\""),
    );
    for number in 0..subjects(entries) {
        let _ = writeln!(
            text,
            "[[interfaces]]\nname = \"other{number}\"\nmac = \"{}\"\naddresses = [\"10.78.0.{}\"]",
            other_mac(number),
            number + 1
        );
    }
    text + "
        [guard]
        ports = [\"web\", \"db\"]

        [limits]
        policy_entries = 400000
        new_flows = 131072
        flows = 131072
        flows_per_endpoint = 65536
        new_flows_per_endpoint = 65536
        "
}

fn other_mac(number: u32) -> String {
    format!("02:42:0a:4e:00:{:02x}", number + 1)
}

/// A policy of so many entries: the one that is measured, and others that it must not cost more for.
fn policy(entries: u32) -> String {
    let mut text = format!(
        r#"
        [identities.web]
        interface = "web"

        [identities.db]
        interface = "db"

        [[allow]]
        from  = "web"
        to    = "db"
        ports = ["{PORT}/tcp", "{PORT}/udp"]

        [[allow]]
        from  = ["web", "db"]
        to    = ["any"]
        side  = "egress"

        [[allow]]
        from  = "world"
        to    = ["web", "db"]
        ports = ["{PUBLISHED}/tcp", "{PUBLISHED}/udp"]
        "#
    );
    for subject in 0..subjects(entries) {
        let _ = writeln!(
            text,
            "[identities.other{subject}]\ninterface = \"other{subject}\""
        );
    }
    let others: Vec<_> = (0..subjects(entries))
        .map(|n| format!("\"other{n}\""))
        .collect();
    let peers: Vec<_> = (0..peers_of_each(entries))
        .map(|n| format!("\"n{n}\""))
        .collect();
    for other in &peers {
        let number: u32 = other.trim_matches(['"', 'n']).parse().expect("a number");
        let [_, high, middle, low] = number.to_be_bytes();
        let _ = writeln!(
            text,
            "[networks.{}]\ncidrs = [\"100.{high}.{middle}.{low}\"]",
            other.trim_matches('"')
        );
    }
    let to: Vec<_> = ["\"web\"".to_owned(), "\"db\"".to_owned()]
        .into_iter()
        .chain(others)
        .collect();
    // No list may be longer.
    for peers in peers.chunks(1_000) {
        let _ = writeln!(
            text,
            "[[allow]]\nfrom = [{}]\nto = [{}]\nports = [\"9100/tcp\"]",
            peers.join(", "),
            to.join(", ")
        );
    }
    text
}

/// Endpoints beside the two: a policy has an entry for each pair of an endpoint and a peer.
fn subjects(entries: u32) -> u32 {
    if entries > 1_000 { 23 } else { 0 }
}

fn peers_of_each(entries: u32) -> u32 {
    entries / (subjects(entries) + 2)
}

/// For the tables.
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

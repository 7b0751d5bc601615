//! A throwaway host: a bridge with containers on it, a way to the outside, and nothing of the real
//! machine.
//!
//! ```text
//!   far 203.0.113.2      outside 192.0.2.2         host                    containers
//!   2001:db8:f::2        2001:db8:1::2             192.0.2.1, uplink       10.77.0.11, 12, ...
//!        eth0 ---(mtu)--- far   eth0 ---------- uplink        br0 ---- web ---- eth0
//!                                               10.77.0.1 and fd77::1    fd77::11, 12, ...
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::eventually;
use super::frame::Mac;
use super::namespace::Namespace;
use super::place::Place;

/// The bridge, in the host.
pub const BRIDGE: &str = "br0";

/// One end of a conversation: a namespace and its addresses.
#[derive(Debug)]
pub struct Node {
    /// Where its sockets are.
    pub namespace: Namespace,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address.
    pub ipv6: Ipv6Addr,
    /// Of its interface.
    pub mac: Mac,
    /// The interface that all comes in by.
    pub interface: &'static str,
}

impl Node {
    /// IPv4 and IPv6.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.ipv4.into(), self.ipv6.into()]
    }

    /// A port at both addresses.
    pub fn sockets(&self, port: u16) -> [SocketAddr; 2] {
        self.addresses().map(|address| (address, port).into())
    }
}

/// The host, its containers, and the outside.
pub struct Sandbox {
    // Containers first: their namespaces go before the host's.
    containers: BTreeMap<String, Node>,
    outside: Node,
    far: Option<Node>,
    host: Node,
    place: Arc<Place>,
    next: u8,
}

impl Sandbox {
    /// A host with these containers; each name is also the host-side interface's.
    pub fn new(containers: &[&str]) -> Self {
        let host = Node {
            namespace: Namespace::create(),
            ipv4: Ipv4Addr::new(192, 0, 2, 1),
            ipv6: "2001:db8:1::1".parse().expect("an address"),
            mac: [0x02, 0xbb, 0, 0, 0, 1],
            interface: "uplink",
        };
        let outside = Node {
            namespace: Namespace::create(),
            ipv4: Ipv4Addr::new(192, 0, 2, 2),
            ipv6: "2001:db8:1::2".parse().expect("an address"),
            mac: [0x02, 0xbb, 0, 0, 0, 2],
            interface: "eth0",
        };
        for router in [&host, &outside] {
            router.namespace.sysctl("net/ipv4/ip_forward", "1");
            router.namespace.sysctl("net/ipv6/conf/all/forwarding", "1");
        }
        host.namespace.ip(&format!(
            "link add {BRIDGE} address 02:bb:00:00:00:00 type bridge mcast_snooping 0
             addr add 10.77.0.1/24 dev {BRIDGE}
             addr add fd77::1/64 dev {BRIDGE} nodad
             link set {BRIDGE} up
             link add uplink address {} type veth peer name eth0 address {} netns {}
             addr add {}/24 dev uplink
             addr add {}/64 dev uplink nodad
             link set uplink up
             route add 203.0.113.0/24 via {}
             route add 2001:db8:f::/64 via {}",
            mac_text(host.mac),
            mac_text(outside.mac),
            outside.namespace.path().display(),
            host.ipv4,
            host.ipv6,
            outside.ipv4,
            outside.ipv6,
        ));
        outside.namespace.ip(&format!(
            "addr add {}/24 dev eth0
             addr add {}/64 dev eth0 nodad
             link set eth0 up
             route add 10.77.0.0/24 via {}
             route add fd77::/64 via {}",
            outside.ipv4, outside.ipv6, host.ipv4, host.ipv6
        ));
        let mut sandbox = Self {
            containers: BTreeMap::new(),
            outside,
            far: None,
            place: Arc::new(Place::new(host.namespace.duplicate())),
            host,
            next: 11,
        };
        for name in containers {
            sandbox.add(name);
        }
        sandbox
    }

    /// Where a daemon can run.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The host itself.
    pub fn host(&self) -> &Node {
        &self.host
    }

    /// The host's address towards its containers.
    pub fn gateway(&self) -> [IpAddr; 2] {
        self.bridge_node().addresses()
    }

    /// The host itself, as its containers see it.
    pub fn bridge_node(&self) -> Node {
        Node {
            namespace: self.host.namespace.duplicate(),
            ipv4: Ipv4Addr::new(10, 77, 0, 1),
            ipv6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1),
            mac: [0x02, 0xbb, 0, 0, 0, 0],
            interface: BRIDGE,
        }
    }

    /// A machine beside the host.
    pub fn outside(&self) -> &Node {
        &self.outside
    }

    /// The machine beyond the outside.
    #[track_caller]
    pub fn far(&self) -> &Node {
        self.far.as_ref().expect("add_far was called")
    }

    /// The containers' names, which are also those of their interfaces on the host.
    pub fn names(&self) -> Vec<&str> {
        self.containers.keys().map(String::as_str).collect()
    }

    /// What bridgewall.toml says: no engine, and each container's interface by name.
    pub fn configuration(&self) -> String {
        let interfaces = self
            .containers
            .iter()
            .map(|(name, node)| interface_entry(name, node.mac, node.addresses()));
        "[docker]\nenabled = false\n\n[bridges]\nmanaged = []\n".to_owned()
            + &interfaces.collect::<String>()
    }

    /// The same, and a container that is yet to be added as the one of this number.
    pub fn configuration_expecting(&self, name: &str, number: u8) -> String {
        let (mac, ipv4, ipv6) = numbered(number);
        self.configuration() + &interface_entry(name, mac, [ipv4.into(), ipv6.into()])
    }

    /// One of the containers.
    #[track_caller]
    pub fn container(&self, name: &str) -> &Node {
        self.containers
            .get(name)
            .unwrap_or_else(|| panic!("no container {name}"))
    }

    /// Connects one more container.
    pub fn add(&mut self, name: &str) -> &Node {
        let number = self.next;
        self.next += 1;
        self.add_as(name, number)
    }

    /// Connects one more container, with this last number in its addresses.
    pub fn add_as(&mut self, name: &str, number: u8) -> &Node {
        let (mac, ipv4, ipv6) = numbered(number);
        let node = Node {
            namespace: Namespace::create(),
            ipv4,
            ipv6,
            mac,
            interface: "eth0",
        };
        self.host.namespace.ip(&format!(
            "link add {name} type veth peer name eth0 address {} netns {}
             link set {name} master {BRIDGE} up",
            mac_text(node.mac),
            node.namespace.path().display()
        ));
        let [gateway4, gateway6] = self.gateway();
        node.namespace.ip(&format!(
            "addr add {}/24 dev eth0
             addr add {}/64 dev eth0 nodad
             link set eth0 up
             route add default via {gateway4}
             route add default via {gateway6}",
            node.ipv4, node.ipv6
        ));
        // The bridge notices a link that comes up a moment later, and loses what is sent until then.
        eventually("the bridge forwards to a new container", || {
            let port = self
                .host
                .namespace
                .run("bridge", &["link", "show", "dev", name]);
            port.contains("state forwarding").then_some(())
        });
        self.containers.insert(name.to_owned(), node);
        self.container(name)
    }

    /// Removes a container and its interfaces.
    #[track_caller]
    pub fn remove(&mut self, name: &str) {
        // The interface first: it would go with its namespace, but nobody could say when.
        self.host.namespace.ip(&format!("link del {name}"));
        assert!(
            self.containers.remove(name).is_some(),
            "no container {name}"
        );
    }

    /// A machine beyond the outside, where packets larger than `mtu` do not get through: the outside,
    /// which is the router on the way, has to say so.
    pub fn add_far(&mut self, mtu: u16) -> &Node {
        let far = Node {
            namespace: Namespace::create(),
            ipv4: Ipv4Addr::new(203, 0, 113, 2),
            ipv6: "2001:db8:f::2".parse().expect("an address"),
            mac: [0x02, 0xbb, 0, 0, 0, 3],
            interface: "eth0",
        };
        self.outside.namespace.ip(&format!(
            "link add far mtu {mtu} type veth peer name eth0 address {} mtu {mtu} netns {}
             addr add 203.0.113.1/24 dev far
             addr add 2001:db8:f::1/64 dev far nodad
             link set far up",
            mac_text(far.mac),
            far.namespace.path().display()
        ));
        far.namespace.ip(&format!(
            "addr add {}/24 dev eth0
             addr add {}/64 dev eth0 nodad
             link set eth0 up
             route add default via 203.0.113.1
             route add default via 2001:db8:f::1",
            far.ipv4, far.ipv6
        ));
        self.far.insert(far)
    }
}

fn numbered(number: u8) -> (Mac, Ipv4Addr, Ipv6Addr) {
    (
        [0x02, 0x42, 10, 77, 0, number],
        Ipv4Addr::new(10, 77, 0, number),
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()),
    )
}

fn interface_entry(name: &str, mac: Mac, addresses: [IpAddr; 2]) -> String {
    let [ipv4, ipv6] = addresses;
    let mac = mac_text(mac);
    format!(
        "\n[[interfaces]]\nname = \"{name}\"\nmac = \"{mac}\"\naddresses = [\"{ipv4}\", \"{ipv6}\"]\n"
    )
}

/// As people and `ip` write it.
pub fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

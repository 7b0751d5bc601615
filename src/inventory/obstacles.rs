//! What stands on the way between two ports of a bridge and would be skipped by a packet that does not
//! take that way.

use std::fmt;

use super::netlink::Link;
use super::netlink::nftables::{BaseChain, Family};

/// Something that somebody configured, and that sees frames between the ports of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// `bridges.fast_path` in the configuration.
    SwitchedOff,
    /// It could not be found out; why.
    Unknown(String),
    /// Bridged frames are shown to the hooks of IP.
    ShownToIptables,
    /// Chains of nftables.
    Nftables {
        /// `bridge` or `netdev`.
        family: &'static str,
        /// Whose.
        table: String,
    },
    /// The older tool for bridges.
    Ebtables,
    /// The bridge tells VLANs apart.
    VlanFiltering,
    /// A port's own setting.
    Port {
        /// Its name.
        name: String,
        /// In words: "is isolated".
        restriction: &'static str,
    },
    /// A port's packets wait in a queue, which may be there to limit them.
    Queue {
        /// The port's name.
        port: String,
        /// Its queueing discipline.
        discipline: String,
    },
    /// Another program or filter at a port.
    Program {
        /// The port's name.
        port: String,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SwitchedOff => f.write_str("bridges.fast_path in bridgewall.toml is \"off\""),
            Self::Unknown(why) => f.write_str(why),
            Self::ShownToIptables => f.write_str(
                "its frames are shown to iptables (net.bridge.bridge-nf-call-iptables or -ip6tables)",
            ),
            Self::Nftables { family, table } => {
                write!(f, "the nftables table {family} {table} sees its frames")
            }
            Self::Ebtables => f.write_str("ebtables is in use"),
            Self::VlanFiltering => f.write_str("it filters by VLAN"),
            Self::Port { name, restriction } => write!(f, "its port {name} {restriction}"),
            Self::Queue { port, discipline } => {
                write!(f, "packets to its port {port} wait in a queue ({discipline})")
            }
            Self::Program { port } => {
                write!(f, "its port {port} has another program or filter (tcx, tc)")
            }
        }
    }
}

/// What is the same for all bridges of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Of every bridge, frames are shown to the hooks of IP.
    pub shown_to_iptables: bool,
    /// Base chains of nftables, but ours.
    pub chains: Vec<BaseChain>,
    /// Tables of ebtables are there.
    pub ebtables: bool,
}

/// The first obstacle between the ports of a bridge, but for programs at ports.
#[must_use]
pub fn of_bridge(bridge: &Link, ports: &[&Link], surroundings: &Surroundings) -> Option<Obstacle> {
    let Some(settings) = bridge.bridge else {
        return Some(Obstacle::Unknown("it says nothing of itself".to_owned()));
    };
    if surroundings.shown_to_iptables || settings.shown_to_iptables {
        return Some(Obstacle::ShownToIptables);
    }
    if surroundings.ebtables {
        return Some(Obstacle::Ebtables);
    }
    if settings.vlan_filtering {
        return Some(Obstacle::VlanFiltering);
    }
    let sees = |chain: &&BaseChain| {
        chain.family == Family::Bridge
            || ports.iter().any(|port| chain.devices.contains(&port.name))
    };
    if let Some(chain) = surroundings.chains.iter().find(sees) {
        return Some(Obstacle::Nftables {
            family: chain.family.name(),
            table: chain.table.clone(),
        });
    }
    ports.iter().find_map(|port| of_port(port))
}

fn of_port(port: &Link) -> Option<Obstacle> {
    let restriction = match port.port {
        Some(settings) => settings.restriction,
        None => Some("says nothing of itself"),
    };
    if let Some(restriction) = restriction {
        return Some(Obstacle::Port {
            name: port.name.clone(),
            restriction,
        });
    }
    port.queue.clone().map(|discipline| Obstacle::Queue {
        port: port.name.clone(),
        discipline,
    })
}

/// Whether the other end of this port can be reached past the bridge: a veth that leads into another
/// namespace, and is ready.
#[must_use]
pub fn leads_elsewhere(port: &Link) -> bool {
    port.is_veth()
        && port.peer_namespace.is_some()
        && port.port.is_some_and(|settings| settings.forwards)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::netlink::{BridgeSettings, PortSettings};

    fn bridge() -> Link {
        Link {
            bridge: Some(BridgeSettings::default()),
            ..Link::nameless(1)
        }
    }

    fn port(name: &str) -> Link {
        Link {
            name: name.to_owned(),
            port: Some(PortSettings {
                forwards: true,
                restriction: None,
            }),
            ..Link::nameless(2)
        }
    }

    fn obstacle(bridge: &Link, port: &Link, surroundings: &Surroundings) -> Option<String> {
        of_bridge(bridge, &[port], surroundings).map(|obstacle| obstacle.to_string())
    }

    fn netdev(device: &str) -> Surroundings {
        let chain = BaseChain {
            family: Family::Netdev,
            table: "filter".to_owned(),
            devices: vec![device.to_owned()],
        };
        Surroundings {
            chains: vec![chain],
            ..Surroundings::default()
        }
    }

    #[test]
    fn a_bridge_that_is_only_a_bridge_has_no_obstacle() {
        let nothing = Surroundings::default();
        assert_eq!(obstacle(&bridge(), &port("veth1"), &nothing), None);
        assert_eq!(obstacle(&bridge(), &port("veth1"), &netdev("eth0")), None);
    }

    #[test]
    fn whatever_looks_at_frames_between_ports_is_one() {
        let nothing = Surroundings::default();
        let with = |settings| Link {
            bridge: Some(settings),
            ..bridge()
        };
        let vlans = with(BridgeSettings {
            vlan_filtering: true,
            ..BridgeSettings::default()
        });
        let shown = with(BridgeSettings {
            shown_to_iptables: true,
            ..BridgeSettings::default()
        });
        let isolated = Link {
            port: Some(PortSettings {
                forwards: true,
                restriction: Some("is isolated"),
            }),
            ..port("veth1")
        };
        let limited = Link {
            queue: Some("tbf".to_owned()),
            ..port("veth1")
        };
        let everywhere = Surroundings {
            shown_to_iptables: true,
            ..Surroundings::default()
        };
        let ebtables = Surroundings {
            ebtables: true,
            ..Surroundings::default()
        };
        let plain = port("veth1");
        for (bridge, port, surroundings, said) in [
            (&vlans, &plain, &nothing, "it filters by VLAN"),
            (&shown, &plain, &nothing, "shown to iptables"),
            (&bridge(), &isolated, &nothing, "port veth1 is isolated"),
            (&bridge(), &limited, &nothing, "wait in a queue (tbf)"),
            (&bridge(), &plain, &everywhere, "shown to iptables"),
            (&bridge(), &plain, &ebtables, "ebtables is in use"),
            (&bridge(), &plain, &netdev("veth1"), "table netdev filter"),
            (
                &Link::nameless(1),
                &plain,
                &nothing,
                "says nothing of itself",
            ),
            (
                &bridge(),
                &Link::nameless(2),
                &nothing,
                "says nothing of itself",
            ),
        ] {
            let found = obstacle(bridge, port, surroundings).unwrap_or_default();
            assert!(found.contains(said), "{said:?}: {found:?}");
        }
    }
}

//! The host's ways to the outside: named ones, or those that default routes lead to. Pure.

use std::collections::BTreeSet;

use super::endpoints::candidates::is_managed;
use super::endpoints::{HostView, Settings};
use super::model::Inventory;
use super::netlink::{Link, LinkXdp};

/// A way to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// The interface's index.
    pub ifindex: u32,
    /// The interface's name.
    pub interface: String,
    /// It carries Ethernet frames. What does not, the programs cannot read.
    pub ethernet: bool,
    /// The XDP program that it has, anybody's.
    pub xdp: Option<LinkXdp>,
}

/// All of them. Managed bridges, their ports, endpoints and the loopback interface are none, whatever
/// they are called and whichever route leads there: what passes there is judged as the endpoints'.
pub(super) fn find(host: &HostView, settings: &Settings, inventory: &Inventory) -> Vec<Uplink> {
    let managed: BTreeSet<u32> = host
        .links
        .iter()
        .filter(|link| link.is_bridge() && is_managed(&link.name, settings))
        .map(|link| link.ifindex)
        .collect();
    let endpoints: BTreeSet<u32> = inventory
        .endpoints
        .values()
        .map(|endpoint| endpoint.ifindex)
        .collect();
    let is_wanted = |link: &Link| {
        if settings.uplinks.is_empty() {
            host.default_routes.contains(&link.ifindex)
        } else {
            let mut patterns = settings.uplinks.iter();
            patterns.any(|pattern| pattern.matches(&link.name))
        }
    };
    let is_inside = |link: &Link| {
        link.name == "lo"
            || managed.contains(&link.ifindex)
            || link.master.is_some_and(|master| managed.contains(&master))
            || endpoints.contains(&link.ifindex)
    };
    host.links
        .iter()
        .filter(|link| is_wanted(link) && !is_inside(link))
        .map(|link| Uplink {
            ifindex: link.ifindex,
            interface: link.name.clone(),
            ethernet: link.ethernet,
            xdp: link.xdp,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::inventory::model::Endpoint;
    use crate::policy::model::Pattern;
    use crate::state::numbers::EndpointNumber;

    fn host() -> HostView {
        let link = |ifindex, name: &str, kind: Option<&str>, master| Link {
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            master,
            ..Link::nameless(ifindex)
        };
        HostView {
            links: vec![
                link(1, "lo", None, None),
                link(2, "eth0", None, None),
                link(3, "eth1", None, None),
                link(4, "docker0", Some("bridge"), None),
                link(5, "veth1", Some("veth"), Some(4)),
                link(6, "tap0", Some("tun"), None),
            ],
            ..HostView::default()
        }
    }

    fn settings(uplinks: &[&str]) -> Settings {
        let patterns = |texts: &[&str]| {
            let patterns = texts.iter().map(|text| Pattern::new(text).unwrap());
            patterns.collect::<Vec<_>>()
        };
        Settings {
            managed: patterns(&["docker0"]),
            excluded: Vec::new(),
            uplinks: patterns(uplinks),
            plain: Vec::new(),
            policy_interfaces: Vec::new(),
            last_number: EndpointNumber(10),
            grace: Duration::ZERO,
        }
    }

    fn names(host: &HostView, uplinks: &[&str], inventory: &Inventory) -> Vec<String> {
        let found = find(host, &settings(uplinks), inventory);
        found.into_iter().map(|uplink| uplink.interface).collect()
    }

    #[test]
    fn uplinks_are_where_default_routes_lead_to_unless_they_are_named() {
        let mut host = host();
        host.default_routes = [2].into();
        assert_eq!(names(&host, &[], &Inventory::default()), ["eth0"]);
        let named = names(&host, &["eth*"], &Inventory::default());
        assert_eq!(named, ["eth0", "eth1"]);
    }

    #[test]
    fn managed_bridges_their_ports_endpoints_and_the_loopback_are_never_uplinks() {
        let tap = Endpoint {
            number: EndpointNumber(1),
            interface: "tap0".to_owned(),
            ifindex: 6,
            bridge: None,
            owner: None,
        };
        let inventory = Inventory {
            endpoints: BTreeMap::from([(tap.number, tap)]),
            ..Inventory::default()
        };
        let mut host = host();
        assert_eq!(names(&host, &["*"], &inventory), ["eth0", "eth1"]);
        host.default_routes = (1..=6).collect();
        assert_eq!(names(&host, &[], &inventory), ["eth0", "eth1"]);
    }
}

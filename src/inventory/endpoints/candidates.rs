//! Which interfaces are endpoints at all.

use std::collections::BTreeMap;

use super::{PlainInterface, Remark, Settings};
use crate::inventory::netlink::Link;
use crate::policy::model::Pattern;

/// An interface that is an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub link: &'a Link,
    /// The bridge it is a port of.
    pub bridge: Option<&'a Link>,
    /// That bridge is a managed one.
    pub managed: bool,
    /// Described by hand.
    pub plain: Option<&'a PlainInterface>,
}

pub(in crate::inventory) fn is_managed(bridge: &str, settings: &Settings) -> bool {
    any(&settings.managed, bridge) && !any(&settings.excluded, bridge)
}

fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

/// All endpoints, in the order of their interfaces' indexes.
pub(super) fn find<'a>(
    links: &'a [Link],
    settings: &'a Settings,
    remarks: &mut Vec<Remark>,
) -> Vec<Candidate<'a>> {
    let by_index: BTreeMap<u32, &Link> = links.iter().map(|link| (link.ifindex, link)).collect();
    let mut candidates = Vec::new();
    for link in by_index.values().copied() {
        let bridge = link
            .master
            .and_then(|master| by_index.get(&master).copied())
            .filter(|master| master.is_bridge());
        let managed = bridge.is_some_and(|bridge| is_managed(&bridge.name, settings));
        let plain = settings.plain.iter().find(|p| p.interface == link.name);
        let by_policy = any(&settings.policy_interfaces, &link.name);
        if !managed && plain.is_none() && !by_policy {
            continue;
        }
        if let Some(reason) = never(link, settings) {
            let spelled_out = settings
                .policy_interfaces
                .iter()
                .any(|p| p.as_str() == link.name);
            if plain.is_some() || spelled_out {
                remarks.push(Remark::NotAnEndpoint {
                    interface: link.name.clone(),
                    reason,
                });
            }
            continue;
        }
        candidates.push(Candidate {
            link,
            bridge,
            managed,
            plain,
        });
    }
    let missing_plain = settings
        .plain
        .iter()
        .filter(|plain| !links.iter().any(|link| link.name == plain.interface))
        .map(|plain| plain.interface.as_str());
    let missing_in_policy = settings
        .policy_interfaces
        .iter()
        .filter(|pattern| !links.iter().any(|link| pattern.matches(&link.name)))
        .map(Pattern::as_str);
    for interface in missing_plain.chain(missing_in_policy) {
        remarks.push(Remark::NoSuchInterface {
            interface: interface.to_owned(),
        });
    }
    candidates
}

/// Why an interface cannot be an endpoint, whatever is said of it.
fn never(link: &Link, settings: &Settings) -> Option<&'static str> {
    if link.name == "lo" {
        Some("it is the loopback interface")
    } else if link.is_bridge() {
        Some("it is a bridge; its ports are endpoints, by `managed`")
    } else if any(&settings.uplinks, &link.name) {
        Some("it is an uplink")
    } else {
        None
    }
}

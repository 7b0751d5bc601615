//! What the guard's table says. Pure, but for the question what nftables can tell of a frame here.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::glob::{NameMatch, is_writable};
use super::nft::{self, NftError};
use crate::config::Bridges;
use crate::inventory::netlink::Link;
use crate::policy::model::Pattern;

/// The name of our tables.
pub(super) const TABLE: &str = "bridgewall";

/// The families that have one.
pub(super) const FAMILIES: [&str; 3] = ["bridge", "inet", "arp"];

/// A port hands frames to this group (LLDP's) to the host itself, without asking any hook of the bridge
/// (`br_handle_frame` in net/bridge/br_input.c). Nobody honest sends IP or ARP there.
const UNHOOKED: &str = "meta pkttype multicast ether daddr 01:80:c2:00:00:0e counter drop";

/// Before all other chains: what is dropped here need not be looked at by anybody.
const PRIORITY: i32 = -400;

/// What nftables can tell of a frame on this kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Of which bridge its port is (`meta ibrname`; CONFIG_NFT_BRIDGE_META).
    Bridges,
    /// Only the port. Then ports are known by their names, and those of bridges that are not managed
    /// are listed one by one.
    Ports,
}

/// Asks the kernel what it can do.
pub(super) fn probe() -> Result<Sight, NftError> {
    let question = |key: &str| {
        format!(
            "table bridge {TABLE}-probe {{ chain probe {{ type filter hook prerouting priority 0; {key} \"x\"; }}; }}"
        )
    };
    if nft::check(&question("meta ibrname"))? {
        return Ok(Sight::Bridges);
    }
    Ok(Sight::Ports)
}

/// Removes the tables, whether or not they are there.
pub(super) fn removal() -> String {
    FAMILIES
        .map(|family| format!("table {family} {TABLE}\ndelete table {family} {TABLE}\n"))
        .concat()
}

/// How many rules a script or a listing has, by what they decide; each ends a line of its own.
pub(super) fn verdicts(text: &str) -> [usize; 3] {
    ["jump ", " accept", " drop"].map(|verdict| {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| line.ends_with(verdict) || line.starts_with(verdict))
            .count()
    })
}

/// What is guarded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Which bridges are managed.
    pub bridges: &'a Bridges,
    /// Interfaces that are guarded by name, on whatever bridge.
    pub interfaces: &'a [String],
    /// What ports of managed bridges are called; of use where bridges cannot be told.
    pub ports: &'a [Pattern],
    /// The group of interfaces that are armed.
    pub group: u32,
    /// The part of a packet's mark that an armed port's program never leaves empty.
    pub mark: u32,
}

/// The two ends of a frame's way through a bridge, in the words of nftables.
#[derive(Debug, Clone, Copy)]
struct End {
    chain: &'static str,
    bridge: &'static str,
    port: &'static str,
    kind: &'static str,
}

const SENT: End = End {
    chain: "sent",
    bridge: "meta ibrname",
    port: "iifname",
    kind: "meta iifkind",
};

const RECEIVED: End = End {
    chain: "received",
    bridge: "meta obrname",
    port: "oifname",
    kind: "meta oifkind",
};

impl Scope<'_> {
    /// The script that puts the tables into the kernel, in the place of those before.
    pub fn script(&self, sight: Sight, links: &[Link]) -> String {
        let Self { group, mark, .. } = self;
        let mut script = removal();
        let mut add = |text: String| {
            // Writing to a string does not fail.
            let _ = writeln!(script, "{text}");
        };
        add(format!("table bridge {TABLE} {{"));
        // Frames to the link-local group addresses come by the input hook alone.
        for (name, hook, chain) in [
            ("from_port", "prerouting", SENT.chain),
            ("from_port_to_host", "input", SENT.chain),
            ("to_port", "postrouting", RECEIVED.chain),
        ] {
            add(format!(
                "\tchain {name} {{\n\t\ttype filter hook {hook} priority {PRIORITY}; policy accept;\n\t\tjump {chain}\n\t}}"
            ));
        }
        for (end, armed) in [
            (
                SENT,
                format!("iifgroup {group} meta mark & {mark:#010x} != 0"),
            ),
            (RECEIVED, format!("oifgroup {group}")),
        ] {
            add(format!("\tchain {} {{\n\t\t{armed} accept", end.chain));
            for rule in self.rules(sight, end, links) {
                add(format!("\t\t{rule}"));
            }
            add("\t}".to_owned());
        }
        add("}".to_owned());
        for (family, hook) in [("inet", "prerouting"), ("arp", "input")] {
            add(format!(
                "table {family} {TABLE} {{\n\tchain unhooked {{\n\t\ttype filter hook {hook} priority {PRIORITY}; policy accept;\n\t\t{UNHOOKED}\n\t}}\n}}"
            ));
        }
        script
    }

    /// What is dropped at one end unless it is armed, and before it what is not after all.
    fn rules(&self, sight: Sight, end: End, links: &[Link]) -> Vec<String> {
        let mut rules: Vec<String> = self
            .interfaces
            .iter()
            .filter(|name| is_writable(name))
            .map(|name| format!("{} \"{name}\" counter drop", end.port))
            .collect();
        match sight {
            Sight::Bridges => {
                let excluded = self.bridges.excluded.iter().map(NameMatch::covering);
                rules.extend(
                    excluded
                        .filter(|name| name.exact)
                        .map(|name| format!("{}accept", name.expression(end.bridge))),
                );
                let managed: Vec<_> = self
                    .bridges
                    .managed
                    .iter()
                    .map(NameMatch::covering)
                    .collect();
                rules.extend(others(end.bridge, self.other_bridges(&managed, links)));
                rules.extend(managed.iter().map(|name| {
                    // A glob that nftables cannot express covers more than it should: then only what
                    // Docker makes is dropped.
                    let kind = if name.exact {
                        String::new()
                    } else {
                        format!("{} \"veth\" ", end.kind)
                    };
                    format!("{}{kind}counter drop", name.expression(end.bridge))
                }));
            }
            Sight::Ports => {
                let ports: Vec<_> = self.ports.iter().map(NameMatch::covering).collect();
                rules.extend(others(end.port, self.other_ports(&ports, links)));
                rules.extend(
                    ports
                        .iter()
                        .map(|name| format!("{}counter drop", name.expression(end.port))),
                );
            }
        }
        rules
    }

    /// Bridges that are not managed, though the rules cover them.
    fn other_bridges<'l>(&self, managed: &[NameMatch], links: &'l [Link]) -> BTreeSet<&'l str> {
        links
            .iter()
            .filter(|link| link.is_bridge() && !self.bridges.manages(&link.name))
            .map(|link| link.name.as_str())
            .filter(|name| managed.iter().any(|managed| managed.covers(name)))
            .collect()
    }

    /// Ports of bridges that are not managed, though the rules cover them.
    fn other_ports<'l>(&self, ports: &[NameMatch], links: &'l [Link]) -> BTreeSet<&'l str> {
        let unmanaged: BTreeSet<u32> = links
            .iter()
            .filter(|link| link.is_bridge() && !self.bridges.manages(&link.name))
            .map(|link| link.ifindex)
            .collect();
        links
            .iter()
            .filter(|link| {
                link.master
                    .is_some_and(|master| unmanaged.contains(&master))
            })
            .map(|link| link.name.as_str())
            .filter(|name| ports.iter().any(|port| port.covers(name)))
            .collect()
    }
}

/// One rule that lets these names pass, if there are any.
fn others(key: &str, names: BTreeSet<&str>) -> Option<String> {
    let names: Vec<_> = names
        .into_iter()
        .filter(|name| is_writable(name))
        .map(|name| format!("\"{name}\""))
        .collect();
    (!names.is_empty()).then(|| format!("{key} {{ {} }} accept", names.join(", ")))
}

#[cfg(test)]
#[path = "ruleset_tests.rs"]
mod tests;

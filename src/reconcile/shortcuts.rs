//! The fast path in the hand of the one writer: where packets between two endpoints of a bridge may go
//! past it, because nothing that somebody configured would be skipped.
//!
//! What is told by notices (interfaces, bridges, nftables) is looked at when one comes; what is not
//! (kernel parameters, settings of ports, programs and filters of others) every few seconds. A shortcut is withdrawn
//! before anything is detached, and given when both ends are armed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use crate::config::FastPath;
use crate::control::report::BridgeStatus;
use crate::inventory::model::Inventory;
use crate::inventory::netlink::{Link, nftables};
use crate::inventory::obstacles::{self, Obstacle, Surroundings};
use crate::kernel::{Kernel, Shortcut, Shortcuts};
use crate::netlink::Netlink;

/// How often what nobody tells of is looked at.
const REVIEW: Duration = Duration::from_secs(5);

/// Our own tables: they let pass what is armed.
const OWN_TABLE: &str = "bridgewall";

/// What is known about the ways between ports.
pub(super) struct FastPaths {
    netlink: Netlink,
    enabled: bool,
    /// By bridge: why not; `None`: it may be used.
    bridges: BTreeMap<String, Option<Obstacle>>,
    /// Ports that were looked at since the last review, and whether they have programs of others.
    looked_at: BTreeMap<u32, Result<bool, String>>,
    review_at: Instant,
}

impl FastPaths {
    pub(super) fn new(enabled: FastPath) -> anyhow::Result<Self> {
        Ok(Self {
            netlink: Netlink::open()?,
            enabled: enabled == FastPath::Auto,
            bridges: BTreeMap::new(),
            looked_at: BTreeMap::new(),
            review_at: Instant::now(),
        })
    }

    /// When something may have changed that nobody tells of; `None`: there is nothing to look at.
    pub(super) fn review_at(&self) -> Option<Instant> {
        (self.enabled && !self.bridges.is_empty()).then_some(self.review_at)
    }

    /// For `status`.
    pub(super) fn status(&self) -> Vec<BridgeStatus> {
        self.bridges
            .iter()
            .map(|(name, obstacle)| BridgeStatus {
                name: name.clone(),
                fast_path: obstacle.is_none(),
                reason: obstacle.as_ref().map(ToString::to_string),
            })
            .collect()
    }

    /// Who may be reached past the bridge, of these endpoints.
    fn find(&mut self, kernel: &mut Kernel, links: &[Link], inventory: &Inventory) -> Shortcuts {
        let of: BTreeMap<u32, &Link> = links.iter().map(|link| (link.ifindex, link)).collect();
        let used: BTreeSet<u32> = inventory
            .endpoints
            .values()
            .filter_map(|e| e.bridge)
            .collect();
        let surroundings = self.enabled.then(surroundings);
        self.bridges.clear();
        let mut open = BTreeSet::new();
        for index in used {
            let Some(bridge) = of.get(&index).filter(|link| link.is_bridge()) else {
                continue;
            };
            let ports: Vec<_> = links
                .iter()
                .filter(|link| link.master == Some(index))
                .collect();
            let obstacle = match &surroundings {
                None => Some(Obstacle::SwitchedOff),
                Some(Err(error)) => Some(Obstacle::Unknown(error.clone())),
                Some(Ok(surroundings)) => obstacles::of_bridge(bridge, &ports, surroundings)
                    .or_else(|| self.find_programs(kernel, &ports, inventory)),
            };
            if obstacle.is_none() {
                open.insert(index);
            }
            self.bridges.insert(bridge.name.clone(), obstacle);
        }
        self.looked_at.retain(|ifindex, _| of.contains_key(ifindex));
        let shortcut = |(&number, endpoint): (&_, &crate::inventory::model::Endpoint)| {
            let bridge = endpoint.bridge.filter(|index| open.contains(index))?;
            let port = of.get(&endpoint.ifindex)?;
            let owner = endpoint.owner.as_ref()?;
            obstacles::leads_elsewhere(port).then_some((
                number,
                Shortcut {
                    ifindex: endpoint.ifindex,
                    bridge,
                    mac: owner.mac,
                },
            ))
        };
        inventory.endpoints.iter().filter_map(shortcut).collect()
    }

    /// The first port that has programs or filters which are not ours.
    fn find_programs(
        &mut self,
        kernel: &mut Kernel,
        ports: &[&Link],
        inventory: &Inventory,
    ) -> Option<Obstacle> {
        let watched: BTreeSet<u32> = inventory.endpoints.values().map(|e| e.ifindex).collect();
        for port in ports.iter().filter(|port| watched.contains(&port.ifindex)) {
            if !self.looked_at.contains_key(&port.ifindex) {
                let found = self.look_at(kernel, port.ifindex);
                // One that is not armed yet is looked at again when it is.
                if let Some(found) = found {
                    self.looked_at.insert(port.ifindex, found);
                }
            }
            match self.looked_at.get(&port.ifindex) {
                Some(Err(error)) => return Some(Obstacle::Unknown(error.clone())),
                Some(Ok(true)) => {
                    return Some(Obstacle::Program {
                        port: port.name.clone(),
                    });
                }
                Some(Ok(false)) | None => {}
            }
        }
        None
    }

    /// Whether a port has programs or filters beside one of ours in each direction; `None`: it has none
    /// of ours.
    fn look_at(&mut self, kernel: &mut Kernel, ifindex: u32) -> Option<Result<bool, String>> {
        const OURS: usize = 2;
        match kernel.observe() {
            Ok(actual) => actual
                .attachments
                .get(&ifindex)
                .filter(|found| found.sound)?,
            Err(error) => return Some(Err(error.to_string())),
        };
        let programs = kernel.tcx_programs(ifindex);
        let filters = self.netlink.filters(ifindex);
        Some(match (programs, filters) {
            (Ok(programs), Ok(filters)) => Ok(programs + filters != OURS),
            (Err(error), _) => Err(error.to_string()),
            (_, Err(error)) => Err(error.to_string()),
        })
    }
}

/// What is the same for all bridges.
fn surroundings() -> Result<Surroundings, String> {
    let mut chains = nftables::base_chains().map_err(|error| error.to_string())?;
    chains.retain(|chain| chain.table != OWN_TABLE);
    Ok(Surroundings {
        shown_to_iptables: ["iptables", "ip6tables"].iter().any(|tool| {
            let path = format!("/proc/sys/net/bridge/bridge-nf-call-{tool}");
            // Without the file there is no such thing; what cannot be read counts as "yes".
            match fs::read_to_string(&path) {
                Ok(text) => text.trim() != "0",
                Err(error) => error.kind() != std::io::ErrorKind::NotFound,
            }
        }),
        chains,
        ebtables: ["broute", "filter", "nat"]
            .iter()
            .any(|table| Path::new(&format!("/sys/module/ebtable_{table}")).exists()),
    })
}

impl Daemon {
    /// Before anything changes: shortcuts that will not be wanted any more go first.
    pub(super) fn withdraw_shortcuts(&mut self, inventory: &Inventory) -> Vec<String> {
        let links = self.host.links();
        let wanted = self.fast_paths.find(&mut self.kernel, links, inventory);
        self.change_shortcuts(|there| {
            there.retain(|number, shortcut| wanted.get(number) == Some(shortcut));
        })
    }

    /// When all are armed that can be: the others may be reached past the bridge from now on.
    pub(super) fn give_shortcuts(&mut self, inventory: &Inventory) -> Vec<String> {
        let links = self.host.links().to_vec();
        self.renew_shortcuts(&links, inventory)
    }

    fn renew_shortcuts(&mut self, links: &[Link], inventory: &Inventory) -> Vec<String> {
        let mut wanted = self.fast_paths.find(&mut self.kernel, links, inventory);
        let armed = match self.kernel.observe() {
            Ok(actual) => &actual.attachments,
            Err(error) => return vec![error.to_string()],
        };
        wanted.retain(|_, shortcut| {
            armed
                .get(&shortcut.ifindex)
                .is_some_and(|found| found.sound)
        });
        self.change_shortcuts(|there| *there = wanted)
    }

    /// What nobody tells of may have changed, or nftables has.
    pub(super) fn review_shortcuts(&mut self) {
        self.fast_paths.looked_at.clear();
        self.fast_paths.review_at = Instant::now() + REVIEW;
        let inventory = std::mem::take(&mut self.inventory);
        let failures = match self.fast_paths.netlink.links() {
            Ok(links) => self.renew_shortcuts(&links, &inventory),
            // Who cannot see takes no short ways.
            Err(error) => {
                let mut failures = self.change_shortcuts(Shortcuts::clear);
                failures.push(error.to_string());
                failures
            }
        };
        self.inventory = inventory;
        if !failures.is_empty() {
            self.failed(failures);
        }
    }

    fn change_shortcuts(&mut self, change: impl FnOnce(&mut Shortcuts)) -> Vec<String> {
        let mut wanted = match self.kernel.shortcuts() {
            Ok(there) => there.clone(),
            Err(error) => return vec![error.to_string()],
        };
        change(&mut wanted);
        self.kernel
            .set_shortcuts(wanted)
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect()
    }
}

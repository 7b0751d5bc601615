//! By what authority each endpoint is named.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::candidates::Candidate;
use super::{DockerKnowledge, HostView, Ledger, Remark, Settings, Why};
use crate::inventory::docker::Attachment;
use crate::inventory::model::MacAddress;
use crate::inventory::netlink::Nsid;

/// By what authority an endpoint is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Basis {
    /// It is Docker's attachment of this id: it leads into that container's namespace.
    Namespace(String),
    /// It is Docker's attachment of this id: it has the MAC address that Docker assigned.
    Mac(String),
    /// It is nobody's that Docker knows of.
    Plain,
}

impl Basis {
    /// Nothing will change it while the interface exists.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Namespace(_))
    }

    /// Docker's id of the attachment.
    pub fn attachment(&self) -> Option<&str> {
        match self {
            Self::Namespace(id) | Self::Mac(id) => Some(id),
            Self::Plain => None,
        }
    }
}

/// All endpoints, with their authority.
#[derive(Debug)]
pub(super) struct Names<'a> {
    pub named: Vec<Name<'a>>,
    pub wants_docker_list: bool,
    pub check_again_at: Option<Instant>,
}

/// One endpoint, with its authority, if it has one.
#[derive(Debug)]
pub(super) struct Name<'a> {
    pub candidate: Candidate<'a>,
    pub basis: Option<Basis>,
}

/// What the namespace behind an interface says.
#[derive(Debug, Clone, Copy)]
enum Authority<'a> {
    /// This attachment is behind it.
    Attached(&'a Attachment),
    /// A container that is not attached to this bridge.
    NotAttached(&'a str),
    /// No container's namespace, as far as is known now.
    Unknown,
}

/// Complete lists from Docker are asked for at these intervals while something is open, the longer
/// it has been open the rarer.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_INTERVAL: Duration = Duration::from_secs(10);

/// Names what can be named.
pub(super) fn name<'a>(
    candidates: &[Candidate<'a>],
    host: &'a HostView,
    docker: DockerKnowledge<'a>,
    settings: &Settings,
    ledger: &Ledger,
    now: Instant,
    remarks: &mut Vec<Remark>,
) -> Names<'a> {
    let mut namer = Namer {
        host,
        docker,
        settings,
        ledger,
        now,
        containers: invert(&host.namespaces),
        taken: BTreeSet::new(),
        names: Names {
            named: candidates
                .iter()
                .map(|candidate| Name {
                    candidate: *candidate,
                    basis: None,
                })
                .collect(),
            wants_docker_list: false,
            check_again_at: None,
        },
        remarks,
    };
    namer.keep_what_holds();
    namer.by_namespace();
    namer.by_mac();
    namer.plain();
    namer.names
}

fn invert(namespaces: &BTreeMap<String, Nsid>) -> BTreeMap<Nsid, Vec<&str>> {
    let mut containers: BTreeMap<Nsid, Vec<&str>> = BTreeMap::new();
    for (container, namespace) in namespaces {
        containers.entry(*namespace).or_default().push(container);
    }
    containers
}

struct Namer<'a, 'b> {
    host: &'a HostView,
    docker: DockerKnowledge<'a>,
    settings: &'b Settings,
    ledger: &'b Ledger,
    now: Instant,
    /// By namespace.
    containers: BTreeMap<Nsid, Vec<&'a str>>,
    /// Ids of attachments that are some interface's.
    taken: BTreeSet<String>,
    names: Names<'a>,
    remarks: &'b mut Vec<Remark>,
}

impl<'a> Namer<'a, '_> {
    fn attachments(&self, candidate: &Candidate<'_>) -> impl Iterator<Item = &'a Attachment> {
        let bridge = candidate.bridge.map(|bridge| bridge.name.clone());
        let all = self.docker.view.attachments.iter();
        all.filter(move |a| Some(&a.bridge) == bridge.as_ref())
    }

    fn authority(&self, candidate: &Candidate<'_>) -> Authority<'a> {
        let namespace = candidate.link.peer_namespace;
        let containers = namespace.and_then(|namespace| self.containers.get(&namespace));
        let Some(containers) = containers else {
            return Authority::Unknown;
        };
        self.attachments(candidate)
            .find(|a| containers.contains(&a.container.id.as_str()))
            .map_or(
                Authority::NotAttached(containers.first().copied().unwrap_or_default()),
                Authority::Attached,
            )
    }

    fn peer_mac(&self, candidate: &Candidate<'_>) -> Option<MacAddress> {
        self.host.peers.get(&candidate.link.ifindex)?.mac
    }

    fn set(&mut self, index: usize, basis: Basis) {
        self.taken.extend(basis.attachment().map(str::to_owned));
        self.names.named[index].basis = Some(basis);
    }

    fn unnamed(&self) -> Vec<usize> {
        let named = self.names.named.iter().enumerate();
        named
            .filter(|(_, name)| name.basis.is_none())
            .map(|(index, _)| index)
            .collect()
    }

    /// What was settled before stays, unless a better authority speaks against it.
    fn keep_what_holds(&mut self) {
        for index in 0..self.names.named.len() {
            let candidate = self.names.named[index].candidate;
            let Some((basis, owner)) = self.ledger.naming(candidate.link.ifindex) else {
                continue;
            };
            let kept = match (basis, self.authority(&candidate)) {
                (Basis::Namespace(_), _) => Some(basis.clone()),
                (Basis::Mac(id), Authority::Attached(attachment)) => {
                    (attachment.endpoint == *id).then(|| Basis::Namespace(id.clone()))
                }
                (Basis::Mac(_), Authority::NotAttached(_)) => None,
                // Docker tells by now where that container is: elsewhere.
                (Basis::Mac(_), _) if self.is_elsewhere(owner.attributes.container.as_deref()) => {
                    None
                }
                (Basis::Mac(_), _) => Some(basis.clone()),
                (Basis::Plain, Authority::Attached(_)) => None,
                (Basis::Plain, _) => Some(basis.clone()),
            };
            match kept {
                Some(basis) => self.set(index, basis),
                None if *basis == Basis::Plain => {}
                None => self.remarks.push(Remark::Corrected {
                    interface: candidate.link.name.clone(),
                    was: owner.attributes.name.clone(),
                }),
            }
        }
    }

    /// Whether a container's namespace is known. (Only asked where it is not this interface's.)
    fn is_elsewhere(&self, container: Option<&str>) -> bool {
        container.is_some_and(|id| self.host.namespaces.contains_key(id))
    }

    fn by_namespace(&mut self) {
        let mut claims: BTreeMap<String, (&'a Attachment, Vec<usize>)> = BTreeMap::new();
        for index in self.unnamed() {
            if let Authority::Attached(a) = self.authority(&self.names.named[index].candidate) {
                let (_, indexes) = claims.entry(a.endpoint.clone()).or_insert((a, Vec::new()));
                indexes.push(index);
            }
        }
        for (attachment, indexes) in claims.into_values() {
            if self.taken.contains(&attachment.endpoint) {
                continue; // a further interface, which Docker did not make
            }
            let has_mac = |index: &usize| {
                self.peer_mac(&self.names.named[*index].candidate) == Some(attachment.mac)
            };
            let with_mac: Vec<_> = indexes.iter().copied().filter(has_mac).collect();
            let (([one], _) | (_, [one])) = (&indexes[..], &with_mac[..]) else {
                continue;
            };
            self.set(*one, Basis::Namespace(attachment.endpoint.clone()));
        }
    }

    fn by_mac(&mut self) {
        let mut claims: BTreeMap<(u32, MacAddress), Vec<usize>> = BTreeMap::new();
        for index in self.unnamed() {
            let candidate = &self.names.named[index].candidate;
            let unknown = matches!(self.authority(candidate), Authority::Unknown);
            let elsewhere = candidate.link.peer_namespace.is_some();
            if let Some(bridge) = candidate.bridge
                && let Some(mac) = self.peer_mac(candidate)
                && unknown
                && elsewhere
            {
                claims.entry((bridge.ifindex, mac)).or_default().push(index);
            }
        }
        for ((_, mac), indexes) in claims {
            let [index] = indexes[..] else {
                continue;
            };
            let candidate = self.names.named[index].candidate;
            let open: Vec<_> = self
                .attachments(&candidate)
                .filter(|a| !self.taken.contains(&a.endpoint) && !self.ledger.is_spent(&a.endpoint))
                .collect();
            // A container that runs, and whose interface is not found, could have changed its MAC
            // address: then none on this bridge proves anything until the namespaces are known.
            if open.iter().any(|attachment| attachment.running) {
                continue;
            }
            let mut matching = open.iter().filter(|attachment| attachment.mac == mac);
            if let (Some(one), None) = (matching.next(), matching.next()) {
                self.set(index, Basis::Mac(one.endpoint.clone()));
            }
        }
    }

    /// What is left is plain, or has to wait.
    fn plain(&mut self) {
        for index in self.unnamed() {
            let candidate = self.names.named[index].candidate;
            match self.why_not_plain(&candidate) {
                None => self.set(index, Basis::Plain),
                Some(why) => {
                    if matches!(why, Why::Pending | Why::MaybeMissing { .. }) {
                        self.wait(candidate.link.ifindex);
                    }
                    self.remarks.push(Remark::Unnamed {
                        interface: candidate.link.name.clone(),
                        why,
                    });
                }
            }
        }
    }

    fn why_not_plain(&self, candidate: &Candidate<'_>) -> Option<Why> {
        if candidate.plain.is_some_and(|plain| plain.mac.is_some()) {
            return None;
        }
        match self.authority(candidate) {
            Authority::Attached(attachment) => {
                let container = attachment.container.name.clone();
                return Some(Why::Ambiguous { container });
            }
            Authority::NotAttached(container) if candidate.managed => {
                let container = container.to_owned();
                return Some(Why::NotAttached { container });
            }
            _ => {}
        }
        if !candidate.managed || self.is_dockerless() {
            return None;
        }
        let Some(listed_at) = self.docker.listed_at else {
            return Some(Why::DockerAway);
        };
        let first_seen = self
            .ledger
            .first_seen(candidate.link.ifindex)
            .unwrap_or(self.now);
        if listed_at <= first_seen || self.now < first_seen + self.settings.grace {
            return Some(Why::Pending);
        }
        let mut attachments = self.attachments(candidate);
        let missing = attachments.find(|a| !self.taken.contains(&a.endpoint))?;
        Some(Why::MaybeMissing {
            container: missing.container.name.clone(),
        })
    }

    /// There is no Docker on this host, and was none since it booted.
    fn is_dockerless(&self) -> bool {
        !self.docker.expected && !self.ledger.docker_seen
    }

    /// Notes when to look, and to ask Docker, again.
    fn wait(&mut self, ifindex: u32) {
        let first_seen = self.ledger.first_seen(ifindex).unwrap_or(self.now);
        let age = self.now.saturating_duration_since(first_seen);
        let interval = (age / 2).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        let listed_at = self
            .docker
            .listed_at
            .filter(|listed_at| *listed_at > first_seen);
        // At first Docker tells by itself, and asking it for everything keeps it from what it does.
        let next_list = listed_at.unwrap_or(first_seen) + interval;
        self.names.wants_docker_list |= next_list <= self.now;
        let settled = first_seen + self.settings.grace;
        let next = if settled > self.now {
            settled.min(self.now + interval)
        } else {
            self.now + interval
        };
        let earlier = self.names.check_again_at;
        self.names.check_again_at = Some(earlier.map_or(next, |earlier| earlier.min(next)));
    }
}

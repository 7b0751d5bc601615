//! What the one writer tells when it is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::daemon::Daemon;
use super::trial::Trial;
use crate::config::Remote;
use crate::control::explanation;
use crate::control::protocol::{ErrorKind, FLOWS_LIMIT, Listing, Response};
use crate::control::question::Question;
use crate::control::report::{
    AttachStatus, Counter, DockerState, DockerStatus, DropCount, EndpointCounts, EndpointReport,
    EventStatus, FlowEnd, FlowReport, FlowsReport, GuardState, GuardStatus, IdentityReport,
    ManagementStatus, MapStatus, Passage, PolicyStatus, RuleReport, StatusReport, TroubleStatus,
};
use crate::guard::{self, Sight};
use crate::inventory::docker::Health;
use crate::inventory::model::Endpoint;
use crate::kernel::{self, Flow, FlowState, MapMemory};
use crate::observe::event::protocol_name;
use crate::observe::reason::Reason;
use crate::policy::model::Action;
use crate::state::actual::{Actual, Mechanism};
use crate::state::networks::Placed;
use crate::state::numbers::{EndpointNumber, IdentityNumber, PeerKind};

/// The kernel does not tell: an answer for whoever asked.
pub(super) fn failed(error: &kernel::Error) -> Response {
    Response::error(ErrorKind::Failed, error.to_string())
}

impl Daemon {
    pub(super) fn status(&mut self) -> Response {
        match self.status_report() {
            Ok(report) => Response::Status(Box::new(report)),
            Err(error) => failed(&error),
        }
    }

    pub(super) fn list(&mut self, listing: Listing) -> Response {
        let listed = match listing {
            Listing::Endpoints => self.endpoint_reports().map(Response::Endpoints),
            Listing::Identities => Ok(Response::Identities(self.identity_reports())),
            Listing::Rules => self.rule_reports().map(Response::Rules),
            Listing::Flows { limit } => self.flow_reports(limit).map(Response::Flows),
        };
        listed.unwrap_or_else(|error| failed(&error))
    }

    pub(super) fn explain(&self, question: &Question) -> Response {
        let policy = self.policies.current();
        match explanation::answer(policy, &self.compiled, Some(&self.inventory), question) {
            Ok(explanation) => Response::Explained(Box::new(explanation)),
            Err(error) => Response::error(ErrorKind::Refused, error.to_string()),
        }
    }

    pub(super) fn status_report(&mut self) -> kernel::Result<StatusReport> {
        let drops = drop_counts(&self.reader.drops()?);
        let losses = self.reader.event_losses()?;
        let memory = self.reader.memory()?;
        let docker = self.docker_status();
        let actual = self.kernel.observe()?;
        let endpoints = counts(&self.inventory.endpoints, actual);
        let generation = actual.active.generation;
        let maps = map_statuses(actual, &memory);
        let attach = attach_status(actual);
        // Just observed.
        let uplinks = self
            .kernel
            .known()
            .map(|actual| self.uplink_statuses(actual));
        let reasons = self.reasons(endpoints, &docker);
        let flows = self.flow_status();
        let policy = self.policies.current();
        Ok(StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started_at,
            healthy: reasons.is_empty(),
            reasons,
            policy: PolicyStatus {
                revision: self.policies.revision(),
                generation,
                committed_at: self.committed_at,
                error: self.policies.error().map(str::to_owned),
                files: policy.files.clone(),
                rules: policy.rules.len(),
                identities: policy.identities.len(),
                networks: policy.networks.len(),
            },
            endpoints,
            attach,
            guard: guard_status(self.guard.state()),
            bridges: self.fast_paths.status(),
            docker,
            flows,
            uplinks: uplinks.unwrap_or_default(),
            management: self.management_status(),
            trial: self.trial.as_ref().map(Trial::status),
            maps,
            drops,
            events: EventStatus {
                monitors: self.hub.watchers(),
                lost_full: losses.full,
                lost_limited: losses.limited,
                lost_slow: self.hub.lost(),
            },
            troubles: TroubleStatus {
                policies_refused: self.policies.refusals(),
                kernel_failures: self.kernel_failures,
                saves_failed: self.store.failures(),
                clients_refused: self.tally.clients_refused(),
                requests_refused: self.tally.requests_refused(),
            },
        })
    }

    fn management_status(&self) -> ManagementStatus {
        ManagementStatus {
            enabled: self.config.management.enabled,
            allowed: self
                .managers
                .iter()
                .map(|key| format!("{} to port {}/tcp", Remote::Network(key.network), key.port))
                .collect(),
        }
    }

    /// Why not everything is enforced as it should be.
    fn reasons(&self, endpoints: EndpointCounts, docker: &DockerStatus) -> Vec<String> {
        let mut reasons = self.failures.clone();
        if self.policies.error().is_some() {
            reasons.push(
                "the policy files are refused and the policy before them is in force: mend them; \
                 `bridgewall check` shows what is wrong"
                    .to_owned(),
            );
        }
        reasons.extend(self.uplinks.problems());
        let unarmed = endpoints.total - endpoints.armed;
        if unarmed > 0 && self.failures.is_empty() {
            reasons.push(format!("{unarmed} endpoints are not armed yet"));
        }
        if docker.state == DockerState::Waiting {
            reasons.push(
                "Docker does not answer: containers that start now stay blocked until it does"
                    .to_owned(),
            );
        }
        reasons.extend(
            self.remarks
                .iter()
                .filter(|remark| remark.is_trouble())
                .map(ToString::to_string),
        );
        reasons
    }

    fn docker_status(&self) -> DockerStatus {
        let Some(state) = self.host.docker_state() else {
            return DockerStatus {
                state: DockerState::Off,
                version: None,
                error: None,
            };
        };
        let expected = state.is_expected();
        let Health {
            engine,
            connected_since,
            last_error,
            ..
        } = state.health;
        let (state, error) = match connected_since {
            Some(_) => (DockerState::Connected, None),
            None if expected => (DockerState::Waiting, last_error),
            None => (DockerState::Absent, None),
        };
        DockerStatus {
            state,
            version: engine,
            error,
        }
    }

    fn endpoint_reports(&mut self) -> kernel::Result<Vec<EndpointReport>> {
        let actual = self.kernel.observe()?;
        let armed: BTreeSet<EndpointNumber> = self
            .inventory
            .endpoints
            .values()
            .filter(|endpoint| is_armed(endpoint, actual))
            .map(|endpoint| endpoint.number)
            .collect();
        self.inventory
            .endpoints
            .values()
            .map(|endpoint| {
                let traffic = self.reader.endpoint_traffic(endpoint.number)?;
                let passage = |passed, dropped| Passage {
                    passed: counter(passed),
                    dropped: counter(dropped),
                };
                let identity = self.compiled.endpoints.get(&endpoint.number);
                let owner = endpoint.owner.as_ref();
                let attributes = owner.map(|owner| &owner.attributes);
                Ok(EndpointReport {
                    number: endpoint.number.0,
                    name: attributes.map(|attributes| attributes.name.clone()),
                    container: attributes.and_then(|attributes| attributes.container.clone()),
                    image: attributes.and_then(|attributes| attributes.image.clone()),
                    project: attributes.and_then(|attributes| attributes.project.clone()),
                    network: attributes.and_then(|attributes| attributes.network.clone()),
                    interface: endpoint.interface.clone(),
                    ifindex: endpoint.ifindex,
                    bridge: endpoint
                        .bridge
                        .map(|bridge| match self.host.link_name(bridge) {
                            Some(name) => name.to_owned(),
                            None => bridge.to_string(),
                        }),
                    mac: owner.map(|owner| owner.mac.to_string()),
                    addresses: owner
                        .map(|owner| owner.addresses.iter().copied().collect())
                        .unwrap_or_default(),
                    identities: identity
                        .map(|number| self.members(*number))
                        .unwrap_or_default(),
                    identity: identity.map(|number| number.0),
                    armed: armed.contains(&endpoint.number),
                    sent: passage(traffic.sent, traffic.sent_dropped),
                    received: passage(traffic.received, traffic.received_dropped),
                })
            })
            .collect()
    }

    /// The names of the identities that a number stands for.
    fn members(&self, number: IdentityNumber) -> Vec<String> {
        let policy = self.policies.current();
        self.compiled
            .identities
            .get(&number)
            .map(|info| {
                info.identities
                    .iter()
                    .filter_map(|id| policy.identities.get(id.0))
                    .map(|identity| identity.name.clone())
                    .collect()
            })
            .unwrap_or_default()
    }

    fn identity_reports(&self) -> Vec<IdentityReport> {
        let mut endpoints: BTreeMap<IdentityNumber, Vec<String>> = BTreeMap::new();
        for (number, identity) in &self.compiled.endpoints {
            let name = self.endpoint_name(*number);
            endpoints.entry(*identity).or_default().extend(name);
        }
        let mut prefixes: BTreeMap<IdentityNumber, usize> = BTreeMap::new();
        for identity in self.compiled.networks.values() {
            *prefixes.entry(*identity).or_default() += 1;
        }
        self.compiled
            .identities
            .iter()
            .map(|(&number, info)| IdentityReport {
                number: number.0,
                name: info.name.clone(),
                kind: match number.kind() {
                    PeerKind::Host => "host",
                    PeerKind::Endpoint => "endpoint",
                    PeerKind::Lan => "lan",
                    PeerKind::Internet => "internet",
                }
                .to_owned(),
                identities: self.members(number),
                endpoints: endpoints.remove(&number).unwrap_or_default(),
                prefixes: prefixes.get(&number).copied().unwrap_or_default(),
            })
            .collect()
    }

    pub(super) fn endpoint_name(&self, number: EndpointNumber) -> Option<String> {
        let endpoint = self.inventory.endpoints.get(&number)?;
        Some(match &endpoint.owner {
            Some(owner) => owner.attributes.name.clone(),
            None => endpoint.interface.clone(),
        })
    }

    /// In the order of the files.
    fn rule_reports(&self) -> kernel::Result<Vec<RuleReport>> {
        let mut rules: Vec<_> = self.compiled.rules.iter().collect();
        rules.sort_by_key(|(_, info)| info.index);
        rules
            .into_iter()
            .map(|(&number, info)| {
                Ok(RuleReport {
                    number: number.0,
                    action: match info.action {
                        Action::Allow => "allow",
                        Action::Deny => "deny",
                    }
                    .to_owned(),
                    name: info.name.clone(),
                    file: info.location.file.as_ref().clone(),
                    line: info.location.line,
                    hits: counter(self.reader.rule_hits(number)?),
                })
            })
            .collect()
    }

    fn flow_reports(&self, limit: usize) -> kernel::Result<FlowsReport> {
        let mut flows = self.reader.flows(usize::MAX)?;
        let total = flows.len();
        flows.sort_by_key(|flow| flow.idle);
        flows.truncate(limit.min(FLOWS_LIMIT));
        Ok(FlowsReport {
            total,
            flows: flows.iter().map(|flow| self.flow_report(flow)).collect(),
        })
    }

    fn flow_report(&self, flow: &Flow) -> FlowReport {
        let end = |end: &kernel::FlowEnd| FlowEnd {
            address: end.address,
            port: (end.port != 0).then_some(end.port),
            name: if end.host {
                Some("host".to_owned())
            } else {
                end.endpoint.and_then(|number| self.endpoint_name(number))
            },
        };
        FlowReport {
            protocol: protocol_name(flow.protocol),
            opener: end(&flow.opener),
            target: end(&flow.target),
            state: match flow.state {
                FlowState::New => "new".to_owned(),
                FlowState::Established => "established".to_owned(),
                FlowState::Closing => "closing".to_owned(),
            },
            generation: flow.generation,
            idle: flow.idle.as_secs(),
        }
    }
}

fn counter(counter: kernel::Counter) -> Counter {
    Counter {
        packets: counter.packets,
        bytes: counter.bytes,
    }
}

pub(super) fn is_armed(endpoint: &Endpoint, actual: &Actual) -> bool {
    actual
        .attachments
        .get(&endpoint.ifindex)
        .is_some_and(|attachment| {
            attachment.sound
                && attachment
                    .constants
                    .as_ref()
                    .is_some_and(|constants| constants.number == endpoint.number)
        })
}

fn counts(endpoints: &BTreeMap<EndpointNumber, Endpoint>, actual: &Actual) -> EndpointCounts {
    EndpointCounts {
        total: endpoints.len(),
        armed: endpoints
            .values()
            .filter(|endpoint| is_armed(endpoint, actual))
            .count(),
        unnamed: endpoints
            .values()
            .filter(|endpoint| endpoint.owner.is_none())
            .count(),
    }
}

fn attach_status(actual: &Actual) -> AttachStatus {
    let mut fallbacks = Vec::new();
    let others = actual
        .attachments
        .values()
        .filter(|attachment| attachment.mechanism != actual.mechanism)
        .count();
    if others > 0 {
        fallbacks.push(format!(
            "{others} of {} endpoints by {}: somebody else's tcx programs are there, or it was so before",
            actual.attachments.len(),
            match actual.mechanism {
                Mechanism::Tcx => Mechanism::Clsact,
                Mechanism::Clsact => Mechanism::Tcx,
            }
        ));
    }
    AttachStatus {
        mode: match actual.mechanism {
            Mechanism::Tcx => "tcx",
            Mechanism::Clsact => "clsact",
        }
        .to_owned(),
        fallbacks,
    }
}

fn guard_status(state: guard::State) -> GuardStatus {
    let (state, fallback) = match state {
        guard::State::Closed(Sight::Bridges) => (GuardState::Closed, None),
        guard::State::Closed(Sight::Ports) => (
            GuardState::Closed,
            Some(
                "this kernel's nftables cannot tell bridges apart (CONFIG_NFT_BRIDGE_META): ports are \
                 known by their names, guard.ports in bridgewall.toml"
                    .to_owned(),
            ),
        ),
        guard::State::Open => (GuardState::Open, None),
        guard::State::Off => (GuardState::Off, None),
    };
    GuardStatus { state, fallback }
}

fn drop_counts(drops: &[kernel::Counter]) -> Vec<DropCount> {
    drops
        .iter()
        .enumerate()
        .filter(|(_, counter)| counter.packets > 0)
        .filter_map(|(number, counter)| {
            let reason = Reason::from_raw(u32::try_from(number).ok()?)?;
            Some(DropCount {
                reason: reason.name(),
                text: reason.text().to_owned(),
                packets: counter.packets,
                bytes: counter.bytes,
            })
        })
        .collect()
}

/// Of the networks' search trees.
const BLOCK_BYTES: u64 = 64;

fn map_statuses(actual: &Actual, memory: &BTreeMap<&'static str, MapMemory>) -> Vec<MapStatus> {
    let capacity = &actual.capacity;
    let slots = &actual.slots;
    let blocks = Placed::blocks(slots.each_ref().map(|slot| slot.networks.as_ref()));
    let steps: u32 = actual.lists.keys().map(|place| place.count).sum();
    let pairs: usize = slots.iter().map(|slot| slot.pairs.len()).sum();
    let known: BTreeMap<&str, (Option<u64>, u32)> = [
        ("steps", (Some(u64::from(steps)), capacity.steps)),
        ("policy", (Some(pairs as u64), capacity.pairs)),
        (
            "network_nodes",
            (Some(blocks as u64), capacity.most_network_nodes),
        ),
        (
            "addresses",
            (Some(actual.addresses.len() as u64), capacity.addresses),
        ),
        (
            "published",
            (Some(actual.published.len() as u64), capacity.published),
        ),
        (
            "endpoints",
            (Some(actual.endpoints.len() as u64), capacity.endpoints),
        ),
    ]
    .into();
    // This one grows, by another table in its place.
    let most_networks = u64::from(capacity.most_network_nodes) * BLOCK_BYTES;
    memory
        .iter()
        .map(|(&name, memory)| {
            let (entries, capacity) = known.get(name).copied().unwrap_or((None, 0));
            MapStatus {
                name: name.to_owned(),
                entries,
                capacity: capacity.into(),
                bytes: memory.bytes,
                bytes_at_most: match name {
                    "network_nodes" => most_networks.max(memory.most),
                    _ => memory.most,
                },
            }
        })
        .collect()
}

use std::sync::Arc;

use pretty_assertions::assert_eq;

use super::*;
use crate::control::report::FlowStatus;
use crate::control::sample::healthy;
use crate::inventory::docker::{Container, Unprotected};
use crate::inventory::model::{Attributes, Endpoint, MacAddress, Owner};
use crate::state::numbers::EndpointNumber;

fn policy() -> Policy {
    let text = "[identities.web]\nlabels = { role = \"web\" }\n\
                [identities.cache]\nlabels = { role = \"cache\" }\n\
                [[allow]]\nfrom = \"web\"\nto = \"cache\"\n";
    let sources = vec![crate::policy::Source::new("policy.toml", text)];
    crate::policy::parse(sources, &mut |path| unreachable!("{}", path.display())).expect("valid")
}

/// A host on which all is well, to be changed.
struct Host {
    status: StatusReport,
    failures: Vec<String>,
    unarmed: Vec<String>,
    remarks: Vec<(bool, String)>,
    docker: DockerView,
    inventory: Inventory,
    policy: Policy,
    judges_host: bool,
}

impl Host {
    fn new() -> Self {
        let room = |limit, limit_per_endpoint| FlowRoom {
            held: 10,
            limit,
            limit_per_endpoint,
            refused: 0,
        };
        Self {
            status: StatusReport {
                flows: FlowStatus {
                    new: room(100, 10),
                    answered: room(1_000, 100),
                    crowded: Vec::new(),
                },
                ..healthy()
            },
            failures: Vec::new(),
            unarmed: Vec::new(),
            remarks: Vec::new(),
            docker: DockerView::default(),
            inventory: Inventory::default(),
            policy: policy(),
            judges_host: false,
        }
    }

    fn examine(&self) -> Examination {
        examine(&Findings {
            status: &self.status,
            failures: &self.failures,
            unarmed: &self.unarmed,
            remarks: &self.remarks,
            docker: &self.docker,
            inventory: &self.inventory,
            policy: &self.policy,
            judges_host: self.judges_host,
        })
    }

    /// The only check that is not fine.
    fn finding(&self) -> Check {
        let examination = self.examine();
        let mut found: Vec<_> = examination
            .checks
            .into_iter()
            .filter(|check| check.condition != Condition::Fine)
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        let check = found.remove(0);
        assert!(check.remedy.is_some(), "{check:?}");
        assert_eq!(examination.healthy, check.condition != Condition::Bad);
        check
    }

    /// That exactly this check finds something, with these objects.
    fn expect(&self, name: &str, condition: Condition, details: &[&str]) {
        let check = self.finding();
        assert_eq!(
            (check.name.as_str(), check.condition, check.details),
            (
                name,
                condition,
                details.iter().map(|&detail| detail.to_owned()).collect()
            )
        );
    }
}

#[test]
fn where_all_is_well_every_check_says_so() {
    let examination = Host::new().examine();
    assert!(examination.healthy);
    for check in &examination.checks {
        assert_eq!(check.condition, Condition::Fine, "{check:?}");
        assert_eq!(check.remedy, None);
        assert!(!check.text.is_empty());
    }
    let mut names: Vec<_> = examination.checks.iter().map(|check| &check.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), examination.checks.len(), "names are unique");
}

#[test]
fn what_keeps_the_policy_from_being_enforced_is_bad() {
    let mut host = Host::new();
    host.status.policy.error = Some("policy.toml:3: no\nsuch".to_owned());
    host.expect("policy", Condition::Bad, &["policy.toml:3: no", "such"]);

    let mut host = Host::new();
    host.failures
        .push("attach tcx ingress to veth1: no".to_owned());
    host.expect(
        "kernel",
        Condition::Bad,
        &["attach tcx ingress to veth1: no"],
    );

    let mut host = Host::new();
    host.unarmed.push("veth1 (web)".to_owned());
    host.expect("endpoints", Condition::Bad, &["veth1 (web)"]);

    let mut host = Host::new();
    host.status.docker.state = DockerState::Waiting;
    host.status.docker.error = Some("refused".to_owned());
    host.expect("engine", Condition::Bad, &["refused"]);
}

#[test]
fn remarks_are_as_bad_as_the_worst_of_them() {
    let mut host = Host::new();
    host.remarks
        .push((false, "eth7: no such interface".to_owned()));
    assert_eq!(host.finding().condition, Condition::Warning);
    host.remarks
        .push((true, "veth1: nothing passes".to_owned()));
    host.expect(
        "inventory",
        Condition::Bad,
        &["eth7: no such interface", "veth1: nothing passes"],
    );
}

#[test]
fn a_full_table_is_bad_and_a_nearly_full_one_a_warning() {
    let mut host = Host::new();
    host.status.flows.answered.held = 750;
    host.expect(
        "flow-tables",
        Condition::Warning,
        &["connections that were answered: 750 of 1000"],
    );
    host.status.flows.answered.held = 1_000;
    host.status.flows.answered.refused = 5;
    host.expect(
        "flow-tables",
        Condition::Bad,
        &[
            "connections that were answered: 1000 of 1000",
            "connections that were answered: 5 packets were refused so far",
        ],
    );
}

#[test]
fn an_endpoint_at_its_quota_is_named() {
    let mut host = Host::new();
    host.status.flows.crowded.push(CrowdedAccount {
        endpoint: "web".to_owned(),
        opened_by: OpenedBy::Itself,
        answered: false,
        held: 10,
        limit: 10,
        refused: 7,
    });
    host.expect(
        "flow-quotas",
        Condition::Bad,
        &[
            "web: unanswered connections opened by it: 10 of 10",
            "web: unanswered connections opened by it: 7 packets were refused so far",
        ],
    );
    host.status.flows.crowded[0].held = 0;
    assert_eq!(host.finding().condition, Condition::Warning, "it was once");
}

#[test]
fn lost_events_and_full_maps_and_fallbacks_are_warnings() {
    let mut host = Host::new();
    host.status.events.lost_limited = 1_000;
    assert!(
        host.examine()
            .checks
            .iter()
            .all(|check| check.condition == Condition::Fine)
    );
    host.status.events.lost_full = 3;
    host.expect(
        "events",
        Condition::Warning,
        &["3 events were lost in a full buffer"],
    );

    let mut host = Host::new();
    host.status.maps.push(MapStatus {
        name: "steps".to_owned(),
        entries: Some(8),
        capacity: 10,
        bytes: 1,
        bytes_at_most: 0,
    });
    host.expect("maps", Condition::Warning, &["steps: 8 of 10"]);

    let mut host = Host::new();
    host.status.attach.fallbacks.push("no tcx".to_owned());
    host.expect("fallbacks", Condition::Warning, &["no tcx"]);
}

#[test]
fn a_policy_for_the_host_that_is_enforced_nowhere_is_found() {
    let mut host = Host::new();
    host.judges_host = true;
    let check = host.finding();
    assert_eq!(check.condition, Condition::Warning);
    assert!(check.text.contains("no default route"), "{check:?}");
}

#[test]
fn containers_out_of_reach_are_named_with_their_network() {
    let mut host = Host::new();
    host.docker.unprotected.push(Unprotected {
        container: "c".repeat(64),
        name: "metrics".to_owned(),
        network: "host".to_owned(),
        driver: "host".to_owned(),
    });
    host.expect(
        "unprotected",
        Condition::Warning,
        &["metrics: network host (host)"],
    );
}

#[test]
fn a_container_that_counts_as_somebody_else_in_its_namespace_is_named() {
    let owner_id = "a".repeat(64);
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut host = Host::new();
    host.inventory.endpoints.insert(
        EndpointNumber(1),
        Endpoint {
            number: EndpointNumber(1),
            interface: "veth1".to_owned(),
            ifindex: 7,
            bridge: None,
            owner: Some(Owner {
                mac: MacAddress([2, 0, 0, 0, 0, 1]),
                addresses: [].into(),
                attributes: Attributes {
                    container: Some(owner_id.clone()),
                    name: "web".to_owned(),
                    labels: [
                        label("role", "web"),
                        label("com.docker.compose.service", "web"),
                    ]
                    .into(),
                    ..Attributes::default()
                },
                published: [].into(),
            }),
        },
    );
    let sharer = |role: &str| Sharer {
        container: Arc::new(Container {
            id: "b".repeat(64),
            name: "sidecar".to_owned(),
            image: None,
            labels: [
                label("role", role),
                label("com.docker.compose.service", "sidecar"),
            ]
            .into(),
            project: None,
        }),
        owner: owner_id.clone(),
    };
    host.docker.sharers.push(sharer("web"));
    assert!(
        host.examine()
            .checks
            .iter()
            .all(|check| check.condition == Condition::Fine)
    );
    host.docker.sharers.push(sharer("cache"));
    host.expect(
        "shared-namespaces",
        Condition::Warning,
        &["sidecar counts as web, like web, and not as cache"],
    );
}

//! What is wrong, or may be: each check looks at one thing and says so also where all is well. Pure.

use crate::compile::membership::identities_of;
use crate::control::examination::{Check, Condition, Examination};
use crate::control::report::{
    CrowdedAccount, DockerState, FlowRoom, MapStatus, OpenedBy, StatusReport, UplinkStatus,
    XdpState,
};
use crate::inventory::docker::{DockerView, Sharer};
use crate::inventory::model::{Attributes, Inventory};
use crate::policy::model::Policy;

/// Everything that there is to look at.
pub(super) struct Findings<'a> {
    pub status: &'a StatusReport,
    /// What went wrong when the kernel was last written.
    pub failures: &'a [String],
    /// Endpoints that are not armed, by interface.
    pub unarmed: &'a [String],
    /// What people should know about the inventory, and whether something does not work there.
    pub remarks: &'a [(bool, String)],
    pub docker: &'a DockerView,
    pub inventory: &'a Inventory,
    /// The one that judges.
    pub policy: &'a Policy,
    /// Whether it says anything of the host's own connections.
    pub judges_host: bool,
}

/// Looks at everything.
pub(super) fn examine(findings: &Findings<'_>) -> Examination {
    Examination::new(vec![
        policy(findings.status),
        kernel(findings.failures),
        endpoints(findings),
        inventory(findings.remarks),
        engine(findings.status),
        flow_tables(findings.status),
        flow_quotas(&findings.status.flows.crowded),
        maps(&findings.status.maps),
        events(findings.status),
        uplinks(&findings.status.uplinks, findings.judges_host),
        fallbacks(findings.status),
        unprotected(findings.docker),
        shared_namespaces(findings),
    ])
}

fn fine(name: &str, text: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        condition: Condition::Fine,
        text: text.into(),
        details: Vec::new(),
        remedy: None,
    }
}

fn trouble(
    name: &str,
    condition: Condition,
    text: impl Into<String>,
    details: Vec<String>,
    remedy: &str,
) -> Check {
    Check {
        name: name.to_owned(),
        condition,
        text: text.into(),
        details,
        remedy: Some(remedy.to_owned()),
    }
}

fn policy(status: &StatusReport) -> Check {
    let name = "policy";
    match &status.policy.error {
        None => fine(name, "the policy files are in force as they are"),
        Some(error) => trouble(
            name,
            Condition::Bad,
            "the policy files are refused; the policy before them is in force",
            error.lines().map(str::to_owned).collect(),
            "mend them: `bridgewall check` shows what is wrong",
        ),
    }
}

fn uplinks(uplinks: &[UplinkStatus], judges_host: bool) -> Check {
    let name = "uplinks";
    if judges_host && uplinks.is_empty() {
        return trouble(
            name,
            Condition::Warning,
            "what the policy says of the host is enforced nowhere: there is no default route, nor an \
             interface that `[uplinks]` names",
            Vec::new(),
            "name the host's ways to the outside in bridgewall.toml, or add its default route",
        );
    }
    let foreign: Vec<_> = uplinks
        .iter()
        .filter(|uplink| uplink.xdp == XdpState::Foreign)
        .map(|uplink| {
            let reason = uplink.xdp_reason.as_deref().unwrap_or_default();
            format!("{}: {reason}", uplink.interface)
        })
        .collect();
    if !foreign.is_empty() {
        return trouble(
            name,
            Condition::Warning,
            "denied senders are dropped later than they could be",
            foreign,
            "nothing is open; where that costs too much, take the other XDP program off the interface",
        );
    }
    let judged = uplinks.iter().filter(|uplink| uplink.judges).count();
    let open: Vec<_> = uplinks
        .iter()
        .filter(|uplink| uplink.judges && uplink.attached.is_none())
        .map(|uplink| uplink.interface.clone())
        .collect();
    if !open.is_empty() {
        return trouble(
            name,
            Condition::Bad,
            "the host's policy is not enforced on every uplink",
            open,
            "see `bridgewall status` and the journal: journalctl -u bridgewall",
        );
    }
    fine(
        name,
        format!(
            "the host's policy is enforced on {judged} of {} uplinks",
            uplinks.len()
        ),
    )
}

fn kernel(failures: &[String]) -> Check {
    let name = "kernel";
    if failures.is_empty() {
        return fine(name, "the kernel holds what it should");
    }
    trouble(
        name,
        Condition::Bad,
        "the kernel could not be brought to hold what it should; it is tried again",
        failures.to_vec(),
        "see the journal: journalctl -u bridgewall",
    )
}

fn endpoints(findings: &Findings<'_>) -> Check {
    let name = "endpoints";
    let counts = findings.status.endpoints;
    if findings.unarmed.is_empty() {
        return fine(name, format!("all {} endpoints are armed", counts.total));
    }
    trouble(
        name,
        Condition::Bad,
        format!(
            "{} of {} endpoints are not armed",
            findings.unarmed.len(),
            counts.total
        ),
        findings.unarmed.to_vec(),
        "if it lasts, see the journal: journalctl -u bridgewall",
    )
}

fn inventory(remarks: &[(bool, String)]) -> Check {
    let name = "inventory";
    let details: Vec<_> = remarks.iter().map(|(_, text)| text.clone()).collect();
    if details.is_empty() {
        return fine(name, "it is known whose every interface is");
    }
    if remarks.iter().any(|(trouble, _)| *trouble) {
        return trouble(
            name,
            Condition::Bad,
            "not everything about the watched interfaces is as it should be",
            details,
            "each line says what is wrong there",
        );
    }
    trouble(
        name,
        Condition::Warning,
        "something about the watched interfaces is worth knowing",
        details,
        "none is needed if it is meant so",
    )
}

fn engine(status: &StatusReport) -> Check {
    let name = "engine";
    let details = status.docker.error.iter().cloned().collect();
    match status.docker.state {
        DockerState::Connected => fine(name, "the Docker engine answers"),
        DockerState::Off => fine(name, "the Docker engine is not asked, as configured"),
        DockerState::Waiting => trouble(
            name,
            Condition::Bad,
            "the Docker engine does not answer: containers that start now stay blocked until it does",
            details,
            "see whether it runs: systemctl status docker",
        ),
        DockerState::Absent => trouble(
            name,
            Condition::Warning,
            "there is no Docker engine at the configured socket",
            details,
            "correct docker.socket in bridgewall.toml, or say enabled = false there",
        ),
    }
}

/// How full something is, in words, if that is worth a word.
fn fullness(what: &str, held: u64, limit: u64) -> Option<(Condition, String)> {
    let condition = if held >= limit {
        Condition::Bad
    } else if held.saturating_mul(4) >= limit.saturating_mul(3) {
        Condition::Warning
    } else {
        return None;
    };
    Some((condition, format!("{what}: {held} of {limit}")))
}

/// One check of several findings: as bad as the worst of them.
fn worst(name: &str, text: &str, found: Vec<(Condition, String)>, remedy: &str) -> Option<Check> {
    let condition = found.iter().map(|(condition, _)| *condition).max()?;
    let details = found.into_iter().map(|(_, detail)| detail).collect();
    Some(trouble(name, condition, text, details, remedy))
}

fn flow_tables(status: &StatusReport) -> Check {
    let name = "flow-tables";
    let mut found = Vec::new();
    for (what, room) in [
        ("connections that nobody has answered yet", status.flows.new),
        ("connections that were answered", status.flows.answered),
    ] {
        let FlowRoom {
            held,
            limit,
            refused,
            ..
        } = room;
        found.extend(fullness(what, held, limit));
        if refused > 0 {
            let text = format!("{what}: {refused} packets were refused so far");
            found.push((Condition::Warning, text));
        }
    }
    worst(
        name,
        "there is, or was, no room for new connections",
        found,
        "look for a flood (`bridgewall list flows`), or raise limits.flows and limits.new_flows in \
         bridgewall.toml",
    )
    .unwrap_or_else(|| {
        let flows = &status.flows;
        fine(
            name,
            format!(
                "there is room for connections: {} of {} are in use, and {} of {} for new ones",
                flows.answered.held, flows.answered.limit, flows.new.held, flows.new.limit
            ),
        )
    })
}

fn flow_quotas(crowded: &[CrowdedAccount]) -> Check {
    let name = "flow-quotas";
    let found = crowded
        .iter()
        .flat_map(|account| {
            let opened = match account.opened_by {
                OpenedBy::Itself => "opened by it",
                OpenedBy::Others => "opened to it",
            };
            let answered = if account.answered {
                "answered"
            } else {
                "unanswered"
            };
            let what = format!("{}: {answered} connections {opened}", account.endpoint);
            let refused = (account.refused > 0).then(|| {
                let text = format!("{what}: {} packets were refused so far", account.refused);
                (Condition::Warning, text)
            });
            fullness(&what, account.held, account.limit)
                .into_iter()
                .chain(refused)
        })
        .collect();
    worst(
        name,
        "endpoints have, or had, as many connections as they may",
        found,
        "look for a flood (`bridgewall list flows`), or raise limits.flows_per_endpoint and \
         limits.new_flows_per_endpoint in bridgewall.toml",
    )
    .unwrap_or_else(|| fine(name, "every endpoint has room for more connections"))
}

fn maps(maps: &[MapStatus]) -> Check {
    let name = "maps";
    let found = maps
        .iter()
        .filter_map(|map| {
            let (_, text) = fullness(&map.name, map.entries?, map.capacity)?;
            Some((Condition::Warning, text))
        })
        .collect();
    worst(
        name,
        "the kernel's maps are nearly full: a larger policy may be refused",
        found,
        "raise the limit of that name in bridgewall.toml",
    )
    .unwrap_or_else(|| fine(name, "there is room for a larger policy"))
}

fn events(status: &StatusReport) -> Check {
    let name = "events";
    let events = status.events;
    let found: Vec<_> = [
        (events.lost_full, "were lost in a full buffer"),
        (
            events.lost_slow,
            "were missed by clients that read too slowly",
        ),
    ]
    .into_iter()
    .filter(|(lost, _)| *lost > 0)
    .map(|(lost, why)| (Condition::Warning, format!("{lost} events {why}")))
    .collect();
    worst(
        name,
        "events were lost, so that `monitor` did not show everything; no verdict depends on it",
        found,
        "lower events.burst in bridgewall.toml",
    )
    .unwrap_or_else(|| {
        let limited = events.lost_limited;
        fine(
            name,
            format!("no event was lost ({limited} beyond the rate limit were only counted)"),
        )
    })
}

fn fallbacks(status: &StatusReport) -> Check {
    let name = "fallbacks";
    if status.attach.fallbacks.is_empty() {
        return fine(name, "this kernel has all that is used");
    }
    trouble(
        name,
        Condition::Warning,
        "this kernel lacks something, and something else serves",
        status.attach.fallbacks.clone(),
        "none is needed; a newer kernel has it",
    )
}

fn unprotected(docker: &DockerView) -> Check {
    let name = "unprotected";
    if docker.unprotected.is_empty() {
        return fine(name, "every container is on a bridge of this host");
    }
    trouble(
        name,
        Condition::Warning,
        "containers have traffic that crosses no bridge of this host, and so is not judged",
        docker
            .unprotected
            .iter()
            .map(|one| format!("{}: network {} ({})", one.name, one.network, one.driver))
            .collect(),
        "attach them to a bridge network if they are to be protected",
    )
}

fn shared_namespaces(findings: &Findings<'_>) -> Check {
    let name = "shared-namespaces";
    let details: Vec<_> = findings
        .docker
        .sharers
        .iter()
        .flat_map(|sharer| disagreements(sharer, findings))
        .collect();
    if details.is_empty() {
        return fine(
            name,
            "no container is in another one's network namespace under another identity",
        );
    }
    trouble(
        name,
        Condition::Warning,
        "containers share a network namespace, and only its owner's identities count",
        details,
        "give both the same labels, or a namespace each",
    )
}

/// Where a container would be somebody else than it is: by its own labels, name, image and project, and
/// by those of the owner of the network namespace that it is in.
fn disagreements(sharer: &Sharer, findings: &Findings<'_>) -> Vec<String> {
    let container = &sharer.container;
    let owners = findings.inventory.endpoints.values();
    owners
        .filter_map(|endpoint| endpoint.owner.as_ref())
        .map(|owner| &owner.attributes)
        .filter(|owner| owner.container.as_deref() == Some(sharer.owner.as_str()))
        .filter_map(|owner| {
            let alone = Attributes {
                container: Some(container.id.clone()),
                name: container.name.clone(),
                image: container.image.clone(),
                labels: container.labels.clone(),
                project: container.project.clone(),
                ..owner.clone()
            };
            let is = identities(findings.policy, owner);
            let would_be = identities(findings.policy, &alone);
            (is != would_be).then(|| {
                format!(
                    "{} counts as {is}, like {}, and not as {would_be}",
                    alone.name, owner.name
                )
            })
        })
        .collect()
}

/// The names of what these attributes make somebody.
fn identities(policy: &Policy, attributes: &Attributes) -> String {
    let names: Vec<_> = identities_of(policy, attributes)
        .into_iter()
        .filter_map(|id| policy.identities.get(id.0))
        .map(|identity| identity.name.as_str())
        .collect();
    if names.is_empty() {
        "unidentified".to_owned()
    } else {
        names.join("+")
    }
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;

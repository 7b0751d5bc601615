//! What a daemon tells of a host on which all is well: for tests, which change what they are about.

use super::report::{
    AttachStatus, DockerState, DockerStatus, EndpointCounts, EventStatus, FlowStatus, GuardState,
    GuardStatus, ManagementStatus, MapStatus, PolicyStatus, StatusReport, TroubleStatus,
};
use super::time::UnixTime;

fn map(name: &str, entries: Option<u64>, capacity: u64) -> MapStatus {
    MapStatus {
        name: name.to_owned(),
        entries,
        capacity,
        bytes: 9 << 20,
        bytes_at_most: 20 << 20,
    }
}

pub(crate) fn healthy() -> StatusReport {
    StatusReport {
        version: "0.1.0".to_owned(),
        pid: 4711,
        started_at: UnixTime::new(1_795_000_000, 0),
        healthy: true,
        reasons: Vec::new(),
        policy: PolicyStatus {
            revision: 3,
            generation: 12,
            committed_at: Some(UnixTime::new(1_795_003_589, 123_456_789)),
            error: None,
            files: vec!["/etc/bridgewall/policy.toml".into()],
            rules: 1,
            identities: 2,
            networks: 0,
        },
        endpoints: EndpointCounts {
            total: 3,
            armed: 3,
            unnamed: 0,
        },
        attach: AttachStatus {
            mode: "tcx".to_owned(),
            fallbacks: Vec::new(),
        },
        guard: GuardStatus {
            state: GuardState::Closed,
            fallback: None,
        },
        bridges: Vec::new(),
        docker: DockerStatus {
            state: DockerState::Connected,
            version: Some("29.3.1".to_owned()),
            error: None,
        },
        flows: FlowStatus::default(),
        uplinks: Vec::new(),
        management: ManagementStatus::default(),
        trial: None,
        maps: vec![map("flows", Some(3), 131_072), map("events", None, 1 << 20)],
        drops: Vec::new(),
        events: EventStatus::default(),
        troubles: TroubleStatus::default(),
    }
}

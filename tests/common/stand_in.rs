//! A stand-in for the daemon: the real control server, with a writer that only answers.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bridgewall::control::examination::{Check, Condition, Examination};
use bridgewall::control::explanation::ExplainReport;
use bridgewall::control::house::Limits;
use bridgewall::control::protocol::{ErrorKind, Listing, Response};
use bridgewall::control::question::Question;
use bridgewall::control::report::{
    ApplyReport, AttachStatus, ConfirmReport, Counter, DockerState, DockerStatus, EndpointCounts,
    EndpointReport, EventStatus, FlowEnd, FlowReport, FlowStatus, FlowsReport, GuardState,
    GuardStatus, IdentityReport, Passage, PolicyStatus, ReloadReport, RuleReport, StatusReport,
    StopReport, TroubleStatus,
};
use bridgewall::control::request::{ControlRequest, Verb};
use bridgewall::control::server::Server;
use bridgewall::control::tally::Tally;
use bridgewall::control::time::UnixTime;
use bridgewall::observe::event::{Decider, Event, Hook, Peer, Verdict};
use bridgewall::observe::hub::Hub;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon without a kernel.
pub struct StandIn {
    pub socket: PathBuf,
    pub hub: Arc<Hub>,
    pub tally: Arc<Tally>,
    asked: Arc<Mutex<Vec<Verb>>>,
    server: Arc<Mutex<Option<Server>>>,
    _folder: tempfile::TempDir,
}

impl StandIn {
    pub fn start() -> Self {
        Self::with(Limits::default(), healthy())
    }

    pub fn with(limits: Limits, status: StatusReport) -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        let socket = folder.path().join("control.sock");
        let hub = Arc::new(Hub::default());
        let tally = Arc::new(Tally::default());
        let (sender, requests) = mpsc::channel();
        let server = Server::start(
            &socket,
            "bridgewall-test-no-such-group",
            limits,
            Arc::clone(&hub),
            Arc::clone(&tally),
            Box::new(move |request| sender.send(request).is_ok()),
        )
        .expect("start the server");
        let server = Arc::new(Mutex::new(Some(server)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, running) = (Arc::clone(&asked), Arc::clone(&server));
        thread::spawn(move || answer(&requests, &status, &log, &running));
        Self {
            socket,
            hub,
            tally,
            asked,
            server,
            _folder: folder,
        }
    }

    /// What the writer was asked so far.
    pub fn asked(&self) -> Vec<Verb> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// Whether the daemon has ended.
    pub fn has_ended(&self) -> bool {
        self.server.lock().expect("not poisoned").is_none()
    }

    /// Ends the daemon as a signal would.
    pub fn end(&self) {
        self.server.lock().expect("not poisoned").take();
    }

    /// Waits until that many clients watch.
    pub fn wait_for_watchers(&self, count: usize) {
        wait("watchers", || self.hub.watchers() == count);
    }
}

/// Waits for a condition.
pub fn wait(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still no {what}");
        thread::yield_now();
    }
}

fn answer(
    requests: &Receiver<ControlRequest>,
    status: &StatusReport,
    log: &Mutex<Vec<Verb>>,
    server: &Mutex<Option<Server>>,
) {
    // Requests that are never answered are kept here: dropping one is an answer too.
    let mut unanswered = Vec::new();
    for ControlRequest { verb, reply } in requests {
        log.lock().expect("not poisoned").push(verb.clone());
        let ends = matches!(verb, Verb::Stop { .. });
        let response = match verb {
            Verb::Status => Response::Status(Box::new(status.clone())),
            Verb::Reload => Response::Reloaded(ReloadReport {
                revision: 4,
                generation: 13,
                changed: true,
                rules: 1,
                identities: 2,
            }),
            Verb::Apply(apply) => Response::Applied(ApplyReport {
                revision: 5,
                generation: 14,
                seconds: apply.seconds,
                added: vec!["allow office -> host 22/tcp".to_owned()],
                removed: Vec::new(),
            }),
            Verb::Confirm { keep, .. } => Response::Confirmed(ConfirmReport {
                revision: 5,
                kept: keep,
                file: None,
            }),
            Verb::List(Listing::Endpoints) => Response::Endpoints(vec![endpoint()]),
            Verb::List(Listing::Identities) => Response::Identities(vec![identity()]),
            Verb::List(Listing::Rules) => Response::Rules(vec![rule()]),
            Verb::List(Listing::Flows { limit }) => Response::Flows(flows(limit)),
            Verb::Explain(question) if question.from == "nobody" => Response::error(
                ErrorKind::Refused,
                "nobody is called `nobody`: correct the name",
            ),
            Verb::Explain(question) if question.from == "slow" => {
                unanswered.push(reply);
                continue;
            }
            Verb::Explain(question) => Response::Explained(Box::new(explanation(&question))),
            Verb::Doctor => Response::Examined(Box::new(examination(status))),
            Verb::ObserveAllowed(_) | Verb::Alive => Response::Done,
            Verb::Stop { detach } => Response::Stopping(StopReport {
                detached: detach,
                problems: Vec::new(),
            }),
        };
        // The client may be gone.
        let _ = reply.send(response);
        if ends {
            server.lock().expect("not poisoned").take();
            return;
        }
    }
}

/// One check, which is as the status is.
fn examination(status: &StatusReport) -> Examination {
    Examination::new(vec![Check {
        name: "policy".to_owned(),
        condition: if status.healthy {
            Condition::Fine
        } else {
            Condition::Bad
        },
        text: "the policy files".to_owned(),
        details: status.reasons.clone(),
        remedy: None,
    }])
}

pub fn healthy() -> StatusReport {
    StatusReport {
        version: "0.1.0".to_owned(),
        pid: 4711,
        started_at: UnixTime::new(1_795_000_000, 0),
        healthy: true,
        reasons: Vec::new(),
        policy: PolicyStatus {
            revision: 3,
            generation: 12,
            committed_at: Some(UnixTime::new(1_795_000_001, 123_456_789)),
            error: None,
            files: vec!["/etc/bridgewall/policy.toml".into()],
            rules: 1,
            identities: 2,
            networks: 0,
        },
        endpoints: EndpointCounts {
            total: 1,
            armed: 1,
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
            version: None,
            error: None,
        },
        flows: FlowStatus::default(),
        uplinks: Vec::new(),
        management: Default::default(),
        trial: None,
        maps: Vec::new(),
        drops: Vec::new(),
        events: EventStatus::default(),
        troubles: TroubleStatus::default(),
    }
}

fn endpoint() -> EndpointReport {
    EndpointReport {
        number: 1,
        name: Some("xwing".to_owned()),
        container: Some("0123456789ab".to_owned()),
        image: Some("busybox".to_owned()),
        project: None,
        network: Some("space".to_owned()),
        interface: "veth0a1b2c3".to_owned(),
        ifindex: 7,
        bridge: Some("br-0123456789ab".to_owned()),
        mac: Some("02:42:ac:12:00:04".to_owned()),
        addresses: vec!["172.18.0.4".parse().expect("address")],
        identities: vec!["alliance".to_owned()],
        identity: Some(2),
        armed: true,
        sent: Passage {
            passed: Counter {
                packets: 1_200,
                bytes: 90_000,
            },
            dropped: Counter {
                packets: 3,
                bytes: 222,
            },
        },
        received: Passage::default(),
    }
}

fn identity() -> IdentityReport {
    IdentityReport {
        number: 2,
        name: "alliance".to_owned(),
        kind: "endpoint".to_owned(),
        identities: vec!["alliance".to_owned()],
        endpoints: vec!["xwing".to_owned()],
        prefixes: 0,
    }
}

fn rule() -> RuleReport {
    RuleReport {
        number: 1,
        action: "allow".to_owned(),
        name: "allow empire -> deathstar 80/tcp".to_owned(),
        file: "/etc/bridgewall/policy.toml".into(),
        line: 12,
        hits: Counter {
            packets: 5,
            bytes: 370,
        },
    }
}

fn flows(limit: usize) -> FlowsReport {
    let end = |name: &str, address: &str, port| FlowEnd {
        address: address.parse().expect("address"),
        port: Some(port),
        name: Some(name.to_owned()),
    };
    let flow = FlowReport {
        protocol: "tcp".to_owned(),
        opener: end("tiefighter", "172.18.0.3", 40_112),
        target: end("deathstar", "172.18.0.2", 80),
        state: "established".to_owned(),
        generation: 12,
        idle: 4,
    };
    let mut flows = vec![flow.clone(), flow];
    let total = flows.len();
    flows.truncate(limit);
    FlowsReport { total, flows }
}

/// From `xwing` a drop, from everybody else an allow.
fn explanation(question: &Question) -> ExplainReport {
    let allowed = question.from != "xwing";
    let verdict = if allowed { "allow" } else { "drop" };
    ExplainReport {
        allowed,
        text: format!("{} -> {}: {verdict}\n", question.from, question.to),
        explanation: serde_json::json!({ "verdict": verdict }),
    }
}

/// An event from `xwing` to `deathstar`.
pub fn event(verdict: Verdict) -> Event {
    let peer = |name: &str, address: &str, port| Peer {
        address: address.parse().ok(),
        port: Some(port),
        name: Some(name.to_owned()),
        identity: None,
        identities: Vec::new(),
    };
    Event {
        time: UnixTime::new(1_795_000_002, 0),
        verdict,
        reason: (verdict != Verdict::Allow).then(|| "policy-default".to_owned()),
        text: "no rule allows it".to_owned(),
        remedy: None,
        side: Some(Decider::Ingress),
        rule: None,
        egress_rule: None,
        ingress_rule: None,
        source: peer("xwing", "172.18.0.4", 40_112),
        destination: peer("deathstar", "172.18.0.2", 80),
        protocol: Some("tcp".to_owned()),
        icmp: None,
        endpoint: Some("xwing".to_owned()),
        ifindex: 7,
        hook: Hook::FromEndpoint,
        generation: 12,
        length: 74,
        bytes: String::new(),
    }
}

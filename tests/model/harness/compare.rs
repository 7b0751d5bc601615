//! One trace, on the model and on the programs.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use bridgewall::compile::compiled::Compiled;
use bridgewall::kernel::abi;
use bridgewall::policy::model::Policy;
use bridgewall::policy::{Source, parse};
use bridgewall::state::numbers::EndpointNumber;

use super::kernel::{Hook, Kernel, Run, TIMEOUTS};
use super::trace::{Mark, Step, Trace};
use crate::design::Reason;
use crate::design::firewall::Firewall;
use crate::design::policy::{Policy as DesignedPolicy, Side};
use crate::design::sides::Verdict;
use crate::design::told::{Answer, Event};

/// What was compared.
#[derive(Debug, Default, Clone)]
pub struct Coverage {
    pub packets: u64,
    pub passed: u64,
    /// By drop reason.
    pub dropped: BTreeMap<u32, u64>,
    pub audited: u64,
    pub policies: u64,
}

/// Where the two say different things.
#[derive(Debug)]
pub struct Disagreement {
    /// Which step of the trace; its end, if only the counters differ.
    pub step: usize,
    pub what: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: {}", self.step, self.what)
    }
}

/// Reads a policy as the daemon does; `None`: it refuses it. Remembers the last ones, which are read
/// again and again while a case is made smaller.
pub fn read_policy(text: &str) -> Option<Policy> {
    const REMEMBERED: usize = 64;
    thread_local! {
        static READ: RefCell<HashMap<String, Option<Policy>>> = RefCell::default();
    }
    READ.with_borrow_mut(|read| {
        if read.len() > REMEMBERED {
            read.clear();
        }
        let policy = read.entry(text.to_owned()).or_insert_with(|| {
            let source = Source::new("policy.toml", text);
            parse(vec![source], &mut |path: &Path| {
                panic!("nobody names {path:?}")
            })
            .ok()
        });
        policy.clone()
    })
}

/// Runs a trace on both, and compares after each step.
pub fn compare(
    kernel: &mut Kernel,
    trace: &Trace,
    coverage: &mut Coverage,
) -> Result<(), Disagreement> {
    let policies: Option<Vec<Policy>> = trace
        .policies
        .iter()
        .map(|text| read_policy(text))
        .collect();
    let Some(policies) = policies else {
        return Ok(()); // only a shrunk one is refused
    };
    let hosts: Vec<_> = trace.hosts.iter().map(|host| host.inventory()).collect();
    let design = |index: usize| DesignedPolicy::read(&trace.policies[index]);
    kernel.begin(trace.observed);
    let (mut policy, mut host) = (0, 0);
    let mut compiled = kernel.take(&policies[0], &hosts[0]);
    let mut model = Firewall::new(design(0), hosts[0].clone(), TIMEOUTS, trace.observed);
    let mut tally = Tally::begin(kernel);
    let mut carried = None;
    for (index, step) in trace.steps.iter().enumerate() {
        let disagreement = |what| Disagreement { step: index, what };
        let (hook, endpoint, frame, mark, ingress) = match step {
            Step::Policy(next) => {
                policy = *next;
                tally.end(kernel, &compiled).map_err(disagreement)?;
                let before = kernel.generation();
                compiled = kernel.take(&policies[policy], &hosts[host]);
                tally = Tally::begin(kernel);
                model.take_policy(design(policy), kernel.generation() != before);
                coverage.policies += 1;
                continue;
            }
            Step::Host(next) => {
                host = *next;
                tally.end(kernel, &compiled).map_err(disagreement)?;
                let before = kernel.generation();
                compiled = kernel.take(&policies[policy], &hosts[host]);
                tally = Tally::begin(kernel);
                model.take_inventory(hosts[host].clone(), kernel.generation() != before);
                carried = None;
                continue;
            }
            Step::Wait(seconds) => {
                kernel.wait(*seconds);
                model.wait(*seconds);
                continue;
            }
            Step::Send { endpoint, frame } => (Hook::From, *endpoint, frame, 0, 0),
            Step::Receive {
                endpoint,
                frame,
                mark,
                ingress,
            } => {
                let mark = match (*mark, carried) {
                    (Mark::Given(mark), _) | (Mark::Carried, Some(mark)) => mark,
                    (Mark::Carried, None) => continue,
                };
                (Hook::To, *endpoint, frame, mark, *ingress)
            }
        };
        if !hosts[host]
            .endpoints
            .contains_key(&EndpointNumber(endpoint))
        {
            continue;
        }
        let run = kernel.run(hook, endpoint, &frame.0, mark, ingress);
        let answer = match hook {
            Hook::From => model.sent(endpoint, &frame.0),
            Hook::To => model.received(endpoint, &frame.0, mark, ingress),
        };
        if hook == Hook::From {
            carried = run.passed;
        }
        coverage.count(&answer);
        tally.expect(&answer);
        differs(&answer, &run, &compiled, &policies[policy]).map_or(Ok(()), |what| {
            Err(disagreement(format!(
                "{hook:?} endpoint {endpoint}: {what}"
            )))
        })?;
    }
    tally.end(kernel, &compiled).map_err(|what| Disagreement {
        step: trace.steps.len(),
        what,
    })
}

/// What the model says against what the programs did.
fn differs(answer: &Answer, run: &Run, compiled: &Compiled, policy: &Policy) -> Option<String> {
    let mut said = run.events.iter().map(|event| read(event, compiled, policy));
    let event = said.next();
    if let Some(second) = said.next() {
        return Some(format!("two events: {event:?} and {second:?}"));
    }
    let outcome = match (run.passed, &event) {
        (Some(mark), _) => Ok(mark),
        (None, Some(event)) => Err(event.reason),
        // What a bridge floods is the only drop without an event; the counters tell at the end.
        (None, None) => Err(Reason::DROP_NOT_ADDRESSED),
    };
    if answer.outcome != outcome {
        return Some(format!(
            "the model says {}, the programs {}; events: {:?} and {event:?}",
            outcome_text(&answer.outcome),
            outcome_text(&outcome),
            answer.event
        ));
    }
    (answer.event != event).then(|| {
        format!(
            "the model's event is {:?}, the programs' {event:?}",
            answer.event
        )
    })
}

fn outcome_text(outcome: &Result<u16, Reason>) -> String {
    match outcome {
        Ok(mark) => format!("passes with mark {mark:#06x}"),
        Err(reason) => format!("dropped: {}", reason_name(*reason)),
    }
}

pub fn reason_name(reason: Reason) -> String {
    bridgewall::observe::reason::Reason::from_raw(reason.0)
        .map_or_else(|| format!("{reason:?}"), |known| known.name())
}

fn read(event: &abi::event, compiled: &Compiled, policy: &Policy) -> Event {
    let verdict = match event.verdict {
        0 => Verdict::Allow,
        1 => Verdict::Audit,
        2 => Verdict::Drop,
        3 => Verdict::Deny,
        other => panic!("verdict {other}"),
    };
    let reason = abi::drop_reason(event.reason.into());
    let rule = |number: u32| rule_name(number, compiled, policy);
    let by_policy = verdict != Verdict::Drop || reason == Reason::DROP_POLICY_DEFAULT;
    Event {
        verdict,
        reason,
        egress_rule: rule(event.egress_rule),
        ingress_rule: rule(event.ingress_rule),
        side: by_policy.then_some(if event.side == 0 {
            Side::Egress
        } else {
            Side::Ingress
        }),
        replying: u32::from(event.flags) & abi::event_flag::EVENT_REPLYING.0 != 0,
    }
}

/// A rule's name in the policy; `None`: the default.
fn rule_name(number: u32, compiled: &Compiled, policy: &Policy) -> Option<String> {
    if number == 0 {
        return None;
    }
    let mut rules = compiled.rules.iter();
    let info = rules
        .find(|(known, _)| known.0 == number)
        .map(|(_, info)| info);
    let name = info.and_then(|info| policy.rules[info.index].name.clone());
    Some(name.unwrap_or_else(|| format!("no rule has the number {number}")))
}

/// What the counters should have counted since they were looked at.
struct Tally {
    drops_before: Vec<u64>,
    hits_before: BTreeMap<u32, u64>,
    drops: BTreeMap<u32, u64>,
    hits: BTreeMap<String, u64>,
}

impl Tally {
    fn begin(kernel: &Kernel) -> Self {
        Self {
            drops_before: kernel.drops(),
            hits_before: (1..=MOST_RULES)
                .map(|rule| (rule, kernel.rule_hits(rule)))
                .collect(),
            drops: BTreeMap::new(),
            hits: BTreeMap::new(),
        }
    }

    fn expect(&mut self, answer: &Answer) {
        if let Err(reason) = answer.outcome {
            *self.drops.entry(reason.0).or_default() += 1;
        }
        for rule in &answer.counted {
            *self.hits.entry(rule.clone()).or_default() += 1;
        }
    }

    fn end(&self, kernel: &Kernel, compiled: &Compiled) -> Result<(), String> {
        for (reason, (before, after)) in (0..).zip(self.drops_before.iter().zip(kernel.drops())) {
            let expected = self.drops.get(&reason).copied().unwrap_or(0);
            let counted = after - before;
            if counted != expected {
                let name = reason_name(abi::drop_reason(reason));
                return Err(format!("{expected} drops for {name}, {counted} counted"));
            }
        }
        for (number, info) in compiled.rules.iter() {
            let before = self.hits_before.get(&number.0).copied().unwrap_or(0);
            let counted = kernel.rule_hits(number.0) - before;
            let expected = self.hits.get(&info.name).copied().unwrap_or(0);
            if counted != expected {
                return Err(format!(
                    "rule {} decided {expected} times, {counted} counted",
                    info.name
                ));
            }
        }
        Ok(())
    }
}

/// Rules have the lowest numbers that are free, so no case uses a greater one.
const MOST_RULES: u32 = 32;

impl Coverage {
    fn count(&mut self, answer: &Answer) {
        self.packets += 1;
        match answer.outcome {
            Ok(_) => self.passed += 1,
            Err(reason) => *self.dropped.entry(reason.0).or_default() += 1,
        }
        let verdict = answer.event.as_ref().map(|event| event.verdict);
        self.audited += u64::from(verdict == Some(Verdict::Audit));
    }
}

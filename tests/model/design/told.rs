//! What is told of a packet: its event, and the rules whose counters it raises.

use super::Reason;
use super::policy::Side;
use super::sides::{Judgement, Opinion, Verdict};

/// What one frame did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The mark it goes on with, or why it does not.
    pub outcome: Result<u16, Reason>,
    /// The event, if one is due.
    pub event: Option<Event>,
    /// The rules whose counters it raises: of a new connection, those that decided on each side.
    pub counted: Vec<String>,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub verdict: Verdict,
    pub reason: Reason,
    pub egress_rule: Option<String>,
    pub ingress_rule: Option<String>,
    /// The side that decided, where policy did.
    pub side: Option<Side>,
    /// The packet goes from the connection's target to its opener.
    pub replying: bool,
}

/// What is told about a packet, whatever becomes of it.
#[derive(Debug, Default)]
pub struct Said {
    pub judged: Option<Spoken>,
    /// Whether its rules count it.
    pub counted: bool,
    pub replying: bool,
    /// Whether it is worth an event though it passes.
    pub event: bool,
}

/// A judgement, without the policy's lifetime.
#[derive(Debug, Clone)]
pub struct Spoken {
    pub verdict: Verdict,
    side: Side,
    rules: [Option<String>; 2],
    /// Of the deciding side.
    rule: Option<String>,
    /// A rule asks for an event.
    log: bool,
}

impl Said {
    /// Together with what becomes of the packet. `observed`: allowed connections are reported, too.
    pub fn answer(&self, outcome: Result<u16, Reason>, observed: bool) -> Answer {
        let judged = self.judged.as_ref();
        let counted = match judged {
            Some(judged) if self.counted => {
                let mut rules: Vec<_> = judged.rules.iter().flatten().cloned().collect();
                rules.dedup();
                rules
            }
            _ => Vec::new(),
        };
        let event = |verdict, reason: Reason| {
            let by_policy = verdict != Verdict::Drop || reason == Reason::DROP_POLICY_DEFAULT;
            let rule = |side: usize| judged.and_then(|judged| judged.rules[side].clone());
            Event {
                verdict,
                reason,
                egress_rule: rule(0),
                ingress_rule: rule(1),
                side: judged.filter(|_| by_policy).map(|judged| judged.side),
                replying: self.replying,
            }
        };
        let event = match (&outcome, judged) {
            (Err(reason), _) => Some(event(drop_verdict(*reason), *reason)),
            (Ok(_), Some(judged)) if self.event => Some(match (judged.verdict, &judged.rule) {
                (Verdict::Audit, Some(_)) => event(Verdict::Audit, Reason::DROP_POLICY_DENY),
                (Verdict::Audit, None) => event(Verdict::Audit, Reason::DROP_POLICY_DEFAULT),
                _ => event(Verdict::Allow, Reason::DROP_NONE),
            })
            .filter(|event| event.verdict == Verdict::Audit || observed || judged.log),
            _ => None,
        };
        Answer {
            outcome,
            event,
            counted,
        }
    }
}

pub fn spoken(judgement: &Judgement<'_>) -> Spoken {
    let rule = |side: Option<Opinion<'_>>| side.and_then(|side| side.rule).map(str::to_owned);
    Spoken {
        verdict: judgement.verdict(),
        side: judgement.decided_by(),
        rules: [rule(judgement.egress), rule(judgement.ingress)],
        rule: rule(judgement.deciding()),
        log: judgement.log(),
    }
}

fn drop_verdict(reason: Reason) -> Verdict {
    match reason {
        Reason::DROP_POLICY_DENY => Verdict::Deny,
        _ => Verdict::Drop,
    }
}

pub fn passed(mark: u16) -> Answer {
    Answer {
        outcome: Ok(mark),
        event: None,
        counted: Vec::new(),
    }
}

pub fn refused(reason: Reason) -> Answer {
    let event = Event {
        verdict: drop_verdict(reason),
        reason,
        egress_rule: None,
        ingress_rule: None,
        side: None,
        replying: false,
    };
    // "A bridge floods what it has not learned yet: that is no event, but the way it works."
    let flooded = reason == Reason::DROP_NOT_ADDRESSED;
    Answer {
        outcome: Err(reason),
        event: (!flooded).then_some(event),
        counted: Vec::new(),
    }
}

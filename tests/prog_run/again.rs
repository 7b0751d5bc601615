//! What is told of connections that a new policy judges again.

use bridgewall::kernel::abi::event_flag;

use crate::fixture::{Firewall, Side, Verdict, rule};
use crate::frame::{frame, udp, unreachable};
use crate::node::{FAMILIES, Family, Node};

/// A asks somebody in the world, which is allowed; then the policy changes to `verdict`, by rule 12.
fn changed_to(verdict: Verdict, family: Family) -> (Firewall, Vec<u8>) {
    let firewall = Firewall::new();
    let question = frame(family, Node::A, Node::World, &udp(5353, 53));
    firewall.from(Node::A, &question).passes("question");
    let everything = rule(verdict, 12, 0, 0xff_ffff);
    firewall.set_rules(Side::Egress, Node::A, Node::World, &[everything]);
    firewall.next_generation();
    (firewall, question)
}

#[test]
fn report_of_an_answer_says_that_it_is_one() {
    for family in FAMILIES {
        let (firewall, _) = changed_to(Verdict::Audit, family);
        let answer = frame(family, Node::World, Node::A, &udp(53, 5353));
        firewall.to(Node::A, &answer, 0).passes("in audit mode");
        let events = firewall.events();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].verdict, Verdict::Audit as u8);
        assert_eq!(events[0].egress_rule, 12);
        let flags = u32::from(events[0].flags);
        assert_eq!(flags, event_flag::EVENT_REPLYING.0, "{family:?}");
    }
}

#[test]
fn error_does_not_swallow_the_report_of_its_connection() {
    for family in FAMILIES {
        let (firewall, question) = changed_to(Verdict::Audit, family);
        let error = frame(family, Node::Lan, Node::A, &unreachable(family, &question));
        firewall.to(Node::A, &error, 0).passes("a live connection");
        firewall.from(Node::A, &question).passes("in audit mode");
        let events = firewall.events();
        assert_eq!(events.len(), 1, "{family:?}");
        assert_eq!(events[0].verdict, Verdict::Audit as u8);
    }
}

#[test]
fn rule_that_ended_a_connection_is_not_named_for_an_error_about_it() {
    for family in FAMILIES {
        let (firewall, question) = changed_to(Verdict::Deny, family);
        let error = frame(family, Node::Lan, Node::A, &unreachable(family, &question));
        firewall.to(Node::A, &error, 0).drops(
            crate::fixture::Reason::DROP_POLICY_DEFAULT,
            "no rule allows it",
        );
        let events = firewall.events();
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].egress_rule, events[0].ingress_rule),
            (0, 0),
            "{family:?}"
        );
        assert_eq!(firewall.rule_hits(12), 0, "it did not decide");
    }
}

//! What leaves: the host's own, and what it passes on for others.

use super::{REFUSED, closed, confined};
use crate::fixture::{Reason, Rule, Verdict, allow, icmp_selector, port, rule};
use crate::frame::{
    ACK, GRE, Payload, SYN, TCP, UDP, echo, frame, icmp, icmp_protocol, other, tcp, udp,
    unreachable,
};
use crate::node::{FAMILIES, Family, Node};

/// Any interface of the host.
const SOMEWHERE: u32 = 77;

fn out(family: Family, payload: &Payload) -> Vec<u8> {
    frame(family, Node::Host, Node::World, payload)
}

fn back(family: Family, payload: &Payload) -> Vec<u8> {
    frame(family, Node::World, Node::Host, payload)
}

#[test]
fn what_a_rule_allows_leaves_the_host_and_nothing_else_does() {
    for family in FAMILIES {
        let (request, _) = echo(family);
        let asked = icmp_selector(icmp_protocol(family), request, 0);
        let mut rules = [allow(8, asked), allow(7, port(TCP, 80))];
        rules.sort_by_key(|rule| rule.first);
        let firewall = confined(&rules);
        for (payload, allowed) in [
            (tcp(1000, 80, SYN), true),
            (tcp(1001, 81, SYN), false),
            (udp(1000, 80), false),
            (other(GRE), false),
            (icmp(family, request, 0, 9), true),
        ] {
            let what = format!("{family:?} {payload:?}");
            let outcome = firewall.leaving(&out(family, &payload));
            if allowed {
                outcome.passes_marked(0, &what);
            } else {
                outcome.drops(REFUSED, &what);
            }
        }
        assert_eq!((firewall.rule_hits(7), firewall.rule_hits(8)), (1, 1));
    }
}

#[test]
fn every_verdict_on_leaving_is_counted_and_told_as_it_is() {
    for family in FAMILIES {
        for verdict in [Verdict::Allow, Verdict::Audit, Verdict::Drop, Verdict::Deny] {
            let rules: [Rule; 1] = [rule(verdict, 7, 0, 0xff_ffff)];
            let firewall = confined(&rules);
            let outcome = firewall.leaving(&out(family, &tcp(1000, 80, SYN)));
            let what = format!("{family:?} {verdict:?}");
            match verdict {
                Verdict::Allow | Verdict::Audit => outcome.passes(&what),
                Verdict::Drop => outcome.drops(REFUSED, &what),
                Verdict::Deny => outcome.drops(Reason::DROP_POLICY_DENY, &what),
            }
            assert_eq!(firewall.rule_hits(7), 1, "{what}");
            let told = firewall.events().pop();
            assert_eq!(told.is_none(), verdict == Verdict::Allow, "{what}");
            if let Some(event) = told {
                assert_eq!(event.verdict, verdict as u8, "{what}");
                assert_eq!((event.side, event.egress_rule), (0, 7), "{what}");
            }
        }
    }
}

#[test]
fn the_host_answers_whatever_its_egress_says() {
    for family in FAMILIES {
        let (request, reply) = echo(family);
        for (asked, answered) in [
            (tcp(1000, 22, SYN), tcp(22, 1000, SYN | ACK)),
            (udp(1000, 53), udp(53, 1000)),
            (icmp(family, request, 0, 9), icmp(family, reply, 0, 9)),
        ] {
            let firewall = confined(&[]);
            let what = format!("{family:?} {asked:?}");
            let answer = out(family, &answered);
            let outcome = firewall.leaving(&answer);
            assert!(
                !matches!(outcome, crate::fixture::Outcome::Passed { .. }),
                "{what}"
            );
            let question = back(family, &asked);
            firewall.arriving(&question).passes(&what);
            firewall.leaving(&answer).passes_marked(0, &what);
            let error = out(family, &unreachable(family, &question));
            firewall.leaving(&error).passes(&what);
        }
    }
}

#[test]
fn what_passes_through_has_been_judged_where_it_came_in() {
    for family in FAMILIES {
        let firewall = confined(&[]);
        let own = frame(family, Node::A, Node::World, &udp(1000, 53));
        firewall
            .leaving_from(&own, Node::A.number(), SOMEWHERE)
            .passes("an endpoint's, with its address");
        let elses = frame(family, Node::Lan, Node::World, &udp(1000, 53));
        firewall
            .leaving_from(&elses, 0, SOMEWHERE)
            .passes("another machine's");
        assert_eq!(firewall.new_flows().len(), 0, "none of the host's");
    }
}

#[test]
fn what_leaves_under_the_hosts_address_for_another_is_answered_through_a_closed_host() {
    for family in FAMILIES {
        let asked = out(family, &udp(1000, 53));
        let answer = back(family, &udp(53, 1000));
        for (what, mark) in [("an endpoint's", Node::A.number()), ("a machine's", 0)] {
            let firewall = closed(&[]);
            firewall.leaving_from(&asked, mark, SOMEWHERE).passes(what);
            firewall.arriving(&answer).passes(what);
            let flows = firewall.entries_of_flows();
            assert_eq!(flows.len(), 1, "{what}");
            firewall
                .arriving(&back(family, &udp(53, 1001)))
                .drops(REFUSED, what);
        }
        // An endpoint's is in its own account.
        let firewall = closed(&[]);
        let _ = firewall.leaving_from(&asked, Node::A.number(), SOMEWHERE);
        firewall.assert_counted();
    }
}

#[test]
fn what_pretends_to_come_from_elsewhere_but_was_made_here_is_the_hosts() {
    for family in FAMILIES {
        let firewall = confined(&[allow(7, port(UDP, 53))]);
        let forged = |port| frame(family, Node::A, Node::World, &udp(1000, port));
        firewall.leaving(&forged(53)).passes("as the host");
        firewall.leaving(&forged(54)).drops(REFUSED, "as the host");
        assert_eq!(firewall.rule_hits(7), 1);
    }
}

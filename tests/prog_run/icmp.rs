//! ICMP: questions and answers, and messages judged by type and code alone.

use crate::fixture::{Firewall, JUDGED, Reason, Side, Verdict, allow, icmp_selector, rule};
use crate::frame::{SYN, echo, frame, icmp, icmp_protocol, tcp, udp};
use crate::node::{FAMILIES, Family, Node};

#[test]
fn echo_request_rule_allows_nothing_else() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let (request, reply) = echo(family);
        let protocol = icmp_protocol(family);
        let only_echo = [allow(1, icmp_selector(protocol, request, 0))];
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &only_echo);
        let send = |kind, code| {
            firewall.from(
                Node::A,
                &frame(family, Node::A, Node::B, &icmp(family, kind, code, 1)),
            )
        };
        send(request, 0).passes("echo request");
        send(request, 1).drops(Reason::DROP_POLICY_DEFAULT, "another code");
        send(reply, 0).drops(Reason::DROP_POLICY_DEFAULT, "echo reply");
        send(42, 0).drops(Reason::DROP_POLICY_DEFAULT, "another type");
        firewall
            .from(
                Node::A,
                &frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN)),
            )
            .drops(Reason::DROP_POLICY_DEFAULT, "TCP");
        firewall
            .from(Node::A, &frame(family, Node::A, Node::B, &udp(1, 2)))
            .drops(Reason::DROP_POLICY_DEFAULT, "UDP");
    }
}

#[test]
fn echo_reply_rule_does_not_allow_other_icmp() {
    let firewall = Firewall::new();
    let only_reply = [allow(1, icmp_selector(1, 0, 0))];
    firewall.set_rules(Side::Ingress, Node::B, Node::A, &only_reply);
    let send = |kind, code| {
        let payload = icmp(Family::V4, kind, code, 1);
        firewall.from(Node::A, &frame(Family::V4, Node::A, Node::B, &payload))
    };
    send(0, 0).passes("type 0, code 0");
    send(0, 1).drops(Reason::DROP_POLICY_DEFAULT, "type 0, code 1");
    for kind in [4, 8, 10, 13, 17, 30, 255] {
        send(kind, 0).drops(Reason::DROP_POLICY_DEFAULT, &format!("type {kind}"));
    }
    for kind in [5, 9] {
        send(kind, 0).drops(Reason::DROP_ROUTER_ADVERTISEMENT, &format!("type {kind}"));
    }
    assert!(
        firewall.new_flows().is_empty(),
        "an answer without a question opens nothing"
    );
}

#[test]
fn range_of_types_covers_all_their_codes() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let protocol = icmp_protocol(family);
        let range = rule(
            Verdict::Allow,
            1,
            icmp_selector(protocol, 40, 0),
            icmp_selector(protocol, 43, 255),
        );
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[range]);
        for (kind, code, allowed) in [
            (39, 255, false),
            (40, 0, true),
            (41, 77, true),
            (43, 255, true),
            (44, 0, false),
        ] {
            let payload = icmp(family, kind, code, 1);
            let outcome = firewall.from(Node::A, &frame(family, Node::A, Node::B, &payload));
            let what = format!("{family:?} type {kind} code {code}");
            if allowed {
                outcome.passes_marked(JUDGED | 2, &what);
            } else {
                outcome.drops(Reason::DROP_POLICY_DEFAULT, &what);
            }
        }
        assert!(firewall.new_flows().is_empty(), "judged one by one");
    }
}

#[test]
fn answers_pass_where_their_question_did() {
    for (family, question, answer, what) in [
        (Family::V4, 8, 0, "echo"),
        (Family::V4, 13, 14, "timestamp"),
        (Family::V4, 15, 16, "information"),
        (Family::V4, 17, 18, "address mask"),
        (Family::V6, 128, 129, "echo"),
    ] {
        let firewall = Firewall::new();
        let protocol = icmp_protocol(family);
        let rules = [allow(1, icmp_selector(protocol, question, 0))];
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &rules);
        let reply = |kind, identifier| {
            let payload = icmp(family, kind, 0, identifier);
            firewall.from(Node::B, &frame(family, Node::B, Node::A, &payload))
        };
        reply(answer, 7).drops(Reason::DROP_POLICY_DEFAULT, &format!("{what}: unasked"));
        let asked = frame(family, Node::A, Node::B, &icmp(family, question, 0, 7));
        firewall.from(Node::A, &asked).passes(what);
        reply(answer, 7).passes_marked(JUDGED | 1, &format!("{what}: answer"));
        reply(answer, 8).drops(
            Reason::DROP_POLICY_DEFAULT,
            &format!("{what}: another identifier"),
        );
        reply(question, 7).drops(
            Reason::DROP_POLICY_DEFAULT,
            &format!("{what}: the other one's question"),
        );
        firewall
            .from(
                Node::A,
                &frame(family, Node::A, Node::B, &icmp(family, answer, 0, 7)),
            )
            .drops(Reason::DROP_POLICY_DEFAULT, &format!("{what}: own answer"));
    }
}

#[test]
fn answer_of_one_kind_does_not_pass_for_another() {
    let firewall = Firewall::new();
    let rules = [allow(1, icmp_selector(1, 8, 0))];
    firewall.set_rules(Side::Ingress, Node::B, Node::A, &rules);
    let asked = frame(Family::V4, Node::A, Node::B, &icmp(Family::V4, 8, 0, 7));
    firewall.from(Node::A, &asked).passes("echo request");
    for kind in [14, 16, 18] {
        let payload = icmp(Family::V4, kind, 0, 7);
        firewall
            .from(Node::B, &frame(Family::V4, Node::B, Node::A, &payload))
            .drops(Reason::DROP_POLICY_DEFAULT, &format!("type {kind}"));
    }
}

#[test]
fn two_endpoints_may_ask_each_other_with_one_identifier() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::A, Node::B);
        firewall.open_to(Node::B, Node::A);
        let (request, reply) = echo(family);
        for (from, to) in [(Node::A, Node::B), (Node::B, Node::A)] {
            firewall
                .from(from, &frame(family, from, to, &icmp(family, request, 0, 7)))
                .passes("question");
            firewall
                .from(to, &frame(family, to, from, &icmp(family, reply, 0, 7)))
                .passes("answer");
        }
        assert_eq!(firewall.flows().len(), 2, "two connections");
    }
}

#[test]
fn changed_policy_ends_a_ping() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        let (request, reply) = echo(family);
        let ask = frame(family, Node::A, Node::B, &icmp(family, request, 0, 7));
        let answer = frame(family, Node::B, Node::A, &icmp(family, reply, 0, 7));
        firewall.from(Node::A, &ask).passes("question");
        firewall.from(Node::B, &answer).passes("answer");
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[]);
        firewall.next_generation();
        firewall
            .from(Node::B, &answer)
            .drops(Reason::DROP_POLICY_DEFAULT, "answer");
        firewall
            .from(Node::A, &ask)
            .drops(Reason::DROP_POLICY_DEFAULT, "question");
    }
}

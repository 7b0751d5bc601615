//! What comes in, and answers to what has left.

use super::{REFUSED, closed, data, fragment};
use crate::fixture::{
    Firewall, Reason, Rule, Side, Verdict, allow, allow_all, icmp_selector, port, rule,
};
use crate::frame::{
    ACK, FIN, GRE, Ipv4, Ipv6, Payload, RST, SCTP, SYN, TCP, UDP, echo, frame, frame_between,
    frame_v4, frame_v6, icmp, icmp_protocol, other, sctp, tcp, udp, udp_with, unreachable,
};
use crate::node::{FAMILIES, Family, Node};

fn to_host(family: Family, payload: &Payload) -> Vec<u8> {
    frame(family, Node::World, Node::Host, payload)
}

fn from_host(family: Family, payload: &Payload) -> Vec<u8> {
    frame(family, Node::Host, Node::World, payload)
}

#[test]
fn what_a_rule_allows_arrives_at_the_host_and_nothing_else_does() {
    for family in FAMILIES {
        let (request, _) = echo(family);
        let asked = icmp_selector(icmp_protocol(family), request, 0);
        for (rules, passing) in [
            (allow(7, port(TCP, 22)), tcp(1000, 22, SYN)),
            (allow(7, port(UDP, 22)), udp(1000, 22)),
            (allow(7, port(SCTP, 22)), sctp(1000, 22)),
            (allow(7, port(GRE, 0)), other(GRE)),
            (allow(7, asked), icmp(family, request, 0, 9)),
        ] {
            let firewall = closed(&[rules]);
            for payload in [
                tcp(1000, 22, SYN),
                tcp(1001, 23, SYN),
                udp(1000, 22),
                sctp(1000, 22),
                other(GRE),
                icmp(family, request, 0, 9),
            ] {
                let what = format!("{family:?} {rules:?}: {payload:?}");
                let outcome = firewall.arriving(&to_host(family, &payload));
                if payload.bytes == passing.bytes && payload.protocol == passing.protocol {
                    outcome.passes_marked(0, &what);
                } else {
                    outcome.drops(REFUSED, &what);
                }
            }
            assert_eq!(firewall.rule_hits(7), 1, "{family:?} {rules:?}");
        }
    }
}

#[test]
fn every_verdict_on_arrival_is_counted_and_told_as_it_is() {
    for family in FAMILIES {
        for verdict in [Verdict::Allow, Verdict::Audit, Verdict::Drop, Verdict::Deny] {
            let rules: [Rule; 1] = [rule(verdict, 7, 0, 0xff_ffff)];
            let firewall = closed(&rules);
            let outcome = firewall.arriving(&to_host(family, &tcp(1000, 22, SYN)));
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
                assert_eq!((event.side, event.ingress_rule), (1, 7), "{what}");
                assert_eq!(event.endpoint, 0, "{what}: nobody's hook");
            }
        }
    }
}

#[test]
fn what_the_host_has_opened_is_answered_and_nothing_else_is() {
    for family in FAMILIES {
        let (request, reply) = echo(family);
        for (asked, answered, stray) in [
            (
                tcp(1000, 80, SYN),
                tcp(80, 1000, SYN | ACK),
                tcp(80, 1001, SYN | ACK),
            ),
            (udp(1000, 53), udp(53, 1000), udp(53, 1001)),
            (sctp(1000, 7), sctp(7, 1000), sctp(7, 1001)),
            (
                icmp(family, request, 0, 9),
                icmp(family, reply, 0, 9),
                icmp(family, reply, 0, 10),
            ),
        ] {
            let firewall = closed(&[]);
            let what = format!("{family:?} {asked:?}");
            let answer = to_host(family, &answered);
            let outcome = firewall.arriving(&answer);
            assert_ne!(
                outcome,
                crate::fixture::Outcome::Passed { mark: 0 },
                "{what}"
            );
            firewall
                .leaving(&from_host(family, &asked))
                .passes_marked(0, &what);
            firewall.arriving(&answer).passes_marked(0, &what);
            let refusal = if stray.protocol == TCP {
                Reason::DROP_NO_FLOW
            } else {
                REFUSED
            };
            let stray = to_host(family, &stray);
            firewall.arriving(&stray).drops(refusal, &what);
            // Nor is somebody else's answer one.
            let (lan, host) = (Node::Lan, Node::Host);
            let elses = frame(family, lan, host, &answered);
            firewall.arriving(&elses).drops(refusal, &what);
        }
    }
}

#[test]
fn what_only_belongs_to_a_connection_opens_none() {
    for family in FAMILIES {
        let firewall = closed(&[allow_all(7)]);
        for flags in [SYN | ACK, RST, FIN | ACK, RST | ACK] {
            firewall
                .arriving(&to_host(family, &tcp(1000, 22, flags)))
                .drops(Reason::DROP_NO_FLOW, &format!("{family:?} {flags:#x}"));
        }
        assert_eq!(firewall.flows().len() + firewall.new_flows().len(), 0);
    }
}

#[test]
fn a_connection_to_the_host_ends_when_its_rule_does() {
    for family in FAMILIES {
        let firewall = closed(&[allow(7, port(TCP, 22))]);
        let syn = to_host(family, &tcp(1000, 22, SYN));
        let answer = from_host(family, &tcp(22, 1000, SYN | ACK));
        firewall.arriving(&syn).passes("opened");
        firewall.leaving(&answer).passes("answered");
        let segment = to_host(family, &tcp(1000, 22, ACK));
        firewall.next_generation();
        firewall.arriving(&segment).passes("still allowed");
        let denied = rule(Verdict::Deny, 8, 0, 0xff_ffff);
        firewall.set_rules(Side::Ingress, Node::Host, Node::World, &[denied]);
        firewall.next_generation();
        firewall
            .arriving(&segment)
            .drops(Reason::DROP_POLICY_DENY, "denied now");
    }
}

#[test]
fn errors_about_a_live_connection_arrive_and_others_do_not() {
    for family in FAMILIES {
        let firewall = closed(&[]);
        let asked = from_host(family, &udp(1000, 53));
        firewall.leaving(&asked).passes("asked");
        let error = |quoted: &[u8]| to_host(family, &unreachable(family, quoted));
        firewall.arriving(&error(&asked)).passes("from its target");
        // A router on the way answers for itself.
        let router = frame_between(
            Node::World,
            Node::Host,
            Node::Lan.address(family),
            Node::Host.address(family),
            &unreachable(family, &asked),
        );
        firewall.arriving(&router).passes("from a router");
        for (what, payload) in [
            ("another port", udp(1000, 54)),
            ("another source port", udp(1001, 53)),
            ("another protocol", tcp(1000, 53, SYN)),
        ] {
            let forged = error(&from_host(family, &payload));
            firewall.arriving(&forged).drops(REFUSED, what);
        }
        // And what the host reports of what it was sent.
        let firewall = closed(&[allow(7, port(UDP, 53))]);
        let question = to_host(family, &udp(1000, 53));
        firewall.arriving(&question).passes("asked");
        let report = from_host(family, &unreachable(family, &question));
        firewall.leaving(&report).passes("reported");
    }
}

#[test]
fn fragments_to_the_host_are_judged_by_their_first() {
    let from = (Node::World, Node::Host);
    for family in FAMILIES {
        let firewall = closed(&[allow(7, port(UDP, 53))]);
        let rest = fragment(from, family, (24, false), &data(UDP, 16));
        firewall
            .arriving(&rest)
            .drops(Reason::DROP_FRAGMENT_UNKNOWN, "before the first one");
        let first = |port| udp_with(1000, port, &[0; 16]);
        let refused = fragment(from, family, (0, true), &first(54));
        firewall.arriving(&refused).drops(REFUSED, "another port");
        firewall.arriving(&rest).drops(REFUSED, "of a refused one");
        let allowed = fragment(from, family, (0, true), &first(53));
        firewall.arriving(&allowed).passes("the first one");
        firewall.arriving(&rest).passes("of an allowed one");
        // What is only passing through is whole, or not, where it goes to.
        let elsewhere = fragment((Node::World, Node::A), family, (24, false), &data(UDP, 16));
        firewall.arriving(&elsewhere).passes("none of the host's");
    }
}

/// Each with the reason for which it is dropped where it is for the host.
fn malformed(family: Family, to: Node) -> Vec<(&'static str, Reason, Vec<u8>)> {
    let payload = udp(1000, 53);
    let frame = |payload: &Payload| frame(family, Node::World, to, payload);
    let cut = |payload: &Payload, length: usize| {
        let mut payload = payload.clone();
        payload.bytes.truncate(length);
        frame(&payload)
    };
    let l4 = Reason::DROP_L4_HEADER;
    let mut rows = vec![
        ("half a UDP header", l4, cut(&payload, 6)),
        ("half a TCP header", l4, cut(&tcp(1, 2, SYN), 12)),
        (
            "SYN and FIN",
            Reason::DROP_TCP_FLAGS,
            frame(&tcp(1, 2, SYN | FIN)),
        ),
        ("no TCP flag", Reason::DROP_TCP_FLAGS, frame(&tcp(1, 2, 0))),
    ];
    match family {
        Family::V4 => {
            let source_route = Ipv4 {
                options: vec![131, 7, 4, 192, 0, 2, 1, 0],
                ..Ipv4::new(Node::World.v4(), to.v4())
            };
            let longer = Ipv4 {
                total_length: Some(200),
                ..Ipv4::new(Node::World.v4(), to.v4())
            };
            rows.extend([
                (
                    "a source route",
                    Reason::DROP_IPV4_SOURCE_ROUTE,
                    frame_v4(Node::World, to, &source_route, &payload),
                ),
                (
                    "more than there is",
                    Reason::DROP_TRUNCATED,
                    frame_v4(Node::World, to, &longer, &payload),
                ),
                (
                    "ICMPv6 in IPv4",
                    Reason::DROP_ICMP_FAMILY,
                    frame(&icmp(Family::V6, 128, 0, 1)),
                ),
            ]);
        }
        Family::V6 => {
            let routed = Ipv6::new(Node::World.v6(), to.v6()).with(43, &[0; 8]);
            let longer = Ipv6 {
                payload_length: Some(200),
                ..Ipv6::new(Node::World.v6(), to.v6())
            };
            rows.extend([
                (
                    "a routing header of type 0",
                    Reason::DROP_IPV6_EXTENSION,
                    frame_v6(Node::World, to, &routed, &payload),
                ),
                (
                    "more than there is",
                    Reason::DROP_TRUNCATED,
                    frame_v6(Node::World, to, &longer, &payload),
                ),
                (
                    "ICMP in IPv6",
                    Reason::DROP_ICMP_FAMILY,
                    frame(&icmp(Family::V4, 8, 0, 1)),
                ),
            ]);
        }
    }
    rows
}

#[test]
fn what_is_malformed_is_dropped_where_it_is_for_the_host() {
    for family in FAMILIES {
        let firewall = closed(&[allow_all(7)]);
        for (what, reason, frame) in malformed(family, Node::Host) {
            firewall
                .arriving(&frame)
                .drops(reason, &format!("{family:?}: {what}"));
        }
        // The hook of the endpoint that it is for does the same; but what has not even a whole IP header
        // and what it promises is for nobody.
        for (what, reason, frame) in malformed(family, Node::A) {
            let what = format!("{family:?}: {what}, to an endpoint");
            let outcome = firewall.arriving(&frame);
            if reason == Reason::DROP_TRUNCATED {
                outcome.drops(reason, &what);
            } else {
                outcome.passes(&what);
            }
        }
    }
}

#[test]
fn nobody_outside_is_the_host_or_an_endpoint() {
    for family in FAMILIES {
        let firewall = closed(&[allow_all(7)]);
        let host = Node::Host.address(family);
        let as_endpoint = frame(family, Node::A, Node::Host, &udp(1000, 53));
        firewall
            .arriving(&as_endpoint)
            .drops(Reason::DROP_SOURCE_UNPROVEN, "an endpoint's address");
        let as_host = frame_between(Node::World, Node::Host, host, host, &udp(1000, 53));
        firewall
            .arriving(&as_host)
            .drops(Reason::DROP_ADDRESS, "the host's own address");
    }
}

#[test]
fn without_a_policy_nothing_arrives() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.unpublish();
        firewall
            .arriving(&to_host(family, &tcp(1000, 22, SYN)))
            .drops(Reason::DROP_IDENTITY_MISSING, "no policy");
    }
}

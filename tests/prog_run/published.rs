//! Ports that the host publishes: what an endpoint sends there is judged as what it becomes, a connection
//! to the container behind, at that container's port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bridgewall::kernel::abi;
use libbpf_rs::MapCore as _;

use crate::contract::{address, bytes_of};
use crate::fixture::{Firewall, Reason, Rule, Side, Verdict, allow, port, rule};
use crate::frame::{ACK, SCTP, SYN, TCP, UDP, frame, sctp, tcp, udp, unreachable};
use crate::node::{FAMILIES, Family, Node};

/// The loopback interface, which is always there, and one that never is.
const THERE: u32 = 1;
const GONE: u32 = 0x7fff_ffff;

/// The host's port that leads to port 80 of B.
const PUBLISHED: u16 = 8080;

/// A may reach port 80 of B, and nothing of the host.
fn guarded(family: Family) -> Firewall {
    let firewall = Firewall::new();
    let refused = rule(Verdict::Drop, 9, 0, 0xff_ffff);
    firewall.set_rules(Side::Egress, Node::A, Node::Host, &[refused]);
    firewall.set_rules(Side::Ingress, Node::B, Node::A, &[allow(7, port(TCP, 80))]);
    for node in [Node::B, Node::C] {
        move_to(&firewall, node, THERE);
    }
    lead(&firewall, everywhere(family), TCP, PUBLISHED, Node::B, 80);
    firewall
}

fn everywhere(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn move_to(firewall: &Firewall, node: Node, ifindex: u32) {
    let record = abi::endpoint {
        identity: [node.identity(); 2],
        ifindex,
        bridge: node.bridge(),
    };
    let map = &firewall.loan().skeleton.maps.endpoints;
    firewall.write(map, &node.number(), &record);
}

fn key(at: IpAddr, protocol: u8, host_port: u16) -> abi::published_key {
    abi::published_key {
        address: address(at),
        port: host_port.to_be(),
        protocol,
        _pad: 0,
    }
}

fn lead(firewall: &Firewall, at: IpAddr, protocol: u8, host_port: u16, to: Node, port: u16) {
    let value = abi::published {
        endpoint: to.number(),
        port: port.to_be(),
        _pad: 0,
    };
    let map = &firewall.loan().skeleton.maps.published;
    firewall.write(map, &key(at, protocol, host_port), &value);
}

fn close(firewall: &Firewall, at: IpAddr) {
    let map = &firewall.loan().skeleton.maps.published;
    map.delete(bytes_of(&key(at, TCP, PUBLISHED)))
        .expect("close a port");
}

#[test]
fn published_port_is_judged_as_the_containers() {
    for family in FAMILIES {
        let firewall = guarded(family);
        let syn = |to| frame(family, Node::A, Node::Host, &tcp(40_000, to, SYN));
        firewall
            .from(Node::A, &syn(PUBLISHED))
            .passes_marked(Node::A.number(), "the target's hook judges too");
        assert_eq!(firewall.rule_hits(7), 1, "{family:?}");
        assert_eq!(firewall.rule_hits(9), 0, "{family:?}");
        for host_port in [PUBLISHED - 1, PUBLISHED + 1, 80] {
            firewall.from(Node::A, &syn(host_port)).drops(
                Reason::DROP_POLICY_DEFAULT,
                &format!("{family:?}: port {host_port} is the host's own"),
            );
        }
        // What it becomes on its way is what the target's hook sees.
        let translated = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
        firewall
            .to_through(Node::B, &translated, Node::A.number(), 100)
            .passes("judged the same");
    }
}

#[test]
fn what_may_reach_the_host_may_not_reach_what_it_publishes() {
    for family in FAMILIES {
        let firewall = guarded(family);
        firewall.set_rules(Side::Egress, Node::A, Node::Host, &[]);
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[]);
        let syn = |to| frame(family, Node::A, Node::Host, &tcp(40_000, to, SYN));
        firewall.from(Node::A, &syn(22)).passes("the host's own");
        firewall
            .from(Node::A, &syn(PUBLISHED))
            .drops(Reason::DROP_POLICY_DEFAULT, "the container's");
        let event = firewall.events().pop().expect("an event");
        assert_eq!(event.destination_endpoint, Node::B.number());
        assert_eq!(event.destination_identity, Node::B.identity());
        assert_eq!(event.destination_port, PUBLISHED.to_be());
        assert_eq!(event.side, Side::Ingress as u8);
    }
}

#[test]
fn port_is_published_for_its_protocol_family_and_address_only() {
    for family in FAMILIES {
        let other = match family {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        };
        let firewall = guarded(family);
        for (what, frame) in [
            (
                "UDP",
                frame(family, Node::A, Node::Host, &udp(1, PUBLISHED)),
            ),
            (
                "SCTP",
                frame(family, Node::A, Node::Host, &sctp(1, PUBLISHED)),
            ),
            (
                "the other family",
                frame(other, Node::A, Node::Host, &tcp(1, PUBLISHED, SYN)),
            ),
        ] {
            firewall
                .from(Node::A, &frame)
                .drops(Reason::DROP_POLICY_DEFAULT, what);
        }
        assert_eq!(firewall.rule_hits(9), 3, "they were the host's");
        let elsewhere = frame(family, Node::A, Node::World, &tcp(1, PUBLISHED, SYN));
        firewall.from(Node::A, &elsewhere).passes("the world's");
        assert_eq!(firewall.rule_hits(7), 0);
    }
}

#[test]
fn one_address_goes_before_all_of_them() {
    for family in FAMILIES {
        let firewall = guarded(family);
        let syn = frame(family, Node::A, Node::Host, &tcp(40_000, PUBLISHED, SYN));
        lead(
            &firewall,
            Node::Host.address(family),
            TCP,
            PUBLISHED,
            Node::C,
            80,
        );
        firewall
            .from(Node::A, &syn)
            .drops(Reason::DROP_POLICY_DEFAULT, "C takes nothing");
        firewall.set_rules(Side::Ingress, Node::C, Node::A, &[allow(8, port(TCP, 80))]);
        firewall.from(Node::A, &syn).passes("now it does");
        assert_eq!(firewall.rule_hits(8), 1);
    }
}

#[test]
fn every_protocol_that_is_published_leads_to_the_container() {
    for family in FAMILIES {
        let firewall = guarded(family);
        for (protocol, payload) in [(UDP, udp(1, 53)), (SCTP, sctp(1, 53))] {
            lead(&firewall, everywhere(family), protocol, 53, Node::B, 5353);
            let packet = frame(family, Node::A, Node::Host, &payload);
            firewall
                .from(Node::A, &packet)
                .drops(Reason::DROP_POLICY_DEFAULT, "B takes TCP");
            let rule = allow(6, port(protocol, 5353));
            firewall.set_rules(Side::Ingress, Node::B, Node::A, &[rule]);
            firewall.from(Node::A, &packet).passes("B's own port");
        }
    }
}

#[test]
fn entry_that_nobody_has_removed_opens_nothing_when_its_container_is_gone() {
    for family in FAMILIES {
        let firewall = guarded(family);
        let syn = frame(family, Node::A, Node::Host, &tcp(40_000, PUBLISHED, SYN));
        move_to(&firewall, Node::B, GONE);
        firewall.from(Node::A, &syn).drops(
            Reason::DROP_POLICY_DEFAULT,
            "whatever is there is the host's",
        );
        assert_eq!(firewall.rule_hits(9), 1, "{family:?}");
    }
}

#[test]
fn endpoint_without_identity_behind_a_port_gets_nothing() {
    for family in FAMILIES {
        let firewall = guarded(family);
        let record = abi::endpoint {
            identity: [0; 2],
            ifindex: THERE,
            bridge: 100,
        };
        let map = &firewall.loan().skeleton.maps.endpoints;
        firewall.write(map, &Node::B.number(), &record);
        let syn = frame(family, Node::A, Node::Host, &tcp(40_000, PUBLISHED, SYN));
        firewall
            .from(Node::A, &syn)
            .drops(Reason::DROP_IDENTITY_MISSING, "fails closed");
    }
}

#[test]
fn answers_come_from_the_container_or_from_the_host_on_its_behalf() {
    for family in FAMILIES {
        let firewall = guarded(family);
        let syn = frame(family, Node::A, Node::Host, &tcp(40_000, PUBLISHED, SYN));
        firewall.from(Node::A, &syn).passes("opens it");
        let answer = frame(
            family,
            Node::Host,
            Node::A,
            &tcp(PUBLISHED, 40_000, SYN | ACK),
        );
        let [b, c] = [Node::B.number(), Node::C.number()];
        firewall
            .to_through(Node::A, &answer, b, 100)
            .passes("translated back");
        firewall
            .to_through(Node::A, &answer, 0, 0)
            .passes("a proxy's");
        firewall
            .to_through(Node::A, &answer, c, 100)
            .drops(Reason::DROP_NO_FLOW, "another endpoint's");
        firewall
            .to_through(Node::A, &answer, 0, 7)
            .drops(Reason::DROP_NO_FLOW, "came in with the host's address");
        // And it is a connection that both want: what follows needs no policy.
        let ack = frame(family, Node::A, Node::Host, &tcp(40_000, PUBLISHED, ACK));
        firewall.from(Node::A, &ack).passes("the handshake's end");
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[]);
        firewall.from(Node::A, &ack).passes("nothing was published");
        firewall.next_generation();
        firewall
            .from(Node::A, &ack)
            .drops(Reason::DROP_POLICY_DEFAULT, "judged again as B's");
    }
}

#[test]
fn connection_ends_when_its_port_leads_elsewhere() {
    type Change = fn(&Firewall, Family);
    let changes: [(&str, Change); 4] = [
        ("to another container", |firewall, family| {
            lead(firewall, everywhere(family), TCP, PUBLISHED, Node::C, 80);
        }),
        ("to another port", |firewall, family| {
            lead(firewall, everywhere(family), TCP, PUBLISHED, Node::B, 81);
        }),
        ("to the host itself", |firewall, family| {
            close(firewall, everywhere(family));
        }),
        ("to nobody", |firewall, _| move_to(firewall, Node::B, GONE)),
    ];
    for family in FAMILIES {
        for (what, change) in changes {
            let firewall = guarded(family);
            let packet = |flags| frame(family, Node::A, Node::Host, &tcp(4000, PUBLISHED, flags));
            firewall.from(Node::A, &packet(SYN)).passes("opens it");
            firewall.next_generation();
            firewall.from(Node::A, &packet(ACK)).passes("goes on");
            change(&firewall, family);
            firewall.next_generation();
            firewall
                .from(Node::A, &packet(ACK))
                .drops(Reason::DROP_POLICY_DEFAULT, &format!("{family:?}: {what}"));
        }
    }
}

#[test]
fn connection_to_the_host_ends_when_its_port_is_published() {
    for family in FAMILIES {
        let firewall = guarded(family);
        firewall.set_rules(Side::Egress, Node::A, Node::Host, &[]);
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &[]);
        close(&firewall, everywhere(family));
        let packet = |flags| frame(family, Node::A, Node::Host, &tcp(4000, PUBLISHED, flags));
        firewall.from(Node::A, &packet(SYN)).passes("opens it");
        lead(&firewall, everywhere(family), TCP, PUBLISHED, Node::B, 80);
        firewall.next_generation();
        firewall
            .from(Node::A, &packet(ACK))
            .drops(Reason::DROP_POLICY_DEFAULT, "B takes nothing");
    }
}

#[test]
fn error_about_a_connection_through_a_published_port_passes() {
    for family in FAMILIES {
        let firewall = guarded(family);
        let syn = frame(family, Node::A, Node::Host, &tcp(40_000, PUBLISHED, SYN));
        firewall.from(Node::A, &syn).passes("opens it");
        let error = frame(family, Node::Host, Node::A, &unreachable(family, &syn));
        firewall
            .to_through(Node::A, &error, Node::B.number(), 100)
            .passes("from the container, translated back");
        firewall.to(Node::A, &error, 0).passes("from the host");
    }
}

#[test]
fn rules_speak_of_the_containers_port() {
    for family in FAMILIES {
        let firewall = guarded(family);
        let by_number: [Rule; 1] = [allow(6, port(TCP, PUBLISHED))];
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &by_number);
        let syn = frame(family, Node::A, Node::Host, &tcp(40_000, PUBLISHED, SYN));
        firewall
            .from(Node::A, &syn)
            .drops(Reason::DROP_POLICY_DEFAULT, "B's port is 80");
    }
}

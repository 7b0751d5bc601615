//! Events and counters.

use crate::fixture::{
    Firewall, Reason, Rule, Side, Verdict, address, allow, allow_all, port, rule,
};
use crate::frame::{ACK, SYN, TCP, echo, ethernet, frame, icmp, tcp, udp};
use crate::node::{FAMILIES, Node};
use bridgewall::kernel::abi::{event_flag, event_loss, hook};

#[test]
fn drop_event_says_who_what_and_why() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.set_rules(
            Side::Ingress,
            Node::B,
            Node::A,
            &[rule(Verdict::Deny, 9, port(TCP, 80), port(TCP, 80))],
        );
        let packet = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
        firewall
            .from(Node::A, &packet)
            .drops(Reason::DROP_POLICY_DENY, "denied");
        let events = firewall.events();
        assert_eq!(events.len(), 1);
        let event = events[0];
        assert_eq!(event.verdict, Verdict::Deny as u8);
        assert_eq!(u32::from(event.reason), Reason::DROP_POLICY_DENY.0);
        assert_eq!(event.side, Side::Ingress as u8);
        assert_eq!((event.egress_rule, event.ingress_rule), (0, 9));
        assert_eq!(event.source.word, address(Node::A.address(family)).word);
        assert_eq!(
            event.destination.word,
            address(Node::B.address(family)).word
        );
        assert_eq!(event.source_identity, Node::A.identity());
        assert_eq!(event.destination_identity, Node::B.identity());
        assert_eq!((event.source_endpoint, event.destination_endpoint), (1, 2));
        assert_eq!(u16::from_be(event.source_port), 40_000);
        assert_eq!(u16::from_be(event.destination_port), 80);
        assert_eq!(event.protocol, TCP);
        assert_eq!(u32::from(event.hook), hook::HOOK_FROM_ENDPOINT.0);
        assert_eq!((event.endpoint, event.generation), (1, 1));
        assert_eq!(event.packet_length as usize, packet.len());
        let bytes = usize::from(event.byte_count);
        assert_eq!(bytes, packet.len().min(96));
        assert_eq!(event.bytes[..bytes], packet[..bytes]);
        assert!(event.time > 0);
    }
}

#[test]
fn event_of_a_spoofed_frame_has_its_addresses() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let mut packet = frame(family, Node::A, Node::B, &udp(7, 9));
        packet[6] ^= 4;
        firewall
            .from(Node::A, &packet)
            .drops(Reason::DROP_SOURCE_MAC, "spoofed");
        let event = firewall.events()[0];
        assert_eq!(u32::from(event.reason), Reason::DROP_SOURCE_MAC.0);
        assert_eq!(event.source.word, address(Node::A.address(family)).word);
        assert_eq!(u16::from_be(event.destination_port), 9);
        assert_eq!(event.endpoint, Node::A.number());
    }
    let firewall = Firewall::new();
    let strange = ethernet(Node::A.mac(), Node::B.mac(), 0x88cc, &[7; 100]);
    firewall
        .from(Node::A, &strange)
        .drops(Reason::DROP_ETHERTYPE, "LLDP");
    let event = firewall.events()[0];
    assert_eq!((event.family, event.protocol), (0, 0));
    assert_eq!((event.byte_count, event.packet_length), (96, 114));
}

#[test]
fn icmp_event_has_type_and_code() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        let (request, _) = echo(family);
        let packet = frame(family, Node::A, Node::B, &icmp(family, request, 3, 1));
        firewall
            .from(Node::A, &packet)
            .drops(Reason::DROP_POLICY_DEFAULT, "ping");
        let event = firewall.events()[0];
        assert_eq!((event.icmp_type, event.icmp_code), (request, 3));
    }
}

#[test]
fn allowed_connections_are_reported_where_asked_for() {
    for family in FAMILIES {
        let logged = Rule {
            log: true,
            ..allow(4, port(TCP, 80))
        };
        let rules = [logged, allow(5, port(TCP, 81))];
        let firewall = Firewall::new();
        firewall.set_rules(Side::Ingress, Node::B, Node::A, &rules);
        let send = |port, flags| {
            let packet = frame(family, Node::A, Node::B, &tcp(40_000, port, flags));
            firewall.from(Node::A, &packet).passes("allowed");
        };
        send(80, SYN);
        let events = firewall.events();
        assert_eq!(events.len(), 1, "the rule logs");
        assert_eq!(events[0].verdict, Verdict::Allow as u8);
        let new = event_flag::EVENT_ALLOWED_NEW.0 as u8;
        assert_eq!(events[0].flags & new, new);
        send(80, ACK);
        assert!(firewall.events().is_empty(), "once a connection");
        send(81, SYN);
        assert!(firewall.events().is_empty(), "this rule does not log");
        firewall.observe_allowed();
        send(81, ACK);
        assert!(firewall.events().is_empty(), "not new");
        firewall.age_flows(3_600);
        send(81, SYN);
        assert_eq!(firewall.events().len(), 1, "all new ones are asked for");
    }
}

#[test]
fn audited_connection_is_reported_with_what_would_have_dropped_it() {
    for family in FAMILIES {
        for (number, reason) in [
            (0, Reason::DROP_POLICY_DEFAULT),
            (6, Reason::DROP_POLICY_DENY),
        ] {
            let firewall = Firewall::new();
            let audit = rule(Verdict::Audit, number, 0, 0xff_ffff);
            firewall.set_rules(Side::Ingress, Node::B, Node::A, &[audit]);
            let packet = frame(family, Node::A, Node::B, &tcp(40_000, 80, SYN));
            firewall.from(Node::A, &packet).passes("audited");
            let events = firewall.events();
            assert_eq!(events.len(), 1);
            assert_eq!(events[0].verdict, Verdict::Audit as u8);
            assert_eq!(u32::from(events[0].reason), reason.0);
            assert_eq!(events[0].ingress_rule, number);
        }
    }
}

#[test]
fn events_of_one_reason_are_limited_and_counted() {
    let firewall = Firewall::with(|open| {
        let settings = &mut open.maps.rodata_data.as_mut().expect("settings").settings;
        settings.event_burst = 5;
    });
    let refused = frame(FAMILIES[0], Node::A, Node::B, &udp(1, 2));
    let mut spoofed = refused.clone();
    spoofed[6] ^= 4;
    for _ in 0..100 {
        firewall
            .from(Node::A, &refused)
            .drops(Reason::DROP_POLICY_DEFAULT, "refused");
    }
    let told = firewall.events().len() as u64;
    let lost = firewall.losses(event_loss::EVENT_LOST_LIMITED);
    assert_eq!(told + lost, 100, "all are accounted for");
    // The clock may turn to the next seconds while the loop runs.
    assert!((5..50).contains(&told), "{told} events");
    firewall
        .from(Node::A, &spoofed)
        .drops(Reason::DROP_SOURCE_MAC, "spoofed");
    assert_eq!(
        firewall.events().len(),
        1,
        "another reason has its own limit"
    );
}

#[test]
fn full_buffer_changes_no_verdict() {
    let firewall = Firewall::with(|open| {
        open.maps.events.set_max_entries(4096).expect("size");
        let settings = &mut open.maps.rodata_data.as_mut().expect("settings").settings;
        settings.event_burst = 10_000;
    });
    firewall.set_rules(Side::Ingress, Node::C, Node::A, &[allow_all(1)]);
    for port in 1000..1100 {
        let refused = frame(FAMILIES[0], Node::A, Node::B, &udp(port, 2));
        firewall
            .from(Node::A, &refused)
            .drops(Reason::DROP_POLICY_DEFAULT, "refused");
        let allowed = frame(FAMILIES[0], Node::A, Node::C, &udp(port, 2));
        firewall.from(Node::A, &allowed).passes("allowed");
    }
    let told = firewall.events().len() as u64;
    let lost = firewall.losses(event_loss::EVENT_LOST_FULL);
    assert!(lost > 0, "the buffer was full");
    assert_eq!(told + lost, 100, "all are accounted for");
}

#[test]
fn traffic_is_counted_by_endpoint_and_direction() {
    for family in FAMILIES {
        let firewall = Firewall::new();
        firewall.open_to(Node::B, Node::A);
        let packet = frame(family, Node::A, Node::B, &udp(1, 2));
        firewall.from(Node::A, &packet).passes("from A");
        firewall.to(Node::B, &packet, 0x8000 | 2).passes("to B");
        let mut spoofed = packet.clone();
        spoofed[6] ^= 4;
        firewall
            .from(Node::A, &spoofed)
            .drops(Reason::DROP_SOURCE_MAC, "spoofed");
        firewall
            .to(Node::B, &packet, 0)
            .drops(Reason::DROP_SOURCE_UNPROVEN, "unproven");
        assert_eq!(firewall.traffic(Node::A), [1, 0, 1, 0]);
        assert_eq!(firewall.traffic(Node::B), [0, 1, 0, 1]);
    }
}

use std::path::PathBuf;
use std::sync::Arc;

use pretty_assertions::assert_eq;

use super::*;
use crate::compile::compiled::{Compiled, IdentityInfo, RuleInfo};
use crate::inventory::model::{Attributes, Endpoint, Inventory, MacAddress, Owner};
use crate::policy::model::{Action, Defaults, Identity, IdentityId, Location, Policy, Selector};

fn location(line: usize) -> Location {
    Location {
        file: Arc::new(PathBuf::from("/etc/bridgewall/policy.toml")),
        line,
        column: 1,
    }
}

fn names() -> Names {
    let mut inventory = Inventory::default();
    for (number, name) in [(1, "xwing"), (2, "deathstar")] {
        let number = EndpointNumber(number);
        let endpoint = Endpoint {
            number,
            interface: format!("veth{name}"),
            ifindex: 10 + number.0,
            bridge: Some(3),
            owner: Some(Owner {
                mac: MacAddress([2, 0, 0, 0, 0, 1]),
                addresses: [].into(),
                attributes: Attributes {
                    name: name.to_owned(),
                    ..Attributes::default()
                },
                published: [].into(),
            }),
        };
        inventory.endpoints.insert(number, endpoint);
    }
    let identity = |name: &str| Identity {
        name: name.to_owned(),
        selector: Selector::default(),
        ingress: None,
        egress: None,
        mode: None,
        location: location(1),
    };
    let policy = Policy {
        defaults: Defaults::default(),
        identities: vec![identity("alliance"), identity("empire")],
        networks: Vec::new(),
        rules: Vec::new(),
        tests: Vec::new(),
        files: Vec::new(),
    };
    let info = |ids: &[usize], name: &str| IdentityInfo {
        identities: ids.iter().map(|&id| IdentityId(id)).collect(),
        networks: Vec::new(),
        project: None,
        name: name.to_owned(),
    };
    let compiled = Compiled {
        identities: [
            (IdentityNumber(2), info(&[0], "alliance")),
            (IdentityNumber(3), info(&[1], "empire")),
            (IdentityNumber::internet(1), info(&[], "office")),
        ]
        .into(),
        rules: [(
            RuleNumber(3),
            RuleInfo {
                index: 0,
                action: Action::Deny,
                name: "no rebels".to_owned(),
                location: location(12),
            },
        )]
        .into(),
        ..Compiled::default()
    };
    Names::new(&inventory, &policy, &compiled)
}

fn mapped(address: [u8; 4]) -> abi::address {
    let [a, b, c, d] = address;
    abi::address {
        word: [
            0,
            0,
            u32::from_ne_bytes([0, 0, 0xff, 0xff]),
            u32::from_ne_bytes([a, b, c, d]),
        ],
    }
}

fn raw() -> abi::event {
    abi::event {
        generation: 5,
        source: mapped([172, 18, 0, 4]),
        destination: mapped([172, 18, 0, 2]),
        source_identity: 2,
        destination_identity: 3,
        source_endpoint: 1,
        destination_endpoint: 2,
        ifindex: 7,
        endpoint: 1,
        packet_length: 74,
        source_port: 40112_u16.to_be(),
        destination_port: 80_u16.to_be(),
        verdict: abi::verdict::VERDICT_DROP.0 as u8,
        reason: abi::drop_reason::DROP_POLICY_DEFAULT.0 as u8,
        side: abi::side::SIDE_INGRESS.0 as u8,
        hook: abi::hook::HOOK_FROM_ENDPOINT.0 as u8,
        family: 4,
        protocol: protocol::TCP,
        byte_count: 2,
        bytes: {
            let mut bytes = [0; 96];
            bytes[..2].copy_from_slice(&[0x02, 0x42]);
            bytes
        },
        ..abi::event::default()
    }
}

fn presented(raw: &abi::event) -> Event {
    Event::new(raw, samples::drop().time, &names())
}

#[test]
fn numbers_become_names() {
    let remedy = Reason::from_raw(1).map(|reason| reason.remedy().to_owned());
    let expected = Event {
        remedy,
        ..samples::drop()
    };
    assert_eq!(presented(&raw()), expected);
}

#[test]
fn the_rule_of_the_side_that_decided_is_the_rule() {
    let event = presented(&abi::event {
        verdict: abi::verdict::VERDICT_DENY.0 as u8,
        reason: abi::drop_reason::DROP_POLICY_DENY.0 as u8,
        ingress_rule: 3,
        ..raw()
    });
    assert_eq!(event.rule, Some(samples::rule()));
    let event = presented(&abi::event {
        side: abi::side::SIDE_EGRESS.0 as u8,
        ingress_rule: 3,
        ..raw()
    });
    assert_eq!(event.rule, None);
    assert_eq!(event.ingress_rule, Some(samples::rule()));
}

#[test]
fn icmp_has_a_type_instead_of_ports() {
    let event = presented(&abi::event {
        protocol: protocol::ICMP,
        icmp_type: 8,
        ..raw()
    });
    assert_eq!(event.source.port, None);
    assert_eq!(
        event.icmp.and_then(|icmp| icmp.name).as_deref(),
        Some("echo-request")
    );
}

#[test]
fn a_bad_packet_was_judged_by_no_policy() {
    let event = presented(&abi::event {
        reason: abi::drop_reason::DROP_SOURCE_IPV4.0 as u8,
        ..raw()
    });
    assert_eq!(event.side, None);
    assert_eq!(event.reason.as_deref(), Some("source-ipv4"));
}

#[test]
fn a_forged_packet_was_sent_by_the_endpoint_whose_interface_it_came_out_of() {
    let forged = abi::event {
        source_endpoint: 0,
        source_identity: 0,
        reason: abi::drop_reason::DROP_SOURCE_IPV4.0 as u8,
        ..raw()
    };
    assert_eq!(presented(&forged).source.name.as_deref(), Some("xwing"));
    let arriving = abi::event {
        hook: abi::hook::HOOK_TO_ENDPOINT.0 as u8,
        ..forged
    };
    assert_eq!(presented(&arriving).source.name, None);
}

#[test]
fn numbers_that_nobody_knows_are_shown_as_numbers() {
    let event = presented(&abi::event {
        source_endpoint: 9,
        source_identity: 99,
        reason: 250,
        verdict: 77,
        ..raw()
    });
    assert_eq!(event.source.name.as_deref(), Some("endpoint 9"));
    assert_eq!(event.source.identity, None);
    assert_eq!(event.verdict, Verdict::Drop);
    assert_eq!(event.text, "reason 250");
}

#[test]
fn the_world_and_the_host_are_called_what_they_are() {
    let event = presented(&abi::event {
        source_endpoint: 0,
        source_identity: IdentityNumber::internet(1).0,
        hook: abi::hook::HOOK_TO_ENDPOINT.0 as u8,
        destination_endpoint: 0,
        destination_identity: IdentityNumber::HOST.0,
        ..raw()
    });
    assert_eq!(event.source.name, None);
    assert_eq!(event.source.identity.as_deref(), Some("office"));
    assert!(event.source.is_called("office"));
    assert!(event.source.is_called("172.18.0.4"));
    assert_eq!(event.destination.name.as_deref(), Some("host"));
}

#[test]
fn what_is_not_ip_has_no_addresses() {
    let event = presented(&abi::event {
        family: 0,
        reason: abi::drop_reason::DROP_ETHERTYPE.0 as u8,
        ..raw()
    });
    assert_eq!(event.source.address, None);
    assert_eq!(event.protocol, None);
    assert_eq!(event.source.name.as_deref(), Some("xwing"));
}

#[test]
fn an_event_survives_the_socket() {
    for event in [samples::drop(), samples::deny(), samples::allow()] {
        let json = serde_json::to_string(&event).expect("serialize");
        assert_eq!(serde_json::from_str::<Event>(&json).expect("parse"), event);
    }
}

#[test]
fn a_count_of_bytes_beyond_the_buffer_is_cut() {
    let event = presented(&abi::event {
        byte_count: u16::MAX,
        ..raw()
    });
    assert_eq!(event.bytes.len(), 2 * 96);
}

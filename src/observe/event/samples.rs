//! Events for tests.

use super::*;

/// 1970-01-01 12:03:04.123456789 UTC.
const TIME: UnixTime = UnixTime::new(12 * 3600 + 3 * 60 + 4, 123_456_789);

fn peer(name: &str, identity: &str, address: &str, port: u16) -> Peer {
    Peer {
        address: address.parse().ok(),
        port: Some(port),
        name: Some(name.to_owned()),
        identity: Some(identity.to_owned()),
        identities: vec![identity.to_owned()],
    }
}

pub fn rule() -> RuleName {
    RuleName {
        number: 3,
        name: "no rebels".to_owned(),
        file: "/etc/bridgewall/policy.toml".into(),
        line: 12,
    }
}

/// TCP that no rule allows.
pub fn drop() -> Event {
    Event {
        time: TIME,
        verdict: Verdict::Drop,
        reason: Some("policy-default".to_owned()),
        text: "no rule allows it".to_owned(),
        remedy: Some("add a rule".to_owned()),
        side: Some(Decider::Ingress),
        rule: None,
        egress_rule: None,
        ingress_rule: None,
        source: peer("xwing", "alliance", "172.18.0.4", 40112),
        destination: peer("deathstar", "empire", "172.18.0.2", 80),
        protocol: Some("tcp".to_owned()),
        icmp: None,
        endpoint: Some("xwing".to_owned()),
        ifindex: 7,
        hook: Hook::FromEndpoint,
        generation: 5,
        length: 74,
        bytes: "0242".to_owned(),
    }
}

/// The same, denied by a rule.
pub fn deny() -> Event {
    Event {
        verdict: Verdict::Deny,
        reason: Some("policy-deny".to_owned()),
        text: "a rule denies it".to_owned(),
        rule: Some(rule()),
        ingress_rule: Some(rule()),
        ..drop()
    }
}

/// A ping that a rule allows.
pub fn allow() -> Event {
    let mut event = Event {
        verdict: Verdict::Allow,
        reason: None,
        remedy: None,
        text: "a rule allows it".to_owned(),
        rule: Some(rule()),
        ingress_rule: Some(rule()),
        protocol: Some("icmp".to_owned()),
        icmp: Some(Icmp {
            number: 8,
            code: 0,
            name: Some("echo-request".to_owned()),
        }),
        ..drop()
    };
    event.source.port = None;
    event.destination.port = None;
    event
}

/// TCP from an address that is not the sender's own.
pub fn spoofed() -> Event {
    let mut event = Event {
        reason: Some("source-ipv4".to_owned()),
        text: "the sender's IPv4 address is not its own".to_owned(),
        side: None,
        destination: Peer {
            identity: Some("internet".to_owned()),
            address: "203.0.113.7".parse().ok(),
            port: Some(80),
            ..Peer::default()
        },
        ..drop()
    };
    event.source.address = "10.9.9.9".parse().ok();
    event
}

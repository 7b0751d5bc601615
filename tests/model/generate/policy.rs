//! Policies, as people would write them, only stranger.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::harness::compare::read_policy;

const IDENTITIES: [&str; 4] = ["api", "db", "legacy", "web"];
const NETWORKS: [&str; 3] = ["blocklist", "office", "vpn"];

const LOCAL: [&str; 8] = [
    "any",
    "containers",
    "api",
    "db",
    "legacy",
    "web",
    "host",
    "same-project",
];
const OUTSIDE: [&str; 10] = [
    "world",
    "internet",
    "lan",
    "blocklist",
    "office",
    "vpn",
    "203.0.113.9",
    "203.0.112.0/23",
    "10.0.0.0/8",
    "2001:db8::/32",
];

/// A CIDR, and one within it.
const CIDRS: [(&str, &str); 9] = [
    ("203.0.113.0/24", "203.0.113.64/26"),
    ("203.0.113.0/25", "203.0.113.9"),
    ("0.0.0.0/0", "10.0.0.0/8"),
    ("10.1.0.0/16", "10.1.2.0/24"),
    ("192.168.0.0/16", "192.168.77.5/32"),
    ("2001:db8::/32", "2001:db8:113::/48"),
    ("::/0", "2001:db8:1::5"),
    ("fd00::/8", "fd77::/16"),
    ("224.0.0.0/4", "224.0.0.251"),
];

const PORTS: [&str; 14] = [
    "80/tcp",
    "443",
    "53/udp",
    "53/*",
    "8000-8100/udp",
    "8000-8100",
    "8050/tcp",
    "*/tcp",
    "*/udp",
    "*/*",
    "3868/sctp",
    "1-65535/tcp",
    "65535/tcp",
    "1-79",
];

const ICMP: [&str; 18] = [
    "echo-request",
    "echo-reply",
    "any",
    "destination-unreachable",
    "time-exceeded",
    "ipv4:any",
    "ipv6:any",
    "ipv4:0",
    "ipv4:8",
    "ipv4:3/4",
    "ipv4:13-18",
    "ipv6:packet-too-big",
    "ipv6:128",
    "ipv6:1/4",
    "ipv4:0-255",
    "ipv4:timestamp",
    "parameter-problem",
    "redirect",
];

const PROTOCOLS: [&str; 11] = [
    "icmp",
    "tcp",
    "udp",
    "sctp",
    "gre",
    "esp",
    "ipv6-icmp",
    "igmp",
    "0",
    "253",
    "1",
];

const CONDITIONS: [&str; 12] = [
    r#"labels = { role = "a" }"#,
    r#"labels = { role = "b" }"#,
    r#"labels = { role = "a", env = "b" }"#,
    r#"match = [{ key = "env", op = "in", values = ["a", "b"] }]"#,
    r#"match = [{ key = "env", op = "not-in", values = ["a"] }]"#,
    r#"match = [{ key = "role", op = "exists" }]"#,
    r#"match = [{ key = "role", op = "absent" }]"#,
    r#"name = "*""#,
    r#"name = "box?""#,
    r#"image = "shop/*""#,
    r#"project = "shop""#,
    r#"network = "front*""#,
];

/// The text of a policy that is taken.
pub fn policy() -> impl Strategy<Value = String> {
    let identities = IDENTITIES.map(identity);
    let networks = NETWORKS.map(network);
    (defaults(), identities, networks, vec(rule(), 0..12)).prop_map(
        |(defaults, identities, networks, rules)| {
            let mut head = defaults;
            head.extend(identities);
            head.extend(networks);
            accepted(&head, &rules)
        },
    )
}

/// Leaves out rules that would be refused: some mixtures of peers and traffic are about nothing.
fn accepted(head: &str, rules: &[String]) -> String {
    let number = |rules: &[&String]| {
        let mut text = head.to_owned();
        for (index, rule) in rules.iter().enumerate() {
            text.push_str(&rule.replace("NAME", &format!("rule {index:02}")));
        }
        text
    };
    let all: Vec<_> = rules.iter().collect();
    let text = number(&all);
    if read_policy(&text).is_some() {
        return text;
    }
    let good: Vec<_> = all
        .into_iter()
        .filter(|rule| read_policy(&number(&[rule])).is_some())
        .collect();
    number(&good)
}

fn defaults() -> impl Strategy<Value = String> {
    let action = || option::of(select(vec!["allow", "deny"]));
    let mode = option::weighted(0.3, select(vec!["enforce", "audit"]));
    (action(), action(), mode, action(), action(), action()).prop_map(
        |(ingress, egress, mode, unidentified, host_ingress, host_egress)| {
            let mut text = "[defaults]\n".to_owned();
            key(&mut text, "ingress", ingress);
            key(&mut text, "egress", egress);
            key(&mut text, "mode", mode);
            key(&mut text, "unidentified", unidentified);
            text.push_str("[defaults.host]\n");
            key(&mut text, "ingress", host_ingress);
            key(&mut text, "egress", host_egress);
            text
        },
    )
}

fn identity(name: &'static str) -> impl Strategy<Value = String> {
    let action = || option::weighted(0.3, select(vec!["allow", "deny"]));
    let mode = option::weighted(0.3, select(vec!["enforce", "audit"]));
    let condition = select(CONDITIONS.to_vec());
    (condition, action(), action(), mode).prop_map(move |(condition, ingress, egress, mode)| {
        let mut text = format!("[identities.{name}]\n{condition}\n");
        key(&mut text, "ingress", ingress);
        key(&mut text, "egress", egress);
        key(&mut text, "mode", mode);
        text
    })
}

fn network(name: &'static str) -> impl Strategy<Value = String> {
    vec((select(CIDRS.to_vec()), any::<bool>()), 1..4).prop_map(move |cidrs| {
        let except = cidrs.iter().filter(|(_, except)| *except);
        let except: Vec<_> = except.map(|((_, inner), _)| *inner).collect();
        let cidrs: Vec<_> = cidrs.iter().map(|((outer, _), _)| *outer).collect();
        let mut text = format!("[networks.{name}]\ncidrs = {cidrs:?}\n");
        if !except.is_empty() {
            writeln!(text, "except = {except:?}").expect("a string takes all");
        }
        text
    })
}

/// One rule; `NAME` stands for its name.
fn rule() -> impl Strategy<Value = String> {
    let local = vec(select(LOCAL.to_vec()), 1..3);
    let other = vec(select([LOCAL.as_slice(), &OUTSIDE].concat()), 1..3);
    let traffic = prop_oneof![
        2 => Just((Vec::new(), Vec::new(), Vec::new())),
        3 => (
            vec(select(PORTS.to_vec()), 0..3),
            vec(select(ICMP.to_vec()), 0..3),
            vec(select(PROTOCOLS.to_vec()), 0..2),
        ),
    ];
    let side = option::weighted(0.25, select(vec!["egress", "ingress"]));
    let deny = proptest::bool::weighted(0.3);
    let log = proptest::bool::weighted(0.2);
    (deny, local, other, any::<bool>(), traffic, side, log).prop_map(
        |(deny, local, other, outwards, (ports, icmp, protocols), side, log)| {
            let (from, to) = if outwards {
                (&local, &other)
            } else {
                (&other, &local)
            };
            let action = if deny { "deny" } else { "allow" };
            let mut text = format!("[[{action}]]\nname = \"NAME\"\nfrom = {from:?}\nto = {to:?}\n");
            for (key, list) in [("ports", ports), ("icmp", icmp), ("protocols", protocols)] {
                if !list.is_empty() {
                    writeln!(text, "{key} = {list:?}").expect("a string takes all");
                }
            }
            key(&mut text, "side", side);
            if log {
                text.push_str("log = true\n");
            }
            text
        },
    )
}

fn key(text: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        writeln!(text, "{key} = \"{value}\"").expect("a string takes all");
    }
}

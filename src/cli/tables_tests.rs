use pretty_assertions::assert_eq;

use super::*;
use crate::control::report::{Counter, Passage};

fn endpoint(name: &str, interface: &str, address: &str) -> EndpointReport {
    EndpointReport {
        number: 1,
        name: Some(name.to_owned()),
        container: Some("0123456789ab".to_owned()),
        image: Some("busybox".to_owned()),
        project: None,
        network: Some("space".to_owned()),
        interface: interface.to_owned(),
        ifindex: 7,
        bridge: Some("br-0123456789ab".to_owned()),
        mac: Some("02:42:ac:12:00:04".to_owned()),
        addresses: vec![address.parse().expect("address")],
        identities: vec!["empire".to_owned()],
        identity: Some(2),
        armed: true,
        sent: Passage {
            passed: Counter {
                packets: 1_200,
                bytes: 90_000,
            },
            dropped: Counter {
                packets: 3,
                bytes: 222,
            },
        },
        received: Passage::default(),
    }
}

fn three_endpoints() -> Vec<EndpointReport> {
    let deathstar = endpoint("deathstar", "veth1a2b3c4", "172.18.0.2");
    let mut xwing = endpoint("xwing", "veth2b3c4d5", "172.18.0.4");
    xwing.addresses.extend("fd00::4".parse::<IpAddr>());
    xwing.identities = vec!["alliance".to_owned(), "fighters".to_owned()];
    xwing.armed = false;
    let mut unnamed = endpoint("", "veth3c4d5e6", "172.18.0.5");
    unnamed.name = None;
    unnamed.network = None;
    unnamed.identities.clear();
    unnamed.addresses.clear();
    unnamed.sent = Passage::default();
    vec![deathstar, xwing, unnamed]
}

#[test]
fn endpoints_in_a_pipe_are_a_line_each() {
    assert_eq!(
        endpoints(&three_endpoints(), Style::PLAIN),
        "\
NAME       IDENTITIES          ADDRESSES            NETWORK          INTERFACE    STATE       SENT  RECEIVED  DROPPED
deathstar  empire              172.18.0.2           space            veth1a2b3c4  armed      1,200         0        3
xwing      alliance, fighters  172.18.0.4, fd00::4  space            veth2b3c4d5  not armed  1,200         0        3
-          -                   -                    br-0123456789ab  veth3c4d5e6  not named      0         0        0
"
    );
}

#[test]
fn a_narrow_terminal_hides_what_matters_least_rather_than_break_words() {
    let style = Style {
        color: false,
        width: Some(90),
    };
    assert_eq!(
        endpoints(&three_endpoints(), style),
        "\
NAME       IDENTITIES          ADDRESSES            NETWORK          STATE      DROPPED
deathstar  empire              172.18.0.2           space            armed            3
xwing      alliance, fighters  172.18.0.4, fd00::4  space            not armed        3
-          -                   -                    br-0123456789ab  not named        0
"
    );
    for width in 40..130 {
        let style = Style {
            color: false,
            width: Some(width),
        };
        for line in endpoints(&three_endpoints(), style).lines() {
            assert!(line.chars().count() <= usize::from(width), "{line}");
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let style = Style {
        color: true,
        width: None,
    };
    let colored = endpoints(&three_endpoints(), style);
    assert!(colored.contains("\u{1b}["), "{colored}");
    let mut plain = String::new();
    for (index, part) in colored.split('\u{1b}').enumerate() {
        let text = match part.split_once('m') {
            Some((_, text)) if index > 0 => text,
            _ => part,
        };
        plain.push_str(text);
    }
    let trimmed: Vec<_> = plain.lines().map(str::trim_end).collect();
    let expected = endpoints(&three_endpoints(), Style::PLAIN);
    assert_eq!(trimmed, expected.lines().collect::<Vec<_>>());
}

#[test]
fn identities_name_their_members() {
    let identity = |number, name: &str, kind: &str| IdentityReport {
        number,
        name: name.to_owned(),
        kind: kind.to_owned(),
        identities: Vec::new(),
        endpoints: Vec::new(),
        prefixes: 0,
    };
    let mut empire = identity(2, "empire", "endpoint");
    empire.endpoints = vec!["deathstar".to_owned(), "tiefighter".to_owned()];
    let mut office = identity(0x8000_0001, "office", "internet");
    office.prefixes = 1_234;
    assert_eq!(
        identities(&[identity(1, "host", "host"), empire, office], Style::PLAIN),
        "\
NAME    KIND      NUMBER      MEMBERS
host    host      1           -
empire  endpoint  2           deathstar, tiefighter
office  internet  internet:1  1,234 prefixes
"
    );
}

#[test]
fn rules_say_where_they_stand_and_how_often_they_decided() {
    let rule = |action: &str, name: &str, line, packets| RuleReport {
        number: 1,
        action: action.to_owned(),
        name: name.to_owned(),
        file: "/etc/bridgewall/policy.toml".into(),
        line,
        hits: Counter { packets, bytes: 0 },
    };
    assert_eq!(
        rules(
            &[
                rule("allow", "allow empire -> deathstar 80/tcp", 12, 12_345),
                rule("deny", "no rebels", 17, 0),
            ],
            Style::PLAIN
        ),
        "\
ACTION  RULE                              WHERE                           CONNECTIONS
allow   allow empire -> deathstar 80/tcp  /etc/bridgewall/policy.toml:12       12,345
deny    no rebels                         /etc/bridgewall/policy.toml:17            0
"
    );
}

#[test]
fn flows_say_when_there_are_more() {
    let end = |name: Option<&str>, address: &str, port| FlowEnd {
        address: address.parse().expect("address"),
        port,
        name: name.map(str::to_owned),
    };
    let report = FlowsReport {
        total: 5_000,
        flows: vec![
            FlowReport {
                protocol: "tcp".to_owned(),
                opener: end(Some("tiefighter"), "172.18.0.3", Some(40_112)),
                target: end(Some("deathstar"), "172.18.0.2", Some(80)),
                state: "established".to_owned(),
                generation: 12,
                idle: 4,
            },
            FlowReport {
                protocol: "icmpv6".to_owned(),
                opener: end(None, "2001:db8::1", None),
                target: end(Some("deathstar"), "fd00::2", None),
                state: "new".to_owned(),
                generation: 12,
                idle: 0,
            },
        ],
    };
    assert_eq!(
        flows(&report, Style::PLAIN),
        "\
PROTOCOL  FROM                         TO                       STATE        IDLE  GENERATION
tcp       tiefighter 172.18.0.3:40112  deathstar 172.18.0.2:80  established   4 s          12
icmpv6    2001:db8::1                  deathstar fd00::2        new           0 s          12
the 2 most recently active of 5,000 flows: see --limit
"
    );
}

#[test]
fn an_empty_list_says_what_that_means() {
    assert!(endpoints(&[], Style::PLAIN).contains("no endpoints"));
    assert!(rules(&[], Style::PLAIN).contains("the defaults decide"));
    let none = FlowsReport {
        total: 0,
        flows: Vec::new(),
    };
    assert_eq!(flows(&none, Style::PLAIN), "no flows\n");
}

#[test]
fn names_cannot_move_the_cursor() {
    let evil = endpoint("a\u{1b}[2J", "veth\u{7}", "172.18.0.2");
    let text = endpoints(&[evil], Style::PLAIN);
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{7}'),
        "{text}"
    );
}

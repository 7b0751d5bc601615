//! How compiled things are called towards people.

use bridgewall::compile::names;
use bridgewall::policy::traffic::{Interval, Selector, protocol};

use crate::build::{all, closed, containers, tcp};

#[test]
fn parts_of_the_line_are_said_in_the_words_of_the_policy_file() {
    let port = Selector::port;
    let icmp = Selector::icmp;
    let cases = [
        (port(protocol::TCP, 80), port(protocol::TCP, 80), "80/tcp"),
        (
            port(protocol::UDP, 8000),
            port(protocol::UDP, 8100),
            "8000-8100/udp",
        ),
        (
            port(protocol::SCTP, 0),
            port(protocol::SCTP, u16::MAX),
            "sctp",
        ),
        (
            icmp(protocol::ICMP, 8, 0),
            icmp(protocol::ICMP, 8, 255),
            "icmp type 8",
        ),
        (
            icmp(protocol::ICMP, 0, 0),
            icmp(protocol::ICMP, 0, 0),
            "icmp type 0/0",
        ),
        (
            icmp(protocol::ICMPV6, 1, 0),
            icmp(protocol::ICMPV6, 4, 255),
            "icmpv6 types 1-4",
        ),
        (
            icmp(protocol::ICMP, 3, 4),
            icmp(protocol::ICMP, 5, 1),
            "icmp types 3/4-5/1",
        ),
        (Selector::protocol(47), port(47, u16::MAX), "protocol 47"),
        (Selector::FIRST, Selector::LAST, "all"),
        (
            Selector::FIRST,
            port(protocol::TCP, 79),
            "protocols 0-5, 0-79/tcp",
        ),
        (
            port(protocol::TCP, 81),
            port(protocol::UDP, u16::MAX),
            "81-65535/tcp, protocols 7-17",
        ),
        (
            port(protocol::TCP, 81),
            port(7, u16::MAX),
            "81-65535/tcp, protocol 7",
        ),
        (
            port(protocol::TCP, 81),
            port(7, 0),
            "81-65535/tcp, protocol 7",
        ),
    ];
    for (first, last, expected) in cases {
        let interval = Interval::new(first, last).unwrap();
        assert_eq!(names::interval(interval), expected);
    }
}

#[test]
fn a_rule_without_a_name_is_called_by_what_it_says() {
    let world = closed()
        .identity("db")
        .identity("web")
        .network("office", &["203.0.113.0/24"], &[])
        .allow("web", "db", tcp(3306))
        .deny("office, lan, host, 10.0.0.0/8, web", "any", all())
        .on(containers(&[]));
    let rules = &world.policy.rules;
    assert_eq!(
        names::rule(&world.policy, &rules[0]),
        "allow web -> db 3306/tcp"
    );
    assert_eq!(
        names::rule(&world.policy, &rules[1]),
        "deny office, lan, host and 2 more -> any all"
    );
    let mut named = rules[1].clone();
    named.name = Some("nobody from there".to_owned());
    assert_eq!(names::rule(&world.policy, &named), "nobody from there");
}

#[test]
fn numbers_are_called_by_what_they_stand_for() {
    let world = closed()
        .identity("db")
        .identity("web")
        .allow("same-project", "db", all())
        .on(containers(&["a: db, web @shop", "b: web", "c: @shop"]));
    let name = |who| &world.compiled.identities[&world.number(who)].name[..];
    assert_eq!(name("a"), "db+web (shop)");
    assert_eq!(name("b"), "web");
    assert_eq!(name("c"), "unidentified (shop)");
    assert_eq!(name("host"), "host");
    assert_eq!(name("192.168.1.1"), "lan");
    assert_eq!(name("8.8.8.8"), "internet");
}

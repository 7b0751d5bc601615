//! Every point of the policy language's semantics that the compiler decides, one claim each.

use bridgewall::policy::model::{Action, Defaults, Mode, Side};
use bridgewall::policy::traffic::{Selector, Traffic, protocol};
use bridgewall::state::numbers::{IdentityNumber, RuleNumber};
use bridgewall::state::steps::Verdict::{Allow, Audit, Deny, Drop};

use crate::build::{
    HTTP, HTTPS, MYSQL, PING, all, closed, containers, ping, ports, side, tcp, with_defaults,
};

const OUTSIDE: &str = "198.51.100.7";
const INSIDE: &str = "192.168.7.7";

#[test]
fn without_rules_the_defaults_decide() {
    let world = with_defaults(Defaults::default())
        .identity("web")
        .on(containers(&["web1: web"]));
    assert_eq!(world.verdict("web1", OUTSIDE, HTTP), Allow);
    assert_eq!(world.verdict(OUTSIDE, "web1", HTTP), Drop);
    assert_eq!(
        world.ingress(OUTSIDE, "web1", HTTP).rule,
        RuleNumber::DEFAULT
    );
    assert_eq!(world.verdict("host", OUTSIDE, HTTP), Allow);
    assert_eq!(world.verdict(OUTSIDE, "host", HTTP), Allow);
}

#[test]
fn one_rule_speaks_for_both_sides() {
    let world = closed()
        .identity("db")
        .identity("web")
        .allow("web", "db", tcp(3306))
        .on(containers(&["web1: web", "db1: db"]));
    let judged = world.judge("web1", "db1", MYSQL);
    assert_eq!(judged.verdict, Allow);
    assert_eq!(world.rule_of(judged.egress.unwrap()), Some(0));
    assert_eq!(world.rule_of(judged.ingress.unwrap()), Some(0));
    assert_eq!(world.verdict("db1", "web1", MYSQL), Drop);
    assert_eq!(world.verdict("web1", "db1", HTTP), Drop);
}

#[test]
fn a_rule_for_egress_opens_no_ingress() {
    let world = closed()
        .identity("db")
        .identity("web")
        .rule(Action::Allow, "web", "any", all(), side(Side::Egress))
        .on(containers(&["web1: web", "db1: db"]));
    assert_eq!(world.egress("web1", "db1", MYSQL).verdict, Allow);
    assert_eq!(world.ingress("web1", "db1", MYSQL).verdict, Drop);
    assert_eq!(world.verdict("web1", OUTSIDE, HTTP), Allow);
}

#[test]
fn a_rule_for_ingress_opens_no_egress() {
    let world = closed()
        .identity("db")
        .identity("web")
        .rule(Action::Allow, "any", "db", all(), side(Side::Ingress))
        .on(containers(&["web1: web", "db1: db"]));
    assert_eq!(world.egress("web1", "db1", MYSQL).verdict, Drop);
    assert_eq!(world.ingress("web1", "db1", MYSQL).verdict, Allow);
}

#[test]
fn deny_beats_allow_whatever_the_order_or_how_specific() {
    for deny_first in [true, false] {
        let builder = closed().identity("web");
        let builder = if deny_first {
            builder
                .deny("any", "containers", all())
                .allow("203.0.113.9/32", "web", tcp(80))
        } else {
            builder
                .allow("203.0.113.9/32", "web", tcp(80))
                .deny("any", "containers", all())
        };
        let world = builder.on(containers(&["web1: web"]));
        let step = world.ingress("203.0.113.9", "web1", HTTP);
        assert_eq!(step.verdict, Deny);
        assert_eq!(world.rule_of(step), Some(if deny_first { 0 } else { 1 }));
    }
}

#[test]
fn rules_are_a_union() {
    let world = closed()
        .identity("web")
        .allow("internet", "web", tcp(80))
        .allow("internet", "web", tcp(443))
        .on(containers(&["web1: web"]));
    assert_eq!(world.verdict(OUTSIDE, "web1", HTTP), Allow);
    assert_eq!(world.verdict(OUTSIDE, "web1", HTTPS), Allow);
    assert_eq!(world.verdict(OUTSIDE, "web1", MYSQL), Drop);
}

#[test]
fn of_several_rules_the_first_deny_is_named_else_the_first_allow() {
    let world = closed()
        .identity("web")
        .allow("any", "web", ports(protocol::TCP, 1, 100))
        .allow("internet", "web", tcp(80))
        .deny("any", "web", tcp(443))
        .deny("internet", "web", ports(protocol::TCP, 400, 500))
        .on(containers(&["web1: web"]));
    let named = |selector| world.rule_of(world.ingress(OUTSIDE, "web1", selector));
    assert_eq!(named(HTTP), Some(0));
    assert_eq!(named(HTTPS), Some(2));
    assert_eq!(named(Selector::port(protocol::TCP, 444)), Some(3));
    assert_eq!(named(MYSQL), None);
}

#[test]
fn only_the_rule_that_decides_asks_for_an_event() {
    let world = closed()
        .identity("web")
        .allow("any", "web", tcp(80))
        .rule(Action::Allow, "any", "web", all(), |rule| rule.log = true)
        .on(containers(&["web1: web"]));
    assert!(!world.ingress(OUTSIDE, "web1", HTTP).log);
    assert!(world.ingress(OUTSIDE, "web1", HTTPS).log);
}

#[test]
fn a_port_rule_covers_neither_icmp_nor_other_protocols() {
    let world = closed()
        .identity("web")
        .allow("any", "web", ports(protocol::TCP, 1, u16::MAX))
        .on(containers(&["web1: web"]));
    let verdict = |selector| world.verdict(OUTSIDE, "web1", selector);
    assert_eq!(verdict(Selector::port(protocol::TCP, 1)), Allow);
    assert_eq!(verdict(Selector::port(protocol::TCP, u16::MAX)), Allow);
    assert_eq!(verdict(Selector::port(protocol::UDP, 80)), Drop);
    assert_eq!(verdict(PING), Drop);
    assert_eq!(verdict(Selector::protocol(47)), Drop);
}

#[test]
fn echo_requests_allowed_open_no_other_icmp_and_no_port() {
    let world = closed()
        .identity("web")
        .allow("any", "web", ping())
        .on(containers(&["web1: web"]));
    let verdict = |selector| world.verdict(OUTSIDE, "web1", selector);
    assert_eq!(verdict(PING), Allow);
    assert_eq!(verdict(Selector::icmp(protocol::ICMPV6, 128, 0)), Allow);
    for (protocol, icmp_type) in [
        (protocol::ICMP, 0),
        (protocol::ICMP, 7),
        (protocol::ICMP, 9),
    ] {
        assert_eq!(verdict(Selector::icmp(protocol, icmp_type, 0)), Drop);
    }
    assert_eq!(verdict(Selector::icmp(protocol::ICMPV6, 8, 0)), Drop);
    assert_eq!(verdict(HTTP), Drop);
}

#[test]
fn echo_replies_are_a_type_and_no_wildcard() {
    let reply = Selector::icmp(protocol::ICMP, 0, 0);
    let interval = bridgewall::policy::traffic::Interval::new(reply, reply).unwrap();
    let world = closed()
        .identity("web")
        .allow(
            "any",
            "web",
            Traffic::new(vec![interval], "ipv4:0/0".to_owned()),
        )
        .on(containers(&["web1: web"]));
    assert_eq!(world.verdict(OUTSIDE, "web1", reply), Allow);
    assert_eq!(world.verdict(OUTSIDE, "web1", PING), Drop);
    assert_eq!(
        world.verdict(OUTSIDE, "web1", Selector::icmp(protocol::ICMP, 0, 1)),
        Drop
    );
}

/// Who can open to the target when one rule allows one peer to `db`.
fn reaches(peer: &str) -> Vec<&'static str> {
    let world = closed()
        .identity("db")
        .identity("web")
        .network("office", &["203.0.113.0/24"], &["203.0.113.66/32"])
        .allow(peer, "db", all())
        .on(containers(&[
            "web1: web @shop",
            "db1: db @shop",
            "other: @blog",
            "lone:",
        ]));
    let everybody = [
        "host",
        "web1",
        "other",
        "lone",
        OUTSIDE,
        INSIDE,
        "203.0.113.5",
        "203.0.113.66",
        "100.64.0.1",
        "fd00::1",
        "fe80::1",
        "2001:db8::1",
    ];
    everybody
        .into_iter()
        .filter(|who| world.verdict(who, "db1", MYSQL) == Allow)
        .collect()
}

#[test]
fn peers_mean_exactly_who_they_say() {
    let lan = [INSIDE, "100.64.0.1", "fd00::1", "fe80::1"];
    let internet = [OUTSIDE, "203.0.113.5", "203.0.113.66", "2001:db8::1"];
    assert_eq!(reaches("any").len(), 12);
    assert_eq!(reaches("host"), ["host"]);
    assert_eq!(reaches("containers"), ["web1", "other", "lone"]);
    assert_eq!(reaches("lan"), lan);
    assert_eq!(reaches("internet"), internet);
    assert_eq!(reaches("world").len(), lan.len() + internet.len());
    assert_eq!(reaches("same-project"), ["web1"]);
    assert_eq!(reaches("web"), ["web1"]);
    assert_eq!(reaches("office"), ["203.0.113.5"]);
    assert_eq!(reaches("203.0.113.64/26"), ["203.0.113.66"]);
    assert_eq!(reaches("office, host"), ["host", "203.0.113.5"]);
}

#[test]
fn a_cidr_never_matches_an_endpoint_or_the_host() {
    let world = closed()
        .identity("db")
        .identity("web")
        .allow("0.0.0.0/0", "db", all())
        .allow("172.18.0.0/16", "db", all())
        .on(containers(&["web1: web", "db1: db"]));
    assert_eq!(world.ingress("web1", "db1", MYSQL).verdict, Drop);
    assert_eq!(world.ingress("host", "db1", MYSQL).verdict, Drop);
    assert_eq!(world.verdict("172.18.9.9", "db1", MYSQL), Allow);
}

#[test]
fn same_project_holds_only_between_two_of_one_project() {
    for (from, to) in [
        ("same-project", "containers"),
        ("containers", "same-project"),
    ] {
        let world = closed()
            .identity("web")
            .allow(from, to, all())
            .on(containers(&[
                "a: web @shop",
                "b: @shop",
                "c: web @blog",
                "d: web",
                "e: web",
            ]));
        assert_eq!(world.verdict("a", "b", HTTP), Allow);
        assert_eq!(world.verdict("b", "a", HTTP), Allow);
        assert_eq!(world.verdict("a", "a", HTTP), Allow);
        assert_eq!(world.verdict("a", "c", HTTP), Drop);
        assert_eq!(world.verdict("a", "d", HTTP), Drop);
        assert_eq!(world.verdict("d", "e", HTTP), Drop);
        assert_eq!(world.verdict("host", "a", HTTP), Drop);
    }
}

#[test]
fn same_project_is_met_by_the_named_other_side_only() {
    let world = closed()
        .identity("db")
        .identity("web")
        .allow("same-project", "db", tcp(3306))
        .on(containers(&[
            "web1: web @shop",
            "db1: db @shop",
            "db2: db @blog",
        ]));
    assert_eq!(world.verdict("web1", "db1", MYSQL), Allow);
    assert_eq!(world.verdict("web1", "db2", MYSQL), Drop);
    assert_eq!(world.verdict("db1", "web1", MYSQL), Drop);
}

#[test]
fn unidentified_endpoints_are_left_alone_but_for_denies() {
    let world = with_defaults(Defaults {
        egress: Action::Deny,
        ..Defaults::default()
    })
    .identity("db")
    .deny("containers", "203.0.113.0/24", all())
    .on(containers(&["lone:", "db1: db"]));
    assert_eq!(world.verdict("lone", OUTSIDE, HTTP), Allow);
    assert_eq!(world.verdict(OUTSIDE, "lone", HTTP), Allow);
    assert_eq!(world.verdict("lone", "203.0.113.1", HTTP), Deny);
    // Its peers still judge theirs.
    assert_eq!(world.egress("lone", "db1", MYSQL).verdict, Allow);
    assert_eq!(world.verdict("lone", "db1", MYSQL), Drop);
    assert_eq!(world.verdict("db1", "lone", MYSQL), Drop);
}

#[test]
fn unidentified_endpoints_follow_the_defaults_where_the_policy_says_so() {
    let world = with_defaults(Defaults {
        unidentified: Action::Deny,
        ..Defaults::default()
    })
    .identity("db")
    .on(containers(&["lone:"]));
    assert_eq!(world.verdict(OUTSIDE, "lone", HTTP), Drop);
    assert_eq!(world.verdict("lone", OUTSIDE, HTTP), Allow);
}

#[test]
fn an_identity_overrides_the_defaults_in_either_direction() {
    let world = with_defaults(Defaults::default())
        .identity_with("db", |db| db.egress = Some(Action::Deny))
        .identity_with("web", |web| web.ingress = Some(Action::Allow))
        .on(containers(&["web1: web", "db1: db"]));
    assert_eq!(world.verdict(OUTSIDE, "web1", HTTP), Allow);
    assert_eq!(world.verdict("db1", OUTSIDE, HTTP), Drop);
    assert_eq!(world.verdict("web1", OUTSIDE, HTTP), Allow);
}

#[test]
fn the_strictest_of_several_identities_settings_holds() {
    let world = with_defaults(Defaults {
        mode: Mode::Audit,
        ..Defaults::default()
    })
    .identity_with("lax", |lax| {
        lax.ingress = Some(Action::Allow);
        lax.mode = Some(Mode::Audit);
    })
    .identity_with("strict", |strict| {
        strict.ingress = Some(Action::Deny);
        strict.mode = Some(Mode::Enforce);
    })
    .on(containers(&["a: lax", "b: strict", "c: lax, strict"]));
    assert_eq!(world.verdict(OUTSIDE, "a", HTTP), Allow);
    assert_eq!(world.verdict(OUTSIDE, "b", HTTP), Drop);
    assert_eq!(world.verdict(OUTSIDE, "c", HTTP), Drop);
}

#[test]
fn one_identity_more_never_loosens_a_default() {
    let world = with_defaults(Defaults::default())
        .identity("db")
        .identity_with("open", |open| {
            open.ingress = Some(Action::Allow);
            open.mode = Some(Mode::Audit);
        })
        .on(containers(&["a: db", "b: db, open", "c: open"]));
    assert_eq!(world.verdict(OUTSIDE, "a", HTTP), Drop);
    assert_eq!(world.verdict(OUTSIDE, "b", HTTP), Drop);
    assert_eq!(world.verdict(OUTSIDE, "c", HTTP), Allow);
}

#[test]
fn audit_turns_drops_and_denies_of_that_side_into_reports() {
    let world = closed()
        .identity_with("db", |db| db.mode = Some(Mode::Audit))
        .identity("web")
        .deny("any", "db", tcp(80))
        .on(containers(&["web1: web", "db1: db"]));
    assert_eq!(world.verdict(OUTSIDE, "db1", MYSQL), Audit);
    let denied = world.ingress(OUTSIDE, "db1", HTTP);
    assert_eq!(denied.verdict, Audit);
    assert_eq!(world.rule_of(denied), Some(0));
    // The other side still decides for itself.
    let judged = world.judge("web1", "db1", MYSQL);
    assert_eq!(judged.ingress.unwrap().verdict, Audit);
    assert_eq!((judged.verdict, judged.side), (Drop, Side::Egress));
}

#[test]
fn the_host_audits_where_the_defaults_do() {
    for (mode, expected) in [(Mode::Audit, Audit), (Mode::Enforce, Drop)] {
        let world = with_defaults(Defaults {
            mode,
            host_egress: Action::Deny,
            ..Defaults::default()
        })
        .on(containers(&[]));
        assert_eq!(world.verdict("host", OUTSIDE, HTTP), expected);
    }
}

#[test]
fn the_host_and_a_container_judge_both_sides_between_them() {
    let world = with_defaults(Defaults {
        host_egress: Action::Deny,
        ..Defaults::default()
    })
    .identity("web")
    .rule(Action::Allow, "host", "web", tcp(80), side(Side::Ingress))
    .allow("host", "web", tcp(443))
    .on(containers(&["web1: web"]));
    let http = world.judge("host", "web1", HTTP);
    assert_eq!((http.verdict, http.side), (Drop, Side::Egress));
    assert_eq!(http.ingress.unwrap().verdict, Allow);
    assert_eq!(world.verdict("host", "web1", HTTPS), Allow);
    assert_eq!(world.verdict("web1", "host", HTTPS), Allow);
}

#[test]
fn a_blocklist_denies_both_ways_only_as_written() {
    let world = with_defaults(Defaults::default())
        .identity("web")
        .network("blocklist", &["203.0.113.0/24"], &[])
        .allow("internet", "web", tcp(80))
        .deny("blocklist", "any", all())
        .on(containers(&["web1: web"]));
    assert_eq!(world.verdict("203.0.113.7", "web1", HTTP), Deny);
    assert_eq!(world.verdict("203.0.113.7", "host", HTTP), Deny);
    assert_eq!(world.verdict(OUTSIDE, "web1", HTTP), Allow);
    assert_eq!(world.verdict("web1", "203.0.113.7", HTTP), Allow);
}

#[test]
fn endpoints_that_the_policy_cannot_tell_apart_share_a_number() {
    let lines = ["a: web, x=1 @shop", "b: web @blog", "c: @shop", "d:"];
    let world = closed()
        .identity("web")
        .allow("web", "any", all())
        .on(containers(&lines));
    assert_eq!(world.number("a"), world.number("b"));
    assert_eq!(world.number("c"), world.number("d"));
    assert_ne!(world.number("a"), world.number("c"));

    let world = closed()
        .identity("web")
        .allow("same-project", "web", all())
        .on(containers(&lines));
    assert_ne!(world.number("a"), world.number("b"));
    assert_ne!(world.number("c"), world.number("d"));
}

#[test]
fn an_endpoint_without_an_owner_gets_no_number() {
    let mut inventory = containers(&["a: web", "b: web"]);
    for endpoint in inventory.endpoints.values_mut() {
        endpoint.owner = None;
    }
    let world = closed().identity("web").on(inventory);
    assert!(world.compiled.endpoints.is_empty());
    let subjects: Vec<_> = world.compiled.subjects.keys().collect();
    assert_eq!(subjects, [&IdentityNumber::HOST]);
}

#[test]
fn only_peers_that_a_rule_names_have_lists_of_their_own() {
    let names: Vec<String> = (10..50).map(|n| format!("role{n}")).collect();
    let lines: Vec<String> = names
        .iter()
        .map(|name| format!("c-{name}: {name}"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let world = names
        .iter()
        .fold(closed(), |builder, name| builder.identity(name))
        .allow("any", "containers", tcp(80))
        .allow("role10", "role11", tcp(3306))
        .on(containers(&lines));
    // Egress of role10 towards role11, and ingress of role11 from role10.
    assert_eq!(world.compiled.pairs.len(), 2);
}

#[test]
fn a_list_that_says_what_the_generic_one_says_is_left_out() {
    let world = closed()
        .identity("db")
        .identity("web")
        .deny("any", "any", all())
        .allow("web", "db", tcp(80))
        .on(containers(&["web1: web", "db1: db"]));
    assert_eq!(world.verdict("web1", "db1", HTTP), Deny);
    assert!(world.compiled.pairs.is_empty());
}

#[test]
fn a_number_in_no_map_has_no_judgement() {
    let world = closed().on(containers(&[]));
    let nobody = IdentityNumber(77);
    assert_eq!(
        world.compiled.judge(nobody, IdentityNumber::HOST, HTTP),
        None
    );
}

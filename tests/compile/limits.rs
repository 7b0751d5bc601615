//! A policy that does not fit is refused whole, and the message says what to do.

use bridgewall::compile::compile;
use bridgewall::compile::limits::{LimitErrors, Limits, Need, Needs, Resource};
use bridgewall::compile::numbering::Numbering;
use bridgewall::policy::traffic::{Traffic, protocol};

use crate::build::{Builder, all, closed, containers, ports, tcp};

fn refusal(builder: &Builder, lines: &[&str], limits: &Limits) -> LimitErrors {
    let inventory = containers(lines);
    compile(
        &builder.policy,
        &inventory,
        &mut Numbering::default(),
        limits,
    )
    .unwrap_err()
}

fn full() -> Builder {
    closed()
        .identity("db")
        .identity("web")
        .network("office", &["203.0.113.0/24", "2001:db8::/32"], &[])
        .allow("web", "db", tcp(3306))
        .allow("office", "web", tcp(80))
}

#[test]
fn everything_is_counted() {
    let lines = ["web1: web", "db1: db", "lone:"];
    let world = full().on(containers(&lines));
    let needs = Needs::of(&world.compiled, &world.inventory);
    // web towards db, db towards web, and web towards the office.
    assert_eq!(needs.pairs, 3);
    assert_eq!(needs.networks4, 11);
    assert_eq!(needs.networks6, 8);
    assert_eq!((needs.rules, needs.identities, needs.endpoints), (2, 3, 3));
    assert_eq!(needs.addresses, 6);
    // "Drop", and two of "drop, allow, drop" with different rules.
    assert_eq!(needs.steps, 1 + 3 + 3);
    needs.check(&Limits::default()).unwrap();
}

type Field = fn(&mut Limits) -> &mut usize;

#[test]
fn each_limit_refuses_with_its_need() {
    let lines = ["web1: web", "db1: db", "lone:"];
    let world = full().on(containers(&lines));
    let needs = Needs::of(&world.compiled, &world.inventory);
    let all: [(Resource, usize, Field); 8] = [
        (Resource::Steps, needs.steps, |limits| &mut limits.steps),
        (Resource::Pairs, needs.pairs, |limits| &mut limits.pairs),
        (Resource::Networks4, needs.networks4, |limits| {
            &mut limits.networks4
        }),
        (Resource::Networks6, needs.networks6, |limits| {
            &mut limits.networks6
        }),
        (Resource::Rules, needs.rules, |limits| &mut limits.rules),
        (Resource::Identities, needs.identities, |limits| {
            &mut limits.identities
        }),
        (Resource::Endpoints, needs.endpoints, |limits| {
            &mut limits.endpoints
        }),
        (Resource::Addresses, needs.addresses, |limits| {
            &mut limits.addresses
        }),
    ];
    for (resource, need, field) in all {
        let mut limits = Limits::default();
        *field(&mut limits) = need;
        let inventory = containers(&lines);
        compile(
            &full().policy,
            &inventory,
            &mut Numbering::default(),
            &limits,
        )
        .unwrap();
        *field(&mut limits) = need - 1;
        let LimitErrors(errors) = refusal(&full(), &lines, &limits);
        assert_eq!(errors.len(), 1, "{resource:?}");
        assert_eq!(errors[0].resource, resource);
        assert_eq!(errors[0].need, Need::Exactly(need));
        assert_eq!(errors[0].limit, need - 1);
    }
}

#[test]
fn all_that_does_not_fit_is_reported_at_once() {
    let limits = Limits {
        networks4: 5,
        rules: 1,
        ..Limits::default()
    };
    let errors = refusal(&full(), &["web1: web"], &limits);
    assert_eq!(
        errors.to_string(),
        "the policy needs 11 IPv4 prefixes, the limit is 5: raise `limits.networks4` in \
         bridgewall.toml, or join neighbouring prefixes in the network files\n\
         the policy needs 2 rules, the limit is 1: raise `limits.rules` in bridgewall.toml, or join \
         rules that differ only in their peers: `from` and `to` take lists"
    );
}

#[test]
fn counting_stops_long_before_memory_does() {
    let builder = (1..2000).fold(closed().identity("web"), |builder, port| {
        builder.allow("any", "web", tcp(port * 2))
    });
    let limits = Limits {
        steps: 100,
        ..Limits::default()
    };
    let LimitErrors(errors) = refusal(&builder, &["web1: web"], &limits);
    assert!(
        matches!(errors[0].need, Need::MoreThan(need) if need > 800),
        "{errors:?}"
    );
}

#[test]
fn a_list_too_long_for_the_kernels_search_is_refused() {
    let every_other = |protocol| {
        (0..u16::MAX / 2).map(move |half| {
            *ports(protocol, 2 * half + 1, 2 * half + 1)
                .intervals()
                .first()
                .unwrap()
        })
    };
    let intervals = every_other(protocol::TCP)
        .chain(every_other(protocol::UDP))
        .chain(every_other(protocol::SCTP));
    let traffic = Traffic::new(intervals.collect(), "many".to_owned());
    let builder = closed().identity("web").allow("any", "web", traffic);
    let limits = Limits {
        steps: 1 << 20,
        ..Limits::default()
    };
    let LimitErrors(errors) = refusal(&builder, &["web1: web"], &limits);
    assert_eq!(errors[0].resource, Resource::ListSteps);
}

#[test]
fn equal_lists_are_counted_once() {
    let lines: Vec<String> = (0..50).map(|n| format!("c{n}: web, x{n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let world = closed()
        .identity("web")
        .allow("any", "web", all())
        .on(containers(&lines));
    assert_eq!(Needs::of(&world.compiled, &world.inventory).steps, 2);
}

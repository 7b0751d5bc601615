//! `[[test]]`s: what holds, and what is said of what does not.

use bridgewall::compile::checks::{TestFailure, run_tests};
use bridgewall::policy::model::{Action, Defaults, Mode};
use bridgewall::policy::traffic::protocol;
use pretty_assertions::assert_eq;

use crate::build::{Builder, all, containers, ping, ports, tcp, with_defaults};

fn policy() -> Builder {
    with_defaults(Defaults::default())
        .identity("db")
        .identity("web")
        .network("office", &["203.0.113.0/24"], &[])
        .allow("web", "db", tcp(3306))
        .allow("office", "web", tcp(80))
}

fn failures(builder: Builder, lines: &[&str]) -> Vec<TestFailure> {
    let world = builder.on(containers(lines));
    run_tests(&world.policy, &world.compiled).unwrap()
}

#[test]
fn tests_that_hold_say_nothing() {
    let builder = policy()
        .test("web", "db", tcp(3306), Action::Allow)
        .test("internet", "db", tcp(3306), Action::Deny)
        .test("office", "web", tcp(80), Action::Allow)
        .test("203.0.113.9", "web", tcp(80), Action::Allow)
        .test("198.51.100.1", "web", tcp(80), Action::Deny)
        .test("any", "db", tcp(22), Action::Deny)
        .test("containers", "internet", ping(), Action::Allow);
    assert_eq!(failures(builder, &[]), []);
}

#[test]
fn a_test_that_fails_says_where_it_stands_and_who_decided() {
    let builder = policy().test("web", "db", tcp(3306), Action::Allow).test(
        "web",
        "db",
        tcp(3306),
        Action::Deny,
    );
    let failures = failures(builder, &["web1: web", "db1: db"]);
    assert_eq!(failures.len(), 1);
    assert_eq!(
        failures[0].to_string(),
        "policy.toml:301: a test expects \"drop\"\n\
         web -> db, 3306/tcp: allowed\n\
         \n\
         \x20 egress   allow  rule allow web -> db 3306/tcp (policy.toml:1)\n\
         \x20 ingress  allow  rule allow web -> db 3306/tcp (policy.toml:1)\n"
    );
}

#[test]
fn a_deny_is_a_drop() {
    let builder = policy()
        .deny("any", "db", all())
        .test("web", "db", tcp(3306), Action::Deny);
    assert_eq!(failures(builder, &[]), []);
}

#[test]
fn a_test_must_hold_for_everybody_it_is_about() {
    // Not for the part of the internet that is the office.
    let builder = policy().test("internet", "web", tcp(80), Action::Deny);
    assert_eq!(failures(builder, &[]).len(), 1);
    // Not for `web`, which is one of the containers.
    let builder = policy().test("containers", "db", tcp(3306), Action::Deny);
    assert_eq!(failures(builder, &[]).len(), 1);
}

#[test]
fn a_test_must_hold_for_all_of_its_traffic() {
    let traffic = ports(protocol::TCP, 3306, 3307);
    for expect in [Action::Allow, Action::Deny] {
        let builder = policy().test("web", "db", traffic.clone(), expect);
        assert_eq!(failures(builder, &[]).len(), 1);
    }
}

#[test]
fn a_test_must_hold_for_every_set_that_runs() {
    let builder = || {
        policy()
            .identity_with("zone", |_| {})
            .deny("any", "zone", all())
            .test("web", "db", tcp(3306), Action::Allow)
    };
    assert_eq!(failures(builder(), &["db1: db"]), []);
    assert_eq!(failures(builder(), &["db1: db, zone"]).len(), 1);
}

#[test]
fn what_passes_only_because_of_audit_counts_as_dropped() {
    let audited = |expect| {
        with_defaults(Defaults {
            mode: Mode::Audit,
            ..Defaults::default()
        })
        .identity("db")
        .test("internet", "db", tcp(3306), expect)
    };
    assert_eq!(failures(audited(Action::Deny), &[]), []);
    assert_eq!(failures(audited(Action::Allow), &[]).len(), 1);
}

#[test]
fn a_test_about_nothing_that_passes_here_fails() {
    let builder = policy().test("internet", "office", tcp(80), Action::Allow);
    let failures = failures(builder, &[]);
    assert!(failures[0].to_string().contains("nothing to judge"));
}

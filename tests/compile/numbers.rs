//! Numbers stay while what they stand for stays, and come back only when nothing can hold them.

use bridgewall::compile::compile;
use bridgewall::compile::compiled::Compiled;
use bridgewall::compile::limits::Limits;
use bridgewall::compile::numbering::Numbering;
use bridgewall::policy::model::Action;
use bridgewall::state::numbers::{EndpointNumber, IdentityNumber};

use crate::build::{Builder, all, closed, containers, ping, tcp};

struct Daemon {
    numbering: Numbering,
    limits: Limits,
}

impl Daemon {
    fn new() -> Self {
        Self {
            numbering: Numbering::default(),
            limits: Limits::default(),
        }
    }

    fn load(&mut self, builder: &Builder, lines: &[&str]) -> Compiled {
        let inventory = containers(lines);
        compile(
            &builder.policy,
            &inventory,
            &mut self.numbering,
            &self.limits,
        )
        .unwrap()
    }
}

fn number(compiled: &Compiled, place: u32) -> IdentityNumber {
    compiled.endpoints[&EndpointNumber(place)]
}

fn rule_number(compiled: &Compiled, index: usize) -> u32 {
    let mut rules = compiled.rules.iter();
    rules.find(|(_, info)| info.index == index).unwrap().0.0
}

#[test]
fn a_new_identity_changes_no_other_ones_number() {
    let mut daemon = Daemon::new();
    let before = closed().identity("db").identity("web");
    let after = closed().identity("admin").identity("db").identity("web");
    let first = daemon.load(&before, &["a: db", "b: web", "c: db, web"]);
    let second = daemon.load(&after, &["a: db", "b: web", "c: db, web", "d: admin"]);
    for place in 1..=3 {
        assert_eq!(number(&first, place), number(&second, place));
    }
    assert_eq!(second.endpoints.len(), 4);
}

#[test]
fn a_container_that_restarts_finds_its_number_again() {
    let mut daemon = Daemon::new();
    let policy = closed().identity("db").identity("web");
    let first = daemon.load(&policy, &["a: db", "b: web"]);
    daemon.load(&policy, &["b: web"]);
    let third = daemon.load(&policy, &["x: web", "y: db"]);
    assert_eq!(number(&first, 1), number(&third, 2));
    assert_eq!(number(&first, 2), number(&third, 1));
}

#[test]
fn a_freed_number_waits_until_both_slots_have_forgotten_it() {
    let mut daemon = Daemon::new();
    let policy = closed()
        .identity("a")
        .identity("b")
        .identity("c")
        .identity("d")
        .identity("e");
    let freed = number(&daemon.load(&policy, &["1: a"]), 1);
    assert_ne!(
        number(&daemon.load(&policy, &["1: b"]), 1),
        freed,
        "the current slot has it"
    );
    assert_ne!(
        number(&daemon.load(&policy, &["1: c"]), 1),
        freed,
        "the other slot has it"
    );
    assert_eq!(number(&daemon.load(&policy, &["1: d"]), 1), freed);
}

#[test]
fn moving_a_rule_in_the_file_changes_no_number() {
    let mut daemon = Daemon::new();
    let base = closed().identity("db").identity("web");
    let before = base
        .clone()
        .allow("web", "db", tcp(3306))
        .deny("any", "db", ping())
        .allow("any", "web", tcp(80));
    let after = base
        .allow("any", "web", tcp(80))
        .allow("web", "db", tcp(3306))
        .deny("any", "db", ping());
    let first = daemon.load(&before, &[]);
    let second = daemon.load(&after, &[]);
    for (old, new) in [(0, 1), (1, 2), (2, 0)] {
        assert_eq!(rule_number(&first, old), rule_number(&second, new));
    }
}

#[test]
fn the_order_and_repetition_of_a_rules_peers_do_not_matter() {
    let mut daemon = Daemon::new();
    let base = closed().identity("db").identity("web");
    let first = daemon.load(&base.clone().allow("web, host", "db", all()), &[]);
    let second = daemon.load(&base.allow("host, web, host", "db", all()), &[]);
    assert_eq!(rule_number(&first, 0), rule_number(&second, 0));
}

#[test]
fn rules_that_say_the_same_have_numbers_of_their_own() {
    let base = closed().identity("web");
    let policy = base
        .allow("any", "web", tcp(80))
        .allow("any", "web", tcp(80));
    let compiled = Daemon::new().load(&policy, &[]);
    assert_ne!(rule_number(&compiled, 0), rule_number(&compiled, 1));
}

#[test]
fn a_sets_number_outlives_new_networks() {
    let mut daemon = Daemon::new();
    let before = closed().network("office", &["203.0.113.0/24"], &[]);
    let after = closed()
        .network("branch", &["198.51.100.0/24"], &[])
        .network("office", &["203.0.113.0/25", "203.0.113.128/26"], &[]);
    let address = "203.0.113.9".parse().unwrap();
    let first = daemon.load(&before, &[]).network(address);
    let second = daemon.load(&after, &[]).network(address);
    assert_eq!(first, second);
}

#[test]
fn a_nearly_full_rule_table_can_be_replaced_whole() {
    let mut daemon = Daemon::new();
    daemon.limits.rules = 10;
    let rules = |first: u16| {
        (first..first + 9).fold(closed().identity("web"), |builder, port| {
            builder.allow("any", "web", tcp(port))
        })
    };
    let first = daemon.load(&rules(1000), &[]);
    let second = daemon.load(&rules(2000), &[]);
    assert_eq!((first.rules.len(), second.rules.len()), (9, 9));
    assert!(
        second
            .rules
            .keys()
            .all(|number| (1..=10).contains(&number.0))
    );
}

#[test]
fn a_refused_policy_leaves_the_numbers_as_they_were() {
    let mut daemon = Daemon::new();
    daemon.load(&closed().identity("web"), &["a: web"]);
    let before = daemon.numbering.clone();
    let policy = closed().identity("web").allow("any", "web", tcp(1)).policy;
    let limits = Limits {
        steps: 1,
        ..Limits::default()
    };
    let inventory = containers(&["a: web", "b:"]);
    compile(&policy, &inventory, &mut daemon.numbering, &limits).unwrap_err();
    assert_eq!(daemon.numbering, before);
}

#[test]
fn damaged_saved_numbers_are_refused() {
    let mut daemon = Daemon::new();
    let policy = closed()
        .identity("web")
        .rule(Action::Allow, "any", "web", all(), |rule| rule.log = true);
    daemon.load(&policy, &["a: web", "b:"]);
    let saved = serde_json::to_string(&daemon.numbering).unwrap();
    assert!(serde_json::from_str::<Numbering>(&saved).is_ok());
    let damaged = saved.replace("\"number\":3", "\"number\":2");
    assert_ne!(saved, damaged);
    let error = serde_json::from_str::<Numbering>(&damaged).unwrap_err();
    assert!(error.to_string().contains("number 2"), "{error}");
}

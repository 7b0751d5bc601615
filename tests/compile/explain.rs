//! Questions, and who is named as having decided.

use bridgewall::compile::explain::{Explanation, UnknownPeer, Who, explain};
use bridgewall::policy::model::{Action, Defaults, Mode, Peer, TestPeer};
use bridgewall::policy::traffic::{Interval, Traffic, protocol};
use bridgewall::state::steps::Verdict;
use pretty_assertions::assert_eq;

use crate::build::{World, all, closed, containers, ping, ports, tcp, with_defaults};

fn ask(world: &World, from: &str, to: &str, traffic: &Traffic) -> Explanation {
    let who = |text| Who::find(text, &world.policy, Some(&world.inventory)).unwrap();
    explain(
        &world.policy,
        &world.compiled,
        &who(from),
        &who(to),
        traffic,
    )
    .unwrap()
}

fn shop() -> crate::build::Builder {
    with_defaults(Defaults::default())
        .identity_with("db", |db| db.egress = Some(Action::Deny))
        .identity("web")
        .network("office", &["203.0.113.0/24"], &["203.0.113.66/32"])
        .allow("web", "db", tcp(3306))
        .allow("office", "web", tcp(80))
}

#[test]
fn an_answer_names_the_rule_of_each_side_with_its_place() {
    let world = shop().on(containers(&["web1: web", "db1: db"]));
    assert_eq!(
        ask(&world, "web", "db", &tcp(3306)).to_string(),
        "web -> db, 3306/tcp: allowed\n\
         \n\
         \x20 egress   allow  rule allow web -> db 3306/tcp (policy.toml:1)\n\
         \x20 ingress  allow  rule allow web -> db 3306/tcp (policy.toml:1)\n"
    );
}

#[test]
fn an_answer_without_a_rule_names_the_default_that_spoke() {
    let world = shop().on(containers(&["web1: web", "db1: db", "lone:"]));
    assert_eq!(
        ask(&world, "db", "web", &tcp(80)).to_string(),
        "db -> web, 80/tcp: dropped\n\
         \n\
         \x20 egress   drop   no rule speaks; egress = \"deny\" in [identities.db] (policy.toml:100)\n\
         \x20 ingress  drop   no rule speaks; ingress = \"deny\" in [defaults]\n"
    );
    assert_eq!(
        ask(&world, "lone", "host", &tcp(80)).to_string(),
        "lone -> host, 80/tcp: allowed\n\
         \n\
         \x20 allowed: unidentified -> host (80/tcp)\n\
         \x20 egress   allow  no rule speaks; unidentified = \"allow\" in [defaults]\n\
         \x20 ingress  allow  no rule speaks; ingress = \"allow\" in [defaults.host]\n"
    );
}

#[test]
fn the_world_has_no_side() {
    let world = shop().on(containers(&["web1: web"]));
    assert_eq!(
        ask(&world, "203.0.113.66", "web", &tcp(80)).to_string(),
        "203.0.113.66 -> web, 80/tcp: dropped\n\
         \n\
         \x20 dropped: internet -> web (80/tcp)\n\
         \x20 egress   -      outside this host, not judged\n\
         \x20 ingress  drop   no rule speaks; ingress = \"deny\" in [defaults]\n"
    );
}

#[test]
fn audit_is_said_with_who_asked_for_it() {
    let world = closed()
        .identity_with("web", |web| web.mode = Some(Mode::Audit))
        .rule(Action::Deny, "any", "web", tcp(80), |rule| rule.log = true)
        .on(containers(&["web1: web"]));
    let answer = ask(&world, "internet", "web", &tcp(80));
    assert_eq!(answer.verdict, Some(Verdict::Audit));
    assert!(answer.passes());
    assert_eq!(
        answer.to_string(),
        "internet -> web, 80/tcp: allowed, but only because of audit mode\n\
         \n\
         \x20 egress   -      outside this host, not judged\n\
         \x20 ingress  audit  rule deny any -> web 80/tcp (policy.toml:1); would be dropped but for \
         mode = \"audit\" in [identities.web] (policy.toml:100); logged\n"
    );
}

#[test]
fn an_identity_nobody_has_yet_is_answered_for_all_the_same() {
    let world = shop().on(containers(&[]));
    let answer = ask(&world, "web", "db", &tcp(3306));
    assert_eq!(answer.verdict, Some(Verdict::Allow));
    assert!(answer.cases[0].between[0].from.hypothetical);
    assert!(answer.cases[0].between[0].to.hypothetical);
    assert_eq!(
        ask(&world, "web", "db", &tcp(80)).verdict,
        Some(Verdict::Drop)
    );
}

#[test]
fn sets_that_fare_differently_are_listed() {
    let world = shop()
        .deny("any", "db", tcp(80))
        .on(containers(&["web1: web", "both: db, web"]));
    assert_eq!(
        ask(&world, "203.0.113.7", "web", &tcp(80)).to_string(),
        "203.0.113.7 -> web, 80/tcp: it depends\n\
         \n\
         \x20 dropped: office -> db+web (80/tcp)\n\
         \x20 egress   -      outside this host, not judged\n\
         \x20 ingress  deny   rule deny any -> db 80/tcp (policy.toml:3)\n\
         \n\
         \x20 allowed: office -> web (80/tcp)\n\
         \x20 egress   -      outside this host, not judged\n\
         \x20 ingress  allow  rule allow office -> web 80/tcp (policy.toml:2)\n"
    );
}

#[test]
fn parts_of_the_traffic_that_fare_differently_are_listed() {
    let world = shop().on(containers(&["web1: web"]));
    let answer = ask(&world, "office", "web", &ports(protocol::TCP, 79, 82));
    let parts: Vec<_> = answer
        .cases
        .iter()
        .map(|case| (case.verdict, &case.traffic[..]))
        .collect();
    assert_eq!(
        parts,
        [
            (
                Verdict::Drop,
                &["79/tcp".to_owned(), "81-82/tcp".to_owned()][..]
            ),
            (Verdict::Allow, &["80/tcp".to_owned()][..]),
        ]
    );
}

#[test]
fn every_member_of_a_network_is_asked() {
    let world = shop()
        .network("vpn", &["203.0.113.128/25"], &[])
        .deny("vpn", "any", all())
        .on(containers(&["web1: web"]));
    let answer = ask(&world, "office", "web", &tcp(80));
    let names: Vec<_> = answer
        .cases
        .iter()
        .map(|case| &case.between[0].from.name[..])
        .collect();
    assert_eq!(names, ["office+vpn", "office"]);
    let answer = ask(&world, "203.0.113.0/25", "web", &tcp(80));
    assert_eq!(
        answer.verdict,
        Some(Verdict::Drop),
        "the exception lies in it"
    );
    assert_eq!(
        ask(&world, "203.0.113.0/26", "web", &tcp(80)).verdict,
        Some(Verdict::Allow)
    );
}

#[test]
fn an_address_is_asked_only_for_what_its_family_has() {
    let only_v4 = Interval::protocol(protocol::ICMP);
    let world = closed()
        .identity("web")
        .allow("any", "web", Traffic::new(vec![only_v4], "icmp".to_owned()))
        .on(containers(&["web1: web"]));
    assert_eq!(
        ask(&world, "8.8.8.8", "web", &ping()).verdict,
        Some(Verdict::Allow)
    );
    assert_eq!(
        ask(&world, "2001:db8::1", "web", &ping()).verdict,
        Some(Verdict::Drop)
    );
    assert_eq!(
        ask(&world, "internet", "web", &ping()).summary_verdicts(),
        [Verdict::Drop, Verdict::Allow]
    );
    let six = Traffic::new(
        vec![Interval::protocol(protocol::ICMPV6)],
        "icmpv6".to_owned(),
    );
    assert_eq!(ask(&world, "8.8.8.8", "web", &six).verdict, None);
}

trait SummaryVerdicts {
    fn summary_verdicts(&self) -> Vec<Verdict>;
}

impl SummaryVerdicts for Explanation {
    fn summary_verdicts(&self) -> Vec<Verdict> {
        self.cases.iter().map(|case| case.verdict).collect()
    }
}

#[test]
fn what_never_passes_here_has_no_answer() {
    let world = shop().on(containers(&[]));
    let answer = ask(&world, "8.8.8.8", "office", &all());
    assert_eq!((answer.verdict, answer.cases.len()), (None, 0));
    assert_eq!(
        answer.to_string(),
        "8.8.8.8 -> office, all: nothing to judge: no such traffic passes this host's interfaces\n"
    );
    assert_eq!(ask(&world, "host", "host", &all()).verdict, None);
}

#[test]
fn same_project_is_asked_within_each_project() {
    let world = closed()
        .identity("db")
        .identity("web")
        .allow("same-project", "db", tcp(3306))
        .on(containers(&[
            "web1: web @shop",
            "db1: db @shop",
            "db2: db @blog",
        ]));
    let answer = ask(&world, "same-project", "db", &tcp(3306));
    assert_eq!(answer.verdict, Some(Verdict::Allow));
    assert_eq!(answer.cases.len(), 1);
    // Without a project of its own, nobody is of the same one.
    assert_eq!(
        ask(&world, "web1", "db2", &tcp(3306)).verdict,
        Some(Verdict::Drop)
    );
    assert_eq!(
        ask(&world, "web1", "db1", &tcp(3306)).verdict,
        Some(Verdict::Allow)
    );
    assert_eq!(ask(&world, "same-project", "host", &tcp(80)).verdict, None);
}

#[test]
fn running_endpoints_are_answered_for_by_the_compiled_policy() {
    let world = shop().on(containers(&[
        "web1: web",
        "db1: db",
        "both: db, web",
        "lone:",
    ]));
    for from in [
        "web1",
        "db1",
        "both",
        "lone",
        "host",
        "203.0.113.7",
        "8.8.8.8",
    ] {
        for to in ["web1", "db1", "both", "lone"] {
            for port in [80, 3306, 22] {
                let answer = ask(&world, from, to, &tcp(port));
                let selector = tcp(port).intervals()[0].first();
                assert_eq!(answer.verdict, Some(world.verdict(from, to, selector)));
            }
        }
    }
}

#[test]
fn json_has_words_and_places() {
    let world = shop().on(containers(&["web1: web", "db1: db"]));
    let json = serde_json::to_value(ask(&world, "web", "db", &tcp(3306))).unwrap();
    assert_eq!(json["verdict"], "allow");
    assert_eq!(json["cases"][0]["decided_by"], "egress");
    assert_eq!(json["cases"][0]["ingress"]["rule"]["file"], "policy.toml");
    assert_eq!(json["cases"][0]["ingress"]["rule"]["line"], 1);
    assert_eq!(json["cases"][0]["between"][0]["from"]["name"], "web");
}

#[test]
fn names_are_looked_up_in_the_policy_first_and_on_the_host_after() {
    let world = shop().on(containers(&["web: db", "db1: db"]));
    let find = |text| Who::find(text, &world.policy, Some(&world.inventory));
    let web = &world.policy.identities[1];
    assert_eq!(web.name, "web");
    assert!(matches!(find("web"), Ok(Who::Asked(TestPeer::Peer(Peer::Identity(id)))) if id.0 == 1));
    assert!(matches!(
        find("office"),
        Ok(Who::Asked(TestPeer::Peer(Peer::Network(_))))
    ));
    assert!(matches!(
        find("lan"),
        Ok(Who::Asked(TestPeer::Peer(Peer::Lan)))
    ));
    assert!(matches!(
        find("10.0.0.0/8"),
        Ok(Who::Asked(TestPeer::Peer(Peer::Cidr(_))))
    ));
    for text in ["container:web", "db1", "172.18.0.1"] {
        assert!(matches!(find(text), Ok(Who::Endpoints { .. })), "{text}");
    }
    assert!(matches!(
        find("8.8.8.8"),
        Ok(Who::Asked(TestPeer::Address(_)))
    ));
}

#[test]
fn who_is_nobody_is_refused_with_what_there_is() {
    let world = shop().on(containers(&[]));
    let error = Who::find("wbe", &world.policy, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`wbe` is no entity (any, host, containers, world, internet, lan, same-project), address or \
         CIDR (containers are known only to a running daemon), and the policy defines no identity or \
         network of that name (but: db, web, office)"
    );
    let error = Who::find("10.1.2.3/8", &world.policy, None).unwrap_err();
    assert!(matches!(error, UnknownPeer::HostBits { .. }));
    assert!(error.to_string().contains("write `10.0.0.0/8`"));
}

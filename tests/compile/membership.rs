//! Which endpoints belong to an identity.

use std::collections::BTreeMap;

use bridgewall::compile::membership::selects;
use bridgewall::inventory::model::Attributes;
use bridgewall::policy::model::{LabelOperator, LabelRequirement, Pattern, Selector};

fn container() -> Attributes {
    Attributes {
        container: Some("0123456789ab".to_owned()),
        name: "shop-db-1".to_owned(),
        image: Some("registry.example/team/mysql:8".to_owned()),
        network: Some("backend".to_owned()),
        project: Some("shop".to_owned()),
        interface: "veth12ab".to_owned(),
        labels: BTreeMap::from([
            ("role".to_owned(), "db".to_owned()),
            ("env".to_owned(), "prod".to_owned()),
        ]),
    }
}

fn labels(requirements: &[(&str, LabelOperator)]) -> Selector {
    Selector {
        labels: requirements
            .iter()
            .map(|(key, operator)| LabelRequirement {
                key: (*key).to_owned(),
                operator: operator.clone(),
            })
            .collect(),
        ..Selector::default()
    }
}

fn values(list: &[&str]) -> Vec<String> {
    list.iter().map(|&value| value.to_owned()).collect()
}

#[test]
fn label_operators_mean_what_they_say_for_present_and_absent_labels() {
    use LabelOperator::{Absent, Exists, In, NotIn};
    let cases = [
        ("role", In(values(&["db", "cache"])), true),
        ("role", In(values(&["cache"])), false),
        ("none", In(values(&["db"])), false),
        ("role", NotIn(values(&["cache"])), true),
        ("role", NotIn(values(&["db"])), false),
        ("none", NotIn(values(&["db"])), true),
        ("role", Exists, true),
        ("none", Exists, false),
        ("role", Absent, false),
        ("none", Absent, true),
    ];
    for (key, operator, expected) in cases {
        let selector = labels(&[(key, operator.clone())]);
        assert_eq!(
            selects(&selector, &container()),
            expected,
            "{key} {operator:?}"
        );
    }
}

#[test]
fn everything_that_is_given_must_hold() {
    let both = |env: &str| {
        labels(&[
            ("role", LabelOperator::In(values(&["db"]))),
            ("env", LabelOperator::In(values(&[env]))),
        ])
    };
    assert!(selects(&both("prod"), &container()));
    assert!(!selects(&both("staging"), &container()));
    let mut with_network = both("prod");
    with_network.network = Some(Pattern::new("frontend").unwrap());
    assert!(!selects(&with_network, &container()));
}

type Field = fn(&mut Selector) -> &mut Option<Pattern>;

const FIELDS: [(Field, &str, &str); 5] = [
    (|selector| &mut selector.name, "shop-*", "blog-*"),
    (
        |selector| &mut selector.image,
        "registry.example/*",
        "mysql*",
    ),
    (|selector| &mut selector.network, "back{end,up}", "end"),
    (|selector| &mut selector.project, "sh?p", "sh?"),
    (|selector| &mut selector.interface, "veth*", "tap*"),
];

#[test]
fn each_pattern_looks_at_its_own_attribute_and_at_all_of_it() {
    for (field, matching, other) in FIELDS {
        for (pattern, expected) in [(matching, true), (other, false)] {
            let mut selector = Selector::default();
            *field(&mut selector) = Some(Pattern::new(pattern).unwrap());
            assert_eq!(selects(&selector, &container()), expected, "{pattern}");
        }
    }
}

#[test]
fn what_an_endpoint_does_not_have_matches_no_pattern() {
    let plain = Attributes {
        name: "tap0".to_owned(),
        interface: "tap0".to_owned(),
        ..Attributes::default()
    };
    for (field, ..) in &FIELDS[1..4] {
        let mut selector = Selector::default();
        *field(&mut selector) = Some(Pattern::new("*").unwrap());
        assert!(!selects(&selector, &plain));
    }
}

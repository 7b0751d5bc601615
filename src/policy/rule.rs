//! `[[allow]]` and `[[deny]]`.

use super::families::{Families, mismatch};
use super::file::FileRule;
use super::limits;
use super::model::{Location, Network, Peer, Rule, Side};
use super::names::Names;
use super::problem::{Problems, Refusal, shown};
use super::question::Kind;
use super::reader::{Item, List};
use super::source::Span;
use super::traffic::Traffic;

/// Checks one rule; `None` if it cannot even be built.
pub(super) fn validate(
    rule: &FileRule,
    names: &Names,
    networks: &[Network],
    location: Location,
    problems: &mut Problems,
) -> Option<Rule> {
    if let Some(name) = &rule.name {
        problems.take(name.span, check_name(&name.value));
    }
    let from = peers(rule.from.as_ref(), names, problems);
    let to = peers(rule.to.as_ref(), names, problems);
    let traffic = traffic(rule, problems);
    let (from, to, traffic) = (from?, to?, traffic?);
    if let (Some(from_list), Some(to_list)) = (&rule.from, &rule.to) {
        check_same_project((&from, from_list.span), (&to, to_list.span), problems);
    }
    let side = rule.side.as_ref().map(|side| side.value);
    problems.take(rule.span, check_judged(&from, &to, side));
    let families = Families::of_peers(&from, networks)
        & Families::of_peers(&to, networks)
        & Families::of_traffic(&traffic);
    if families == Families::NONE {
        problems.add(rule.span, mismatch("this rule"));
    }
    Some(Rule {
        action: rule.action,
        name: rule.name.as_ref().map(|name| name.value.clone()),
        from,
        to,
        traffic,
        side,
        log: rule.log.as_ref().is_some_and(|log| log.value),
        location,
    })
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let label = if name.trim().is_empty() {
        "empty"
    } else if name.chars().any(char::is_control) {
        "holds a control character"
    } else if name.chars().count() > limits::RULE_NAME_CHARACTERS {
        "too long"
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        format!("{} cannot be a rule's name", shown(name)),
        label,
        format!(
            "write one line of at most {} characters, or leave `name` out",
            limits::RULE_NAME_CHARACTERS
        ),
    ))
}

/// All peers of one side; `None` if any of them is not known.
fn peers(list: Option<&List<String>>, names: &Names, problems: &mut Problems) -> Option<Vec<Peer>> {
    let list = &list?.value;
    let mut peers = Vec::with_capacity(list.len());
    for entry in list {
        if let Some(peer) = problems
            .take(entry.span, names.peer(&entry.value))
            .flatten()
        {
            peers.push(peer);
        }
    }
    (peers.len() == list.len()).then_some(peers)
}

fn traffic(rule: &FileRule, problems: &mut Problems) -> Option<Traffic> {
    let mut intervals = Vec::new();
    let mut texts = Vec::new();
    let mut complete = true;
    let lists: [(&Option<List<Item>>, Kind); 3] = [
        (&rule.ports, Kind::Port),
        (&rule.icmp, Kind::Icmp),
        (&rule.protocols, Kind::Protocol),
    ];
    for (list, kind) in lists {
        for entry in list.iter().flat_map(|list| &list.value) {
            match problems.take(entry.span, kind.item(&entry.value)) {
                Some((found, text)) => {
                    intervals.extend(found);
                    texts.push(text);
                }
                None => complete = false,
            }
        }
    }
    if !complete {
        return None;
    }
    if texts.is_empty() {
        return Some(Traffic::all());
    }
    Some(Traffic::new(intervals, texts.join(", ")))
}

/// Only endpoints and the host judge what they send and receive.
fn check_judged(from: &[Peer], to: &[Peer], side: Option<Side>) -> Result<(), Refusal> {
    let judges = |peers: &[Peer]| {
        let outside = |peer: &Peer| {
            matches!(
                peer,
                Peer::World | Peer::Lan | Peer::Internet | Peer::Network(_) | Peer::Cidr(_)
            )
        };
        !peers.iter().all(outside)
    };
    let egress = side != Some(Side::Ingress) && judges(from);
    let ingress = side != Some(Side::Egress) && judges(to);
    if egress || ingress {
        return Ok(());
    }
    Err(Refusal::new(
        "no connection is ever judged by this rule",
        match side {
            Some(Side::Egress) => "its `from` is outside this host",
            Some(Side::Ingress) => "its `to` is outside this host",
            None => "both its ends are outside this host",
        },
        "addresses and networks never mean this host or its containers: write an identity, \
         `containers`, `host` or `any`, and leave `side` out",
    ))
}

/// `same-project` needs an endpoint on the other side whose project it is.
pub(super) fn check_same_project(
    from: (&[Peer], Span),
    to: (&[Peer], Span),
    problems: &mut Problems,
) {
    let has = |peers: &[Peer]| peers.contains(&Peer::SameProject);
    let refusal = match (has(from.0), has(to.0)) {
        (false, false) => return,
        (true, true) => Refusal::new(
            "`same-project` stands on both sides",
            "the same project as who?",
            "write `same-project` on one side and whose project it is on the other: \
             from = \"same-project\", to = \"containers\"",
        ),
        (from_side, _) => {
            let other = if from_side { to.0 } else { from.0 };
            if other.iter().any(may_be_endpoint) {
                return;
            }
            Refusal::new(
                "`same-project` stands opposite nobody who has a project",
                "the same project as who?",
                "write an identity or `containers` on the other side",
            )
        }
    };
    let span = if has(to.0) { to.1 } else { from.1 };
    problems.add(span, refusal);
}

const fn may_be_endpoint(peer: &Peer) -> bool {
    matches!(peer, Peer::Any | Peer::Containers | Peer::Identity(_))
}

//! `[[allow]]`, `[[deny]]` and `[[test]]`.

use std::ops::BitAnd;

use ipnet::IpNet;

use super::file::{FileRule, FileTest};
use super::limits;
use super::model::{Location, Network, Peer, PolicyTest, Rule, TestPeer};
use super::names::Names;
use super::problem::{Problems, Refusal, shown};
use super::reader::{Item, List};
use super::source::{Span, Spanned};
use super::traffic::{Interval, Traffic, protocol};
use super::{icmp, ports, protocols};

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
    let families = Families::of_peers(&from, networks)
        & Families::of_peers(&to, networks)
        & Families::of_traffic(&traffic);
    if families == Families::NONE {
        problems.add(rule.span, family_mismatch("this rule"));
    }
    Some(Rule {
        action: rule.action,
        name: rule.name.as_ref().map(|name| name.value.clone()),
        from,
        to,
        traffic,
        side: rule.side.as_ref().map(|side| side.value),
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

/// Which of the three keys a text stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ports`, `--port`.
    Port,
    /// `icmp`, `--icmp`.
    Icmp,
    /// `protocols`, `--protocol`.
    Protocol,
}

impl Kind {
    /// What one entry of the key means.
    ///
    /// # Errors
    /// The text means nothing there.
    pub fn parse(self, text: &str) -> Result<Traffic, Refusal> {
        let item = Item::Text(text.to_owned());
        self.item(&item)
            .map(|(intervals, text)| Traffic::new(intervals, text))
    }

    /// What an entry means, and how messages put it.
    fn item(self, item: &Item) -> Result<(Vec<Interval>, String), Refusal> {
        let text = match (self, item) {
            (_, Item::Text(text)) | (Self::Protocol, Item::Number(text)) => text,
            (Self::Icmp, Item::Number(text)) => {
                // Refused with the reason that it has in quotes, too.
                icmp::parse(text)?;
                text
            }
            (Self::Port, Item::Number(text)) => {
                return Err(Refusal::new(
                    "a port is a string, not a number",
                    "no quotes",
                    format!("write \"{text}/tcp\" or \"{text}/udp\""),
                ));
            }
        };
        let intervals = match self {
            Self::Port => ports::parse(text)?,
            Self::Icmp => icmp::parse(text)?,
            Self::Protocol => protocols::parse(text)?,
        };
        let number = self == Self::Protocol && text.bytes().all(|byte| byte.is_ascii_digit());
        let text = if number {
            format!("protocol {text}")
        } else {
            text.clone()
        };
        Ok((intervals, text))
    }
}

/// `same-project` needs an endpoint on the other side whose project it is.
fn check_same_project(from: (&[Peer], Span), to: (&[Peer], Span), problems: &mut Problems) {
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

/// The families of IP that something can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Families {
    ipv4: bool,
    ipv6: bool,
}

impl BitAnd for Families {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self {
            ipv4: self.ipv4 && other.ipv4,
            ipv6: self.ipv6 && other.ipv6,
        }
    }
}

impl Families {
    const NONE: Self = Self {
        ipv4: false,
        ipv6: false,
    };
    const BOTH: Self = Self {
        ipv4: true,
        ipv6: true,
    };

    /// All but the other family's ICMP goes over either.
    fn of_traffic(traffic: &Traffic) -> Self {
        let only = |protocol| {
            let all = Interval::protocol(protocol);
            let mut intervals = traffic.intervals().iter();
            intervals.all(|part| all.contains(part.first()) && all.contains(part.last()))
        };
        Self {
            ipv4: !only(protocol::ICMPV6),
            ipv6: !only(protocol::ICMP),
        }
    }

    fn of_cidrs<'a>(cidrs: impl IntoIterator<Item = &'a IpNet>) -> Self {
        let mut families = Self::NONE;
        for cidr in cidrs {
            match cidr {
                IpNet::V4(_) => families.ipv4 = true,
                IpNet::V6(_) => families.ipv6 = true,
            }
        }
        families
    }

    fn of_peers(peers: &[Peer], networks: &[Network]) -> Self {
        let mut families = Self::NONE;
        for peer in peers {
            let of_peer = match peer {
                Peer::Cidr(cidr) => Self::of_cidrs([cidr]),
                // An empty file may be filled later, with either.
                Peer::Network(id) => match networks.get(id.0) {
                    Some(network) if !network.cidrs.is_empty() => Self::of_cidrs(&network.cidrs),
                    _ => Self::BOTH,
                },
                _ => Self::BOTH,
            };
            families.ipv4 |= of_peer.ipv4;
            families.ipv6 |= of_peer.ipv6;
        }
        families
    }
}

fn family_mismatch(what: &str) -> Refusal {
    Refusal::new(
        format!("{what} is about IPv4 and IPv6 at once, and so about nothing"),
        "its two ends and its ICMP types have no family in common",
        "use addresses of one family on both sides, and ICMP types of that family: `ipv4:` goes with \
         IPv4 addresses, `ipv6:` with IPv6 ones",
    )
}

/// Checks one test.
pub(super) fn validate_test(
    test: &FileTest,
    names: &Names,
    networks: &[Network],
    location: Location,
    problems: &mut Problems,
) -> Option<PolicyTest> {
    let from = test_peer(test.from.as_ref(), names, problems);
    let to = test_peer(test.to.as_ref(), names, problems);
    let mut question = None;
    for (item, kind) in [
        (&test.port, Kind::Port),
        (&test.icmp, Kind::Icmp),
        (&test.protocol, Kind::Protocol),
    ] {
        if let Some(item) = item {
            question = problems.take(item.span, kind.item(&item.value));
        }
    }
    let ((from, from_span), (to, to_span), (intervals, text)) = (from?, to?, question?);
    if let (TestPeer::Peer(from), TestPeer::Peer(to)) = (&from, &to) {
        let one = |peer: &Peer| std::slice::from_ref(peer).to_vec();
        check_same_project((&one(from), from_span), (&one(to), to_span), problems);
    }
    let families = Families::of_test(&from, networks) & Families::of_test(&to, networks);
    // `echo-request` between IPv4 addresses is a question about IPv4's alone.
    let asked: Vec<_> = intervals
        .into_iter()
        .filter(|part| match part.first().ip_protocol() {
            protocol::ICMP => families.ipv4,
            protocol::ICMPV6 => families.ipv6,
            _ => families != Families::NONE,
        })
        .collect();
    if asked.is_empty() {
        problems.add(test.span, family_mismatch("this test"));
        return None;
    }
    Some(PolicyTest {
        from,
        to,
        traffic: Traffic::new(asked, text),
        expect: test.expect.as_ref()?.value,
        location,
    })
}

impl Families {
    fn of_test(peer: &TestPeer, networks: &[Network]) -> Self {
        match peer {
            TestPeer::Peer(peer) => Self::of_peers(std::slice::from_ref(peer), networks),
            TestPeer::Address(address) => Self {
                ipv4: address.is_ipv4(),
                ipv6: address.is_ipv6(),
            },
        }
    }
}

fn test_peer(
    text: Option<&Spanned<String>>,
    names: &Names,
    problems: &mut Problems,
) -> Option<(TestPeer, Span)> {
    let text = text?;
    let peer = problems
        .take(text.span, names.test_peer(&text.value))
        .flatten();
    peer.map(|peer| (peer, text.span))
}

//! `[[test]]`: a question, and the answer that a policy must give to it.

use super::families::{Families, mismatch};
use super::file::FileTest;
use super::model::{Location, Network, Peer, PolicyTest, TestPeer};
use super::names::Names;
use super::problem::Problems;
use super::question::Kind;
use super::rule::check_same_project;
use super::source::{Span, Spanned};
use super::traffic::{Traffic, protocol};

/// Checks one test.
pub(super) fn validate(
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
        problems.add(test.span, mismatch("this test"));
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

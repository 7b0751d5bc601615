//! One packet, one generation.

use std::time::Instant;

use bridgewall::control::client::Client;
use bridgewall::control::protocol::{Request, Response};

use crate::common::daemon::{Attach, Daemon};
use crate::common::stream::Stream;
use crate::leaks::Holdings;
use crate::matrix::{Matrix, SENTINEL, Watch, assert_all};
use crate::policies::Side;
use crate::{dose, enforce, sandbox};

/// For how long one policy was certainly the one in force.
struct Reign {
    side: Side,
    from: Instant,
    until: Instant,
}

/// Has the daemon take the other policy; returns when it judges.
fn flip(daemon: &Daemon, client: &mut Client, side: Side) {
    daemon.replace_policy(&side.text());
    match client.ask(Request::Reload) {
        Ok(Response::Reloaded(_)) => {}
        other => panic!("the policy is not taken: {other:?}"),
    }
}

fn scenario(attach: Attach) {
    let sandbox = sandbox();
    let daemon = enforce(&sandbox, attach, Side::A);
    let [web, db] = ["web", "db"].map(|name| &sandbox.container(name).namespace);
    let watch = Watch::start(Matrix::of(&sandbox));
    let [ipv4, ipv6] = sandbox.container("db").sockets(4000);
    // What both policies allow loses nothing: but for the port, as the sentinels.
    let text = |side: Side| {
        side.text()
            .replace("\"5\"", "\"5\", \"4000\", \"4000/udp\"")
    };
    let mut client = Client::connect(&daemon.socket()).expect("connect");
    daemon.edit(&text(Side::A));
    let streams = [Stream::udp(web, db, ipv4), Stream::tcp(web, db, ipv6)];

    let flips = dose("FLIPS", 150);
    let began = Instant::now();
    let mut side = Side::A;
    let mut reigns = Vec::new();
    let mut from = began;
    let mut before = None;
    for number in 0..flips {
        let until = Instant::now();
        reigns.push(Reign { side, from, until });
        side = side.other();
        daemon.replace_policy(&text(side));
        match client.ask(Request::Reload) {
            // The watcher of the files may have been quicker: then nothing is left to change.
            Ok(Response::Reloaded(_)) => {}
            other => panic!("the policy is not taken: {other:?}"),
        }
        from = Instant::now();
        // Some policies last for a round, and some do not.
        if number % 3 == 0 {
            watch.look();
        }
        if number == 9 {
            before = Some(Holdings::of(&sandbox, &daemon));
        }
    }
    let elapsed = began.elapsed();
    for stream in streams {
        stream.assert_flowing();
        stream.finish().assert_no_loss();
    }
    if let Some(before) = before {
        before.assert_level(&Holdings::of(&sandbox, &daemon));
    }

    let rounds = watch.finish();
    let either = &Side::A.allows() | &Side::B.allows();
    let mut whole = 0;
    for round in &rounds {
        assert!(
            round.passed.is_subset(&either),
            "neither policy lets this through: {:?}",
            round.passed.difference(&either)
        );
    }
    for reign in &reigns {
        for round in rounds
            .iter()
            .filter(|round| round.began >= reign.from && round.ended <= reign.until)
        {
            whole += 1;
            assert_eq!(round.passed, reign.side.allows(), "under {:?}", reign.side);
        }
    }
    assert!(whole > 0, "no round was judged by one policy alone");
    println!(
        "{flips} flips by {attach:?} in {elapsed:.1?}: {} rounds of packets, {whole} of them under one policy; \
         0 mixtures, 0 leaked, 0 lost",
        rounds.len()
    );
}

#[test]
fn no_packet_is_judged_by_two_policies_tcx() {
    scenario(Attach::Tcx);
}

#[test]
fn no_packet_is_judged_by_two_policies_clsact() {
    scenario(Attach::Clsact);
}

/// The matrix itself: without a mixture there is nothing that it could find.
#[test]
fn a_mixture_of_both_policies_would_be_seen() {
    let sandbox = sandbox();
    let mixed = Side::A.text().replace(
        "\"1\", \"1/udp\", \"3\", \"3/udp\"",
        "\"4\", \"4/udp\", \"2\", \"2/udp\"",
    );
    assert_ne!(mixed, Side::A.text());
    let daemon = enforce(&sandbox, Attach::Auto, Side::A);
    daemon.edit(&mixed);
    let watch = Watch::start(Matrix::of(&sandbox));
    let passed = watch.look();
    let seen = |port| {
        passed
            .iter()
            .filter(|lane| lane.path == "db to web" && lane.port == port)
            .count()
    };
    // Both families, and four kinds of packets.
    assert_eq!((seen(1), seen(2), seen(3), seen(4)), (0, 8, 0, 0));
    assert_ne!(SENTINEL, 2);
}

#[test]
fn a_policy_that_does_not_fit_the_maps_is_refused_whole() {
    let sandbox = sandbox();
    let daemon = Daemon::start(
        sandbox.place(),
        Attach::Auto,
        &format!(
            "{}\n[limits]\nsteps = 1024\npolicy_entries = 1024\nnetworks = 1024\n",
            sandbox.configuration()
        ),
        &Side::A.text(),
        3,
    );
    let watch = Watch::start(Matrix::of(&sandbox));
    let generation = daemon.status()["policy"]["generation"].clone();
    let prefixes: String = (0..=255)
        .flat_map(|a| (0..4).map(move |b| format!("\"10.{a}.{b}.0/24\", ")))
        .collect();
    let ports: String = (0..600)
        .map(|n| format!("\"{}\", ", 1000 + 2 * n))
        .collect();
    for (too_much, of) in [
        (
            format!(
                "[networks.many]\ncidrs = [{prefixes}]\n[[allow]]\nfrom = \"many\"\nto = \"db\"\n"
            ),
            "networks",
        ),
        (
            format!("[[allow]]\nfrom = \"any\"\nto = \"db\"\nports = [{ports}]\n"),
            "steps",
        ),
    ] {
        let refusal = daemon.edit_badly(&format!("{}\n{too_much}", Side::B.text()));
        assert!(refusal.contains(of), "{refusal}");
        assert_eq!(watch.look(), Side::A.allows());
        assert_eq!(daemon.status()["policy"]["generation"], generation);
        let mut client = Client::connect(&daemon.socket()).expect("connect");
        flip(&daemon, &mut client, Side::A);
    }
    assert_all(&watch.finish(), &Side::A.allows());
    assert!(daemon.status()["troubles"]["policies_refused"].as_u64() >= Some(2));
}

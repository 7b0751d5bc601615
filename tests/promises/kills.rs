//! The daemon's death changes nothing, whenever it comes.

use std::time::{Duration, Instant};

use crate::common::daemon::Attach;
use crate::common::kernel_state::pins;
use crate::common::stream::Stream;
use crate::matrix::{Matrix, SENTINEL, Watch};
use crate::policies::Side;
use crate::{Random, dose, enforce, sandbox};

fn scenario(attach: Attach) {
    let sandbox = sandbox();
    let mut daemon = enforce(&sandbox, attach, Side::A);
    let [web, db] = ["web", "db"].map(|name| &sandbox.container(name).namespace);
    let watch = Watch::start(Matrix::of(&sandbox));
    // From db to web the matrix leaves the other direction's port free.
    let to = sandbox.container("spare").sockets(SENTINEL);
    let spare = &sandbox.container("spare").namespace;
    let streams = [
        Stream::udp(web, spare, to[0]),
        Stream::tcp(db, spare, to[1]),
    ];
    let pinned = pins(&sandbox.place().pins());
    let numbers = daemon.json(&["list", "identities"]);
    daemon.kill();

    // How long a start takes here, so that deaths fall into all of it.
    let began = Instant::now();
    daemon.launch();
    daemon.await_endpoints(3);
    let start = began.elapsed();
    daemon.kill();

    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let kills = dose("KILLS", 50);
    let mut side = Side::A;
    let either = [Side::A.allows(), Side::B.allows()];
    let mut changed = 0;
    for number in 0..kills {
        if number % 2 == 0 {
            // In the middle of a start.
            daemon.launch();
            pause(random.below(start.as_micros() as u64 * 5 / 4));
        } else {
            // In the middle of a change of policy.
            daemon.launch();
            daemon.await_endpoints(3);
            side = side.other();
            daemon.replace_policy(&side.text());
            pause(random.below(60_000));
        }
        daemon.kill();
        let passed = watch.look();
        assert!(
            either.contains(&passed),
            "after kill {number} neither policy is in force whole: {passed:?}"
        );
        changed += usize::from(passed == side.allows());
    }
    daemon.launch();
    daemon.await_endpoints(3);
    daemon.edit(&format!("{}\n# the last one", Side::A.text()));
    assert_eq!(watch.look(), Side::A.allows());
    assert_eq!(
        pins(&sandbox.place().pins()),
        pinned,
        "something is left over"
    );
    assert_eq!(daemon.status()["healthy"], true);
    assert_eq!(
        daemon.json(&["list", "identities"])[0]["number"],
        numbers[0]["number"]
    );
    for stream in streams {
        stream.assert_flowing();
        stream.finish().assert_no_loss();
    }
    let rounds = watch.finish();
    let union = &either[0] | &either[1];
    for round in &rounds {
        assert!(
            round.passed.is_subset(&union),
            "leaked: {:?}",
            round.passed.difference(&union)
        );
    }
    println!(
        "{kills} kills by {attach:?} ({changed} after the change), {} rounds of packets: 0 leaked, 0 lost",
        rounds.len()
    );
}

/// Until a moment that nobody can foresee.
fn pause(microseconds: u64) {
    std::thread::sleep(Duration::from_micros(microseconds));
}

#[test]
fn killed_at_random_moments_it_leaks_and_loses_nothing_tcx() {
    scenario(Attach::Tcx);
}

#[test]
fn killed_at_random_moments_it_leaks_and_loses_nothing_clsact() {
    scenario(Attach::Clsact);
}

/// Without it the tests that lose nothing would prove nothing.
#[test]
fn a_lost_segment_is_seen_though_tcp_makes_good_for_it() {
    let sandbox = sandbox();
    let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
    let stream = Stream::tcp(&web.namespace, &db.namespace, db.sockets(SENTINEL)[0]);
    let lossy = "table bridge lossy { chain sent { type filter hook forward priority 0; \
                 numgen inc mod 50 0 drop; }; }";
    sandbox.host().namespace.run("nft", &[lossy]);
    stream.assert_flowing();
    stream.assert_flowing();
    sandbox
        .host()
        .namespace
        .run("nft", &["delete table bridge lossy"]);
    stream.assert_flowing();
    let report = stream.finish();
    assert!(
        report.lost_segments > 0 && report.received == report.sent,
        "{report:?}"
    );
}

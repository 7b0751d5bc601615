//! Another build takes over.

use std::fs;

use crate::build::{Change, build};
use crate::common::daemon::Attach;
use crate::common::kernel_state::pins;
use crate::common::stream::Stream;
use crate::common::{eventually, sandbox::Sandbox};
use crate::faults::die_in_start;
use crate::matrix::{Matrix, SENTINEL, Watch, assert_all};
use crate::policies::Side;
use crate::{dose, enforce, sandbox};

/// Other code in both templates and in the bodies.
const CODE: [Change<'_>; 2] = [
    (
        "bridgewall.bpf.c",
        "hand_over(skb, HOOK_TO_ENDPOINT);",
        "hand_over(skb, HOOK_TO_ENDPOINT); skb->cb[4] = 1;",
    ),
    (
        "bridgewall.bpf.c",
        "hand_over(skb, HOOK_FROM_ENDPOINT);",
        "hand_over(skb, HOOK_FROM_ENDPOINT); skb->cb[4] = 2;",
    ),
];

/// A map of another kind, which has nothing to do with connections.
const MAP: [Change<'_>; 1] = [(
    "abi.h",
    "__u32 sent;\n\t__u32 suppressed;\n};",
    "__u32 sent;\n\t__u32 suppressed;\n\t__u64 more;\n};",
)];

/// Another meaning of what the maps hold.
const LAYOUT: [Change<'_>; 1] = [("abi.h", "LAYOUT_VERSION = ", "LAYOUT_VERSION = 1000 + ")];

/// TCP and UDP from web and db to the spare one, which both policies allow.
fn streams(sandbox: &Sandbox) -> [Stream; 2] {
    let [web, db, spare] = ["web", "db", "spare"].map(|name| &sandbox.container(name).namespace);
    let to = sandbox.container("spare").sockets(SENTINEL);
    [
        Stream::udp(web, spare, to[0]),
        Stream::tcp(db, spare, to[1]),
    ]
}

/// To another build and back, again and again, in the middle of traffic.
fn keeps_everything(name: &str, attach: Attach, changes: &[Change<'_>], says: &str) {
    let sandbox = sandbox();
    let mut daemon = enforce(&sandbox, attach, Side::A);
    let other = build(sandbox.place().directory(), name, changes);
    let this = env!("CARGO_BIN_EXE_bridgewall").as_ref();
    let watch = Watch::start(Matrix::of(&sandbox));
    let streams = streams(&sandbox);
    let count = pins(&sandbox.place().pins()).len();
    let numbers = daemon.json(&["list", "endpoints"]);
    for round in 0..dose("UPGRADES", 2) {
        daemon.kill();
        daemon.upgrade(if round % 2 == 0 {
            other.as_path()
        } else {
            this
        });
        daemon.launch();
        daemon.await_endpoints(3);
        eventually("the upgrade is over", || {
            (daemon.status()["healthy"] == true).then_some(())
        });
        watch.look();
        assert_eq!(
            pins(&sandbox.place().pins()).len(),
            count,
            "something is left over"
        );
    }
    let log = fs::read_to_string(daemon.log()).expect("read the log");
    assert!(log.contains(says), "the log does not say {says:?}");
    for (now, before) in daemon
        .json(&["list", "endpoints"])
        .as_array()
        .into_iter()
        .flatten()
        .zip(numbers.as_array().into_iter().flatten())
    {
        assert_eq!(
            (&now["number"], &now["identity"]),
            (&before["number"], &before["identity"])
        );
    }
    for stream in streams {
        stream.assert_flowing();
        stream.finish().assert_no_loss();
    }
    let rounds = watch.finish();
    assert_all(&rounds, &Side::A.allows());
    println!(
        "{name} by {attach:?}: {} rounds of packets, 0 leaked, 0 lost",
        rounds.len()
    );
}

#[test]
fn other_programs_over_the_same_maps_lose_and_leak_nothing_tcx() {
    keeps_everything("code", Attach::Tcx, &CODE, "adopted what was pinned");
}

#[test]
fn other_programs_over_the_same_maps_lose_and_leak_nothing_clsact() {
    keeps_everything("code", Attach::Clsact, &CODE, "adopted what was pinned");
}

#[test]
fn maps_of_another_kind_keep_connections_and_lose_and_leak_nothing_tcx() {
    keeps_everything(
        "map",
        Attach::Tcx,
        &MAP,
        "map event_limits is of another kind",
    );
}

#[test]
fn maps_of_another_kind_keep_connections_and_lose_and_leak_nothing_clsact() {
    keeps_everything(
        "map",
        Attach::Clsact,
        &MAP,
        "map event_limits is of another kind",
    );
}

/// Connections are not kept, which the log says; what the policy allows begins again, and nothing else
/// ever passes.
#[test]
fn another_layout_is_replaced_whole_and_said_to_keep_no_connections() {
    let sandbox = sandbox();
    let mut daemon = enforce(&sandbox, Attach::Auto, Side::A);
    let other = build(sandbox.place().directory(), "layout", &LAYOUT);
    let watch = Watch::start(Matrix::of(&sandbox).forgiving());
    let streams = streams(&sandbox);
    let count = pins(&sandbox.place().pins()).len();
    daemon.kill();
    daemon.upgrade(&other);
    daemon.launch();
    daemon.await_endpoints(3);
    let log = fs::read_to_string(daemon.log()).expect("read the log");
    for says in [
        "replaced what was pinned: its layout is ",
        "established connections are not carried over",
    ] {
        assert!(log.contains(says), "the log does not say {says:?}");
    }
    for stream in streams {
        stream.assert_flowing();
    }
    assert_eq!(watch.look(), Side::A.allows());
    assert_eq!(
        pins(&sandbox.place().pins()).len(),
        count,
        "something is left over"
    );
    let allowed = Side::A.allows();
    for round in watch.finish() {
        assert!(
            round.passed.is_subset(&allowed),
            "leaked: {:?}",
            round.passed.difference(&allowed)
        );
    }
}

/// Back and forth between two builds, each of which dies at some step of its start.
fn dies(attach: Attach) {
    let sandbox = sandbox();
    let mut daemon = enforce(&sandbox, attach, Side::A);
    let mut builds = [
        build(sandbox.place().directory(), "map", &MAP),
        env!("CARGO_BIN_EXE_bridgewall").into(),
    ];
    let count = pins(&sandbox.place().pins()).len();
    let watch = Watch::start(Matrix::of(&sandbox));
    daemon.kill();
    let deaths = die_in_start(&mut daemon, &watch, 23, |daemon| {
        daemon.upgrade(&builds[0]);
        builds.rotate_left(1);
    });
    daemon.launch();
    daemon.await_endpoints(3);
    eventually("what was half done is repaired", || {
        (pins(&sandbox.place().pins()).len() == count).then_some(())
    });
    assert_all(&watch.finish(), &Side::A.allows());
    println!("{attach:?}: died in an upgrade: {deaths:?}");
}

#[test]
fn an_upgrade_may_die_at_any_step_tcx() {
    dies(Attach::Tcx);
}

#[test]
fn an_upgrade_may_die_at_any_step_clsact() {
    dies(Attach::Clsact);
}

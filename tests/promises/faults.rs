//! Every step that the kernel or the disk sees fails once, and once is where the daemon dies.
//!
//! After each fault the policy before or the one after is in force whole, and the next pass or the next
//! start repairs whatever was half done. `BRIDGEWALL_DOSE_STRIDE` 1 tries every step, more tries only
//! some.

use std::time::Instant;

use bridgewall::control::client::Client;
use bridgewall::control::protocol::Request;

use crate::common::daemon::{Attach, Daemon};
use crate::common::kernel_state::pins;
use crate::common::{eventually, patience};
use crate::leaks::Holdings;
use crate::matrix::{Matrix, Watch, assert_all};
use crate::policies::Side;
use crate::{dose, enforce, roomy, sandbox};

/// The steps to try: all, or some in all parts of the whole.
fn steps(first: u32, little: usize) -> impl Iterator<Item = u32> {
    (first..).step_by(dose("STRIDE", little))
}

/// Waits until the daemon has nothing left to repair.
#[track_caller]
fn await_health(daemon: &Daemon) {
    eventually("the daemon has repaired everything", || {
        (daemon.status()["healthy"] == true).then_some(())
    });
}

#[test]
fn a_reload_that_fails_at_any_step_leaves_one_policy_whole() {
    let sandbox = sandbox();
    let daemon = enforce(&sandbox, Attach::Auto, Side::A);
    let watch = Watch::start(Matrix::of(&sandbox));
    let mut client = Client::connect(&daemon.socket()).expect("connect");
    let mut in_force = Side::A;
    let mut failed = Vec::new();
    daemon.edit(&Side::B.text());
    daemon.edit(&Side::A.text());
    let before = Holdings::of(&sandbox, &daemon);
    for n in steps(1, 1) {
        let wanted = in_force.other();
        // Ordered before the file is there: the daemon may notice that by itself before it is asked.
        daemon.order_fault("fail", n);
        daemon.replace_policy(&wanted.text());
        let answer = client.ask(Request::Reload);
        let Some(step) = daemon.fault_happened() else {
            break;
        };
        let passed = watch.look();
        if answer.is_ok() {
            assert_eq!(
                passed,
                wanted.allows(),
                "{step} failed, and all is said to be well"
            );
        } else {
            assert_eq!(passed, in_force.allows(), "{step} failed: {answer:?}");
            let refused = daemon.status();
            assert_eq!(
                refused["healthy"], false,
                "{step} failed, and nobody says so"
            );
        }
        failed.push(step);
        // Whatever was half done: the next one takes it from there.
        client
            .ask(Request::Reload)
            .unwrap_or_else(|error| panic!("after {failed:?}: {error}"));
        in_force = wanted;
        assert_eq!(watch.look(), in_force.allows(), "after {failed:?}");
        await_health(&daemon);
    }
    assert!(failed.iter().any(|step| step == "publish"), "{failed:?}");
    assert!(
        failed.iter().any(|step| step == "sync a state file"),
        "{failed:?}"
    );
    before.assert_level(&Holdings::of(&sandbox, &daemon));
    let troubles = &daemon.status()["troubles"];
    assert!(troubles["kernel_failures"].as_u64() > Some(0), "{troubles}");
    assert!(troubles["saves_failed"].as_u64() > Some(0), "{troubles}");
    drop(watch);
    println!("a reload has {} steps: {failed:?}", failed.len());
}

/// An endpoint comes and goes, and each step of that fails once.
fn arm_and_disarm(attach: Attach) {
    let mut sandbox = sandbox();
    let configuration = roomy(&sandbox.configuration_expecting("late", 200));
    let daemon = Daemon::start(sandbox.place(), attach, &configuration, &Side::A.text(), 3);
    // Both slots of the kernel's tables are in use.
    daemon.edit(&format!("{}\n# once more", Side::B.text()));
    daemon.edit(&Side::A.text());
    let before = Holdings::of(&sandbox, &daemon);
    let watch = Watch::start(Matrix::of(&sandbox));
    let armed = |count: u64| {
        eventually(&format!("{count} endpoints are armed"), || {
            let status = daemon.status();
            let endpoints = &status["endpoints"];
            (endpoints["armed"] == count && endpoints["total"] == count).then_some(())
        });
    };
    let mut failed = Vec::new();
    for n in steps(1, 5) {
        daemon.order_fault("fail", n);
        sandbox.add_as("late", 200);
        armed(4);
        sandbox.remove("late");
        armed(3);
        match daemon.fault_happened() {
            Some(step) => failed.push(step),
            None => break,
        }
        await_health(&daemon);
    }
    assert_all(&watch.finish(), &Side::A.allows());
    before.assert_level(&Holdings::of(&sandbox, &daemon));
    println!("{attach:?}: failed while an endpoint came and went: {failed:?}");
}

#[test]
fn an_endpoint_is_armed_and_disarmed_though_any_step_fails_tcx() {
    arm_and_disarm(Attach::Tcx);
}

#[test]
fn an_endpoint_is_armed_and_disarmed_though_any_step_fails_clsact() {
    arm_and_disarm(Attach::Clsact);
}

/// Waits until the daemon has died or has done everything: whether it lives. A start takes its time in
/// a build that counts every step.
fn survives(daemon: &mut Daemon) -> bool {
    let deadline = Instant::now() + patience() * 6;
    while !daemon.has_ended() {
        if daemon.is_done() {
            return true;
        }
        assert!(
            Instant::now() < deadline,
            "the daemon neither dies nor is done"
        );
    }
    false
}

/// Dies at the n-th step of a start, for many n, over maps and programs that are there.
pub fn die_in_start(
    daemon: &mut Daemon,
    watch: &Watch,
    little: usize,
    mut prepare: impl FnMut(&mut Daemon),
) -> Vec<String> {
    let mut deaths = Vec::new();
    for n in steps(1, little) {
        prepare(daemon);
        daemon.order_fault("kill", n);
        daemon.launch();
        let survived = survives(daemon);
        daemon.kill();
        let step = daemon.fault_happened();
        assert_eq!(watch.look(), Side::A.allows(), "died at {step:?}");
        match step {
            Some(step) => {
                assert!(!survived || step.contains("state"), "{step}");
                deaths.push(step);
            }
            None => break,
        }
    }
    deaths
}

fn restart(attach: Attach) {
    let sandbox = sandbox();
    let mut daemon = enforce(&sandbox, attach, Side::A);
    let pinned = pins(&sandbox.place().pins());
    let watch = Watch::start(Matrix::of(&sandbox));
    daemon.kill();
    let deaths = die_in_start(&mut daemon, &watch, 19, |_| ());
    daemon.launch();
    daemon.await_endpoints(3);
    await_health(&daemon);
    assert_eq!(pins(&sandbox.place().pins()), pinned);
    assert_all(&watch.finish(), &Side::A.allows());
    println!("{attach:?}: died while it started: {deaths:?}");
}

#[test]
fn a_start_over_what_is_there_may_die_at_any_step_tcx() {
    restart(Attach::Tcx);
}

#[test]
fn a_start_over_what_is_there_may_die_at_any_step_clsact() {
    restart(Attach::Clsact);
}

/// A first start, a change of policy, and the end of enforcement, each of which dies at some step; what
/// is left the next start makes whole.
fn repaired(attach: Attach) {
    let sandbox = sandbox();
    let mut daemon = enforce(&sandbox, attach, Side::A);
    let pinned = pins(&sandbox.place().pins());
    let watch = Watch::start(Matrix::of(&sandbox).forgiving());
    let mut deaths = Vec::new();
    for n in steps(1, 29) {
        daemon.order_fault("kill", n);
        // Cut off, or answered: what counts is what is there afterwards.
        let _ = daemon.command(&["stop", "--detach"]);
        daemon.kill();
        let detaching = daemon.fault_happened();
        daemon.launch();
        daemon.await_endpoints(3);
        assert_eq!(watch.look(), Side::A.allows(), "after {detaching:?}");
        // Endpoint numbers and sets of maps may be others now, interfaces are not.
        assert_eq!(
            without_sets(&pins(&sandbox.place().pins())),
            without_sets(&pinned)
        );
        daemon.stop_and_detach();

        daemon.order_fault("kill", n);
        daemon.launch();
        survives(&mut daemon);
        daemon.kill();
        let starting = daemon.fault_happened();
        daemon.launch();
        daemon.await_endpoints(3);
        assert_eq!(watch.look(), Side::A.allows(), "after {starting:?}");
        assert_eq!(
            without_sets(&pins(&sandbox.place().pins())),
            without_sets(&pinned)
        );
        if (&detaching, &starting) == (&None, &None) {
            break;
        }
        deaths.extend([detaching, starting].into_iter().flatten());
    }
    await_health(&daemon);
    drop(watch);
    println!("{attach:?}: died while it ended or started anew: {deaths:?}");
}

fn without_sets(pins: &std::collections::BTreeSet<String>) -> Vec<&str> {
    pins.iter()
        .map(|pin| pin.trim_start_matches(|c: char| c.is_ascii_digit() || "maps-".contains(c)))
        .collect()
}

#[test]
fn what_a_death_left_half_done_is_made_whole_tcx() {
    repaired(Attach::Tcx);
}

#[test]
fn what_a_death_left_half_done_is_made_whole_clsact() {
    repaired(Attach::Clsact);
}

#[test]
fn a_reload_may_die_at_any_step_and_one_policy_is_in_force_whole() {
    let sandbox = sandbox();
    let mut daemon = enforce(&sandbox, Attach::Auto, Side::A);
    let watch = Watch::start(Matrix::of(&sandbox));
    let pinned = pins(&sandbox.place().pins());
    let mut in_force = Side::A;
    let mut deaths = Vec::new();
    for n in steps(1, 5) {
        let wanted = in_force.other();
        daemon.order_fault("kill", n);
        let revision = daemon.try_revision();
        daemon.replace_policy(&wanted.text());
        eventually("the daemon dies or is done", || {
            (daemon.has_ended() || daemon.try_revision() > revision).then_some(())
        });
        let step = daemon.fault_happened();
        daemon.kill();
        let passed = watch.look();
        assert!(
            [in_force.allows(), wanted.allows()].contains(&passed),
            "died at {step:?}: {passed:?}"
        );
        daemon.launch();
        daemon.await_endpoints(3);
        in_force = wanted;
        assert_eq!(watch.look(), in_force.allows(), "after {step:?}");
        assert_eq!(pins(&sandbox.place().pins()), pinned, "after {step:?}");
        match step {
            Some(step) => deaths.push(step),
            None => break,
        }
    }
    drop(watch);
    println!("died in a reload: {deaths:?}");
}

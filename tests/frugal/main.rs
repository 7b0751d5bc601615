//! What the daemon takes of the host: memory, and the kernel's time for an edit. Counted, never timed.
//! Needs root.

#[path = "../common/mod.rs"]
mod common;

use std::fmt::Write as _;

use common::crowd::{CONFIGURATION, Crowd, anonymous, policy, resident};
use common::daemon::{Attach, Daemon};
use common::eventually;

/// More steps than any edit takes.
const MANY: u32 = 1_000_000;

fn start(crowd: &Crowd, containers: u64, rules: usize) -> Daemon {
    // What is reviewed every few seconds would be counted with an edit.
    let configuration = format!("{CONFIGURATION}fast_path = \"off\"\n");
    Daemon::start(
        crowd.place(),
        Attach::Auto,
        &configuration,
        &policy(rules),
        containers,
    )
}

/// System calls that change the kernel or the state directory, for one more rule beside so many.
fn steps_of_an_edit(rules: usize) -> u32 {
    const CONTAINERS: u32 = 20;
    let crowd = Crowd::new(CONTAINERS as usize);
    let daemon = start(&crowd, CONTAINERS.into(), rules);
    let mut text = policy(rules);
    let edits = (1..=5).map(|edit| {
        let _ = write!(
            text,
            "\n[[allow]]\nfrom = \"id1\"\nto = \"id2\"\nports = [\"{edit}/udp\"]\n"
        );
        daemon.order_fault("fail", MANY);
        daemon.replace_policy(&text);
        // Who asks for the status makes steps of his own.
        let said = format!("in force: {} rules", rules + edit);
        eventually("the edit is in force", || {
            daemon.log_says(&said).then_some(())
        });
        MANY - daemon.forget_fault().expect("it was not come to")
    });
    // The first two find a slot that has not seen this policy yet.
    let steps: Vec<_> = edits.skip(2).collect();
    *steps.iter().min().expect("there are some")
}

#[test]
fn an_edited_rule_takes_as_many_calls_whatever_the_policy_s_size() {
    let (few, many) = (steps_of_an_edit(50), steps_of_an_edit(1_000));
    assert_eq!(few, many);
    // The wait for readers, a list, the entries of both sides, the publication, and the state files.
    assert!(few < 40, "{few} calls");
}

/// An optimised daemon has 30 MB in all (`scripts/bench control`). The code of one that is not optimised is
/// many times as large, and so left out here.
#[test]
fn what_the_daemon_remembers_of_100_containers_and_1000_rules_takes_less_than_10_mb() {
    const CONTAINERS: u64 = 100;
    let crowd = Crowd::new(CONTAINERS as usize);
    let daemon = start(&crowd, CONTAINERS, 1_000);
    let process = daemon.pid().expect("it runs");
    let (anonymous, resident) = (anonymous(process), resident(process));
    assert!(
        anonymous < 10_000_000,
        "{anonymous} bytes, and with its code {resident}"
    );
}

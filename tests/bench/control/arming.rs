//! One container of a known identity, from the notice of the kernel until nothing is left to do.

use std::process::{Command, Stdio};

use super::goals::Goals;
use super::passes::Passes;
use super::{CONTAINERS, RULES, enforce, microseconds, named, plain, settle, stat_of};
use crate::Options;
use crate::common::crowd::{Crowd, cpu_of};
use crate::common::daemon::Attach;
use crate::report::Table;
use crate::rounds::{Candidate, compare, median_of};

/// Containers that come at once.
const ARRIVALS: usize = 10;

/// What of a pass is not the daemon's own work: there the kernel verifies and attaches.
const ATTACHING: &str = "apply";

/// How long clang has to take at least, in what arming takes.
const TIMES_FASTER: f64 = 500.0;

pub fn measure(options: &Options, goals: &mut Goals) -> Vec<Table> {
    let beside_clang = beside_clang(options, goals);
    vec![beside_clang, parts(options, goals)]
}

/// In CPU time of the daemon, all that the kernel does for it included.
fn beside_clang(options: &Options, goals: &mut Goals) -> Table {
    let table = Table::new(
        "control-arm",
        format!(
            "Arming one container of a known identity, beside {CONTAINERS} others and {RULES} rules"
        ),
        "microseconds of CPU",
    );
    let containers = options.amount(CONTAINERS);
    let arriving = |attach, arrivals: usize| {
        let mut crowd = Crowd::new(containers as usize);
        let (daemon, process) = enforce(&crowd, attach, containers, RULES);
        move || {
            let _running = &daemon;
            let before = cpu_of(process);
            crowd.add(arrivals);
            crowd.await_armed();
            settle(process);
            let used = cpu_of(process) - before;
            crowd.remove(arrivals);
            settle(process);
            microseconds(used) / arrivals as f64
        }
    };
    let several = named("filters", || arriving(Attach::Clsact, ARRIVALS));
    let alone = named("alone", || arriving(Attach::Clsact, 1));
    let links = named("links", || arriving(Attach::Tcx, ARRIVALS));
    let candidates = vec![
        Candidate::new(format!("bridgewall, {ARRIVALS} at once"), several),
        Candidate::new("bridgewall, one alone", alone),
        Candidate::new(format!("bridgewall, tcx links, {ARRIVALS} at once"), links),
        Candidate::new("clang alone, the same C for each", compile_with_clang),
    ];
    let table = compare(table, options.rounds(), candidates);
    let [_, alone, _, clang] = &table.rows[..] else {
        unreachable!("there are four candidates");
    };
    goals.at_least(
        "clang for each endpoint, beside arming one alone",
        clang.value / alone.value,
        TIMES_FASTER,
        "times",
    );
    table
}

/// By the clock, as the daemon's log has it.
fn parts(options: &Options, goals: &mut Goals) -> Table {
    let table = Table::new(
        "control-arm-parts",
        format!("Where the time goes that arming one container takes, beside {CONTAINERS} others"),
        "microseconds",
    );
    let containers = options.amount(CONTAINERS);
    let mut crowd = named("parts", || Crowd::new(containers as usize));
    let (daemon, process) = named("parts", || enforce(&crowd, Attach::Auto, containers, RULES));
    settle(process);
    let mut passes = Passes::of(&daemon);
    let rounds: Vec<_> = (0..options.rounds())
        .map(|_| {
            passes.skip();
            crowd.add(1);
            crowd.await_armed();
            settle(process);
            let parts = passes.parts();
            crowd.remove(1);
            settle(process);
            parts
        })
        .collect();
    let sums = |of: &dyn Fn(&str) -> bool| {
        let sum = |parts: &Vec<(String, f64)>| {
            let parts = parts.iter().filter(|(name, _)| of(name));
            parts.map(|(_, time)| time).sum()
        };
        median_of(rounds.iter().map(sum).collect())
    };
    let own = sums(&|name| name != ATTACHING);
    goals.at_most(
        "arming, the daemon's own work beside the kernel's attach",
        own / 1e3,
        1.0,
        "ms",
    );
    let names = rounds.iter().flatten().map(|(name, _)| name.as_str());
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    let each = seen.iter().map(|name| (*name, sums(&|part| part == *name)));
    let all = [("all of it", sums(&|_| true)), ("own work", own)];
    let values: Vec<_> = all.into_iter().chain(each).collect();
    Table {
        rounds: options.rounds(),
        ..plain(table, &values)
    }
}

/// What has no templates compiles for every interface: the build script does that once, with clang. (What
/// it does beside that is little.)
fn compile_with_clang() -> f64 {
    // cutime and cstime, in ticks of 10 ms.
    let children = || stat_of("self")[13..15].iter().sum::<u64>() as f64 * 1e4;
    let place = tempfile::tempdir().expect("a temporary directory");
    let before = children();
    let status = Command::new(env!("BRIDGEWALL_BUILD_SCRIPT"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("OUT_DIR", place.path())
        .env("CARGO_CFG_TARGET_ARCH", std::env::consts::ARCH)
        .stdout(Stdio::null())
        .status()
        .expect("run the build script");
    assert!(status.success(), "the build script: {status}");
    children() - before
}

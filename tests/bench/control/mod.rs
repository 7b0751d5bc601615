//! What the daemon does: arming, edits of the policy, its start, and doing nothing; beside what others do,
//! and beside what was asked for.

mod arming;
mod editing;
mod goals;
mod libnftables;
pub mod lists;
mod living;
mod passes;

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Options;
use crate::common::PATIENCE;
use crate::common::crowd::{CONFIGURATION, Crowd, cpu_of, policy};
use crate::common::daemon::{Attach, Daemon};
use crate::report::{Row, Table};
use goals::Goals;

/// Rules and containers of the host that is looked at closely.
const RULES: usize = 1_000;
const CONTAINERS: u32 = 200;

/// All of it.
pub fn measure(options: &Options) -> Vec<Table> {
    let mut goals = Goals::default();
    let mut tables = arming::measure(options, &mut goals);
    tables.extend(editing::measure(options, &mut goals));
    tables.extend(living::measure(options, &mut goals));
    tables.push(goals.table());
    tables
}

fn enforce(crowd: &Crowd, attach: Attach, containers: u32, rules: usize) -> (Daemon, u32) {
    let policy = policy(rules);
    let containers = containers.into();
    let daemon = Daemon::start(crowd.place(), attach, CONFIGURATION, &policy, containers);
    let process = daemon.pid().expect("it runs");
    (daemon, process)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Places are named after their threads.
fn named<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(format!("bench-{name}"));
        let handle = thread.spawn_scoped(scope, work).expect("start a thread");
        handle.join().expect("the work is done")
    })
}

/// Waits until a process has used no CPU for a while.
fn settle(process: u32) {
    let mut last = cpu_of(process);
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = cpu_of(process);
        if now - last < Duration::from_micros(200) {
            return;
        }
        last = now;
    }
}

/// How long it takes, from a change of what the daemon watches, until its policy judges, as it tells.
fn until_judged(daemon: &Daemon, process: u32, change: impl FnOnce()) -> Duration {
    settle(process);
    let before = daemon.revision();
    let began = SystemTime::now().duration_since(UNIX_EPOCH);
    change();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "what has changed is not taken");
        // Who asks takes time from the daemon.
        thread::sleep(Duration::from_millis(200));
        let status = daemon.status();
        if status["policy"]["revision"].as_u64() > Some(before) {
            let committed = status["policy"]["committed_at"].as_f64();
            let committed = Duration::from_secs_f64(committed.expect("it was committed"));
            return committed.saturating_sub(began.expect("after 1970"));
        }
    }
}

/// The fields of `/proc/PROCESS/stat` from the third one on (proc(5)).
fn stat_of(process: &str) -> Vec<u64> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(path).expect("read a process's times");
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = fields.split_whitespace();
    fields.map(|text| text.parse().unwrap_or(0)).collect()
}

/// Values that are compared with nothing but the first of them.
fn plain(table: Table, values: &[(&str, f64)]) -> Table {
    let row = |(name, value): &(&str, f64)| Row {
        name: (*name).to_owned(),
        ratio: value / values[0].1,
        lowest: value / values[0].1,
        highest: value / values[0].1,
        value: *value,
        goal: None,
    };
    Table {
        rows: values.iter().map(row).collect(),
        rounds: 1,
        ..table
    }
}

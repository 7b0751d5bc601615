//! A daemon's life: its start, containers that come and go, and rest.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::goals::Goals;
use super::{RULES, enforce, microseconds, milliseconds, named, plain, settle, stat_of};
use crate::Options;
use crate::common::crowd::{Crowd, cpu_of, resident};
use crate::common::daemon::{Attach, Daemon};
use crate::report::{Table, figure};

/// Containers a second that come and go. A hundred is what was asked for.
const RATES: [u32; 3] = [120, 60, 30];

/// Seconds for which a daemon that has nothing to do is watched, at least.
const REST: u64 = 10;

pub fn measure(options: &Options, goals: &mut Goals) -> Vec<Table> {
    let start = start(options, goals);
    let churn = churn(options, goals);
    let memory = rest(options, goals);
    vec![start, churn, memory]
}

/// From nothing to all armed, by the clock.
fn start(options: &Options, goals: &mut Goals) -> Table {
    let containers = options.amount(1_000);
    let table = Table::new(
        "control-start",
        format!(
            "Start of the daemon with {containers} containers and {RULES} rules, until all are armed"
        ),
        "milliseconds",
    );
    let crowd = named("start", || Crowd::new(containers as usize));
    let began = Instant::now();
    let (mut daemon, process) = named("start", || enforce(&crowd, Attach::Auto, containers, RULES));
    let fresh = began.elapsed();
    let used = cpu_of(process);
    daemon.kill();
    let began = Instant::now();
    daemon.launch();
    daemon.await_endpoints(containers.into());
    let again = began.elapsed();
    let used_again = cpu_of(daemon.pid().expect("it runs"));
    goals.at_most(
        &format!("start with {containers} endpoints"),
        fresh.as_secs_f64(),
        3.0,
        "s",
    );
    let rows = [
        ("the first time, by the clock", fresh),
        ("the first time, CPU", used),
        ("after a kill, all adopted, by the clock", again),
        ("after a kill, all adopted, CPU", used_again),
    ];
    plain(table, &rows.map(|(name, time)| (name, milliseconds(time))))
}

/// Containers come and go, as many a second as said: does it keep up, and what does each cost?
fn churn(options: &Options, goals: &mut Goals) -> Table {
    let seconds = options.amount(10);
    let table = Table::new(
        "control-churn",
        format!("Containers come and go for {seconds} s, beside 100 others"),
        "microseconds of CPU for each",
    );
    let mut crowd = named("churn", || Crowd::new(100));
    let (_daemon, process) = named("churn", || enforce(&crowd, Attach::Auto, 100, RULES));
    let costs = RATES.map(|rate| {
        settle(process);
        let before = cpu_of(process);
        let began = Instant::now();
        let ticks = seconds * 10;
        let mut added = 0;
        for tick in 1..=ticks {
            let wanted = rate * tick / 10;
            let now = (wanted - added) as usize;
            added = wanted;
            crowd.add(now);
            crowd.remove(now);
            let next = began + Duration::from_millis(100) * tick;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        crowd.await_armed();
        let done = f64::from(added) / began.elapsed().as_secs_f64();
        settle(process);
        let used = cpu_of(process) - before;
        (done, microseconds(used) / f64::from(added))
    });
    let (done, each) = costs[0];
    let percent = each / 1e4;
    let name = format!(
        "arms while containers churn (a hundred take {} % of a CPU)",
        figure(percent * 100.0)
    );
    goals.at_least(&name, done, 100.0, "a second");
    let names = RATES.map(|rate| format!("{rate} a second"));
    let values: Vec<_> = names
        .iter()
        .map(String::as_str)
        .zip(costs.map(|(_, each)| each))
        .collect();
    plain(table, &values)
}

/// What it costs when nothing changes, and what is taken all the while.
fn rest(options: &Options, goals: &mut Goals) -> Table {
    let seconds = u64::from(options.amount(60)).max(REST);
    let crowd = named("rest", || Crowd::new(100));
    crowd.address();
    let (daemon, process) = named("rest", || enforce(&crowd, Attach::Auto, 100, RULES));
    settle(process);
    let ticks = || stat_of(&process.to_string())[11..13].iter().sum::<u64>();
    let before = (cpu_of(process), ticks());
    thread::sleep(Duration::from_secs(seconds));
    let used = cpu_of(process) - before.0;
    let ticks = ticks() - before.1;
    let megabytes = resident(process) as f64 / 1e6;
    goals.at_most(
        "resident memory, 100 endpoints and 1,000 rules",
        megabytes,
        30.0,
        "MB",
    );
    let each = microseconds(used) / seconds as f64;
    let name = format!("idle for {seconds} s ({} us of CPU a second)", figure(each));
    goals.at_most(&name, ticks as f64, 1.0, "ticks of 10 ms");
    memory(&daemon)
}

/// The kernel's maps, as `status` shows them.
fn memory(daemon: &Daemon) -> Table {
    let table = Table::new(
        "control-memory",
        "Kernel memory of the maps, at most: the limits of the configuration decide that",
        "megabytes",
    );
    let status = daemon.status();
    let maps = status["maps"].as_array().expect("status has maps");
    let megabytes = |map: &Value, field| map[field].as_f64().expect("a size") / 1e6;
    let sum = |field| maps.iter().map(|map| megabytes(map, field)).sum();
    let mut values = vec![
        ("all, when they are full", sum("bytes_at_most")),
        ("all, now", sum("bytes")),
    ];
    let mut each: Vec<_> = maps
        .iter()
        .map(|map| {
            let name = map["name"].as_str().expect("a name");
            (name, megabytes(map, "bytes_at_most"))
        })
        .collect();
    each.sort_by(|a, b| b.1.total_cmp(&a.1));
    each.truncate(8);
    values.extend(each);
    plain(table, &values)
}

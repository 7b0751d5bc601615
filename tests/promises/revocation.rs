//! A change of policy reaches live connections.

use std::time::Duration;

use crate::common::daemon::{Attach, Daemon};
use crate::common::sandbox::Sandbox;
use crate::common::stream::Stream;
use crate::common::{eventually, frame};
use crate::matrix::SENTINEL;
use crate::policies::Side;
use crate::{dose, sandbox};

/// Connections in the table beside those that are watched.
const OTHERS: u64 = 100_000;

/// For them, so that none is removed for want of room: that begins at three quarters of an account.
const ROOM: &str = "\n[limits]\nnew_flows = 524288\nnew_flows_per_endpoint = 262144\n";

/// Tries to open so many connections that every policy allows.
fn open_others(sandbox: &Sandbox) {
    let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
    let socket = frame::sender(&web.namespace, "eth0");
    for (from, to) in std::iter::zip(web.addresses(), db.addresses()) {
        // Not from the ports of DHCP servers, which nobody may send from.
        for port in 1001..=1000 + (OTHERS / 2) as u16 {
            let frame = frame::udp((web.mac, db.mac), (from, to), (port, SENTINEL), b"other");
            socket.send(&frame).expect("send a raw frame");
        }
    }
}

/// What a live connection still got through after the commit, at the receiver: median, 99th percentile
/// and worst.
fn report(what: &str, mut late: Vec<Duration>) {
    late.sort_unstable();
    let at = |percent: usize| late[(late.len() * percent).div_ceil(100).max(1) - 1];
    println!(
        "revocation, {what}: {} times, last arrival after the commit p50 {:?} p99 {:?} worst {:?}",
        late.len(),
        at(50),
        at(99),
        at(100)
    );
    // Only a sanity check: the figures are the benchmark's.
    assert!(at(100) < Duration::from_secs(1), "{late:?}");
}

#[test]
fn what_a_new_policy_forbids_ends_and_the_rest_loses_nothing_among_100_000_connections() {
    let sandbox = sandbox();
    let daemon = Daemon::start(
        sandbox.place(),
        Attach::Auto,
        &format!(
            "{}{ROOM}[timeouts]\nudp_new = 3600\n",
            sandbox.configuration()
        ),
        &Side::A.text(),
        3,
    );
    let allowing = |ports: &str| Side::A.text().replace("\"5\"", &format!("\"5\", {ports}"));
    let [web, db] = ["web", "db"].map(|name| &sandbox.container(name).namespace);
    let to = |port| sandbox.container("db").sockets(port);
    let both = allowing(r#""5000", "5000/udp", "6000", "6000/udp""#);
    daemon.edit(&both);
    let held = || daemon.status()["flows"]["new"]["held"].as_u64();
    // On a busy machine the kernel's own queue loses some of so many at once.
    eventually("so many connections are open", || {
        open_others(&sandbox);
        (held() >= Some(OTHERS)).then_some(())
    });
    let [ipv4, ipv6] = to(5000);
    let staying = [Stream::udp(web, db, ipv4), Stream::tcp(web, db, ipv6)];
    let (mut udp, mut tcp) = (Vec::new(), Vec::new());
    for number in 0..dose("REVOCATIONS", 4) {
        let target = to(6000)[number % 2];
        let leaving = [Stream::udp(web, db, target), Stream::tcp(web, db, target)];
        let committed = daemon.edit(&allowing(r#""5000", "5000/udp""#));
        for (stream, late) in leaving.into_iter().zip([&mut udp, &mut tcp]) {
            stream.assert_ended();
            late.push(stream.last_arrival().saturating_sub(committed));
        }
        daemon.edit(&both);
    }
    for stream in staying {
        stream.assert_flowing();
        stream.finish().assert_no_loss();
    }
    assert!(held() >= Some(OTHERS), "{:?}", held());
    report("UDP", udp);
    report("TCP", tcp);
}

//! A change of policy reaches live connections.

use std::time::Duration;

use bridgewall::kernel::abi;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::common::daemon::Attach;
use crate::common::stream::Stream;
use crate::policies::Side;
use crate::{dose, enforce, sandbox};

/// Connections in the table beside those that are watched.
const OTHERS: u32 = 100_000;

/// Enters so many connections as the programs would.
fn fill(flows: &MapHandle) {
    let (key_size, value_size) = (size_of::<abi::flow_key>(), size_of::<abi::flow>());
    let protocol = std::mem::offset_of!(abi::flow_key, protocol);
    let seen = std::mem::offset_of!(abi::flow, last_seen);
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for number in 0..OTHERS {
        let mut key = vec![0; key_size];
        key[..4].copy_from_slice(&number.to_be_bytes());
        key[protocol] = 17;
        keys.extend(key);
        let mut value = vec![0; value_size];
        value[seen..seen + 8].copy_from_slice(&u64::MAX.to_ne_bytes());
        values.extend(value);
    }
    flows
        .update_batch(&keys, &values, OTHERS, MapFlags::ANY, MapFlags::ANY)
        .expect("fill the table of connections");
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
    let daemon = enforce(&sandbox, Attach::Auto, Side::A);
    let allowing = |ports: &str| Side::A.text().replace("\"5\"", &format!("\"5\", {ports}"));
    let [web, db] = ["web", "db"].map(|name| &sandbox.container(name).namespace);
    let to = |port| sandbox.container("db").sockets(port);
    let both = allowing(r#""5000", "5000/udp", "6000", "6000/udp""#);
    daemon.edit(&both);
    fill(&MapHandle::from_pinned_path(sandbox.place().pins().join("maps-1/flows")).expect("open"));
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
    let flows = daemon.status()["maps"].clone();
    for stream in staying {
        stream.assert_flowing();
        stream.finish().assert_no_loss();
    }
    let listed = daemon.json(&["list", "flows"]);
    assert!(!listed.is_null() && !flows.is_null());
    report("UDP", udp);
    report("TCP", tcp);
}

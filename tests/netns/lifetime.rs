//! Enforcement outlives the daemon, and ends only when it is told to.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::{firewall, policy};
use crate::common::daemon::{Attach, Daemon};
use crate::common::eventually;
use crate::common::probe;
use crate::common::sandbox::Sandbox;
use crate::common::service::Service;
use crate::common::stream::Stream;
use crate::common::verdict::Traffic::{Ping, Tcp};
use crate::common::verdict::{Verdicts, why};

const RULES: &str = r#"
    [[allow]]
    from  = "web"
    to    = "db"
    ports = ["80/tcp", "5000/tcp", "5000/udp"]
"#;

/// They are there a hundred times sooner than links.
#[test]
fn filters_attach_the_programs_where_nobody_else_s_are_in_the_way_and_status_says_so() {
    let sandbox = Sandbox::new(&["db", "web"]);
    let daemon = firewall(&sandbox, Attach::Auto, RULES);
    let attach = daemon.status()["attach"].clone();
    assert_eq!(attach, json!({ "mode": "clsact", "fallbacks": [] }));
}

/// A look a minute is all that an idle daemon does, so within a second there are hardly any: a thread
/// that polls would wake up again and again.
#[test]
fn an_idle_daemon_sleeps() {
    let sandbox = Sandbox::new(&["db", "web"]);
    let daemon = firewall(&sandbox, Attach::Auto, RULES);
    let process = daemon.pid().expect("it runs");
    let wakeups = || -> u64 {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
        let of = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let line = status
                .lines()
                .find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        tasks.flatten().filter_map(of).sum()
    };
    eventually("the daemon sleeps through a second", || {
        let before = wakeups();
        thread::sleep(Duration::from_secs(1));
        (wakeups() == before).then_some(())
    });
}

/// As some network plugins do. Nobody asks the daemon for anything.
#[test]
fn filters_that_somebody_removes_are_put_back() {
    let sandbox = Sandbox::new(&["db", "web"]);
    let daemon = firewall(&sandbox, Attach::Auto, RULES);
    let host = &sandbox.host().namespace;
    let filter = || {
        let shown = host.run("tc", &["filter", "show", "dev", "web", "egress"]);
        shown.contains("to_endpoint").then_some(())
    };
    eventually("the filter is there", filter);
    host.run("tc", &["qdisc", "del", "dev", "web", "clsact"]);
    eventually("the filter is there again", filter);
    let status = daemon.status();
    assert_eq!(status["endpoints"]["armed"], 2, "{status:#}");
}

on_both_hooks! {
    fn a_killed_daemon_opens_nothing_and_cuts_nothing(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let mut daemon = firewall(&sandbox, attach, RULES);
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        let (allowed, forbidden) = (Service::tcp(&db.namespace, 80, "hello"), Service::tcp(&db.namespace, 81, "hello"));
        let [ipv4, ipv6] = db.sockets(5000);
        let streams = [
            Stream::udp(&web.namespace, &db.namespace, ipv4),
            Stream::tcp(&web.namespace, &db.namespace, ipv6),
        ];

        daemon.kill();
        for stream in &streams {
            stream.assert_flowing();
        }
        for (to, not_to) in db.sockets(80).into_iter().zip(db.sockets(81)) {
            probe::assert_connects(&web.namespace, to);
            probe::assert_dropped(&web.namespace, not_to);
        }
        assert_eq!((allowed.heard(), forbidden.heard()), (2, 0));
        drop((allowed, forbidden));

        // The next daemon takes over what the last one left, in the middle of the traffic.
        daemon.launch();
        daemon.await_endpoints(2);
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, db, Tcp(80));
        verdicts.dropped(web, db, Tcp(81), why::DEFAULT);
        for stream in streams {
            stream.assert_flowing();
            stream.finish().assert_no_loss();
        }
    }

    fn a_stopped_daemon_leaves_its_policy_in_force(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let mut daemon = firewall(&sandbox, attach, RULES);
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        let stream = Stream::tcp(&web.namespace, &db.namespace, db.sockets(5000)[1]);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.await_end(), Some(0));
        stream.assert_flowing();
        stream.finish().assert_no_loss();
        let forbidden = Service::tcp(&db.namespace, 81, "hello");
        for to in db.sockets(81) {
            probe::assert_dropped(&web.namespace, to);
        }
        assert_eq!(forbidden.heard(), 0);
    }

    fn a_restart_is_no_new_policy(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let mut daemon = firewall(&sandbox, attach, RULES);
        let policy = |daemon: &Daemon| {
            let policy = &daemon.status()["policy"];
            (policy["generation"].clone(), policy["committed_at"].clone())
        };
        let before = policy(&daemon);
        assert!(before.1.is_number(), "{before:?}");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.await_end(), Some(0));
        daemon.launch();
        daemon.await_endpoints(2);
        assert_eq!(policy(&daemon), before);
    }

    fn stop_detach_opens_everything_and_leaves_nothing(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let mut daemon = firewall(&sandbox, attach, RULES);
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        Verdicts::of(&daemon).dropped(web, db, Ping, why::DEFAULT);

        daemon.stop_and_detach();
        for address in db.addresses() {
            probe::assert_pings(&web.namespace, address);
        }
        let pins = sandbox.place().pins();
        let left: Vec<_> = std::fs::read_dir(&pins).map(Iterator::collect).unwrap_or_default();
        assert!(left.is_empty(), "pins are left: {left:?}");
        for interface in sandbox.names() {
            for direction in ["ingress", "egress"] {
                let filters = sandbox
                    .host()
                    .namespace
                    .run("tc", &["filter", "show", "dev", interface, direction]);
                assert_eq!(filters, "", "filters are left at {interface}");
            }
            let disciplines = sandbox
                .host()
                .namespace
                .run("tc", &["qdisc", "show", "dev", interface]);
            assert!(
                !disciplines.contains("clsact"),
                "a discipline is left at {interface}: {disciplines}"
            );
        }

        // And it can be switched on again.
        daemon.launch();
        daemon.await_endpoints(2);
        Verdicts::of(&daemon).dropped(web, db, Ping, why::DEFAULT);
    }

    fn a_hangup_reads_the_policy_again(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let daemon = firewall(&sandbox, attach, RULES);
        let before = daemon.revision();
        daemon.signal(Signal::SIGHUP);
        eventually("a load without effect is a revision too", || {
            (daemon.revision() > before).then_some(())
        });
    }

    fn a_broken_file_at_start_leaves_the_last_good_policy_in_force(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let mut daemon = firewall(&sandbox, attach, RULES);
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        daemon.edit_badly(&policy(&["db"], RULES));
        daemon.kill();
        daemon.launch();
        daemon.await_endpoints(2);
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, db, Tcp(80));
        verdicts.dropped(web, db, Tcp(81), why::DEFAULT);
    }
}

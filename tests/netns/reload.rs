//! A policy changes while traffic flows.

use std::time::Duration;

use super::{firewall, policy};
use crate::common::sandbox::Sandbox;
use crate::common::stream::Stream;
use crate::common::verdict::Traffic::Tcp;
use crate::common::verdict::{Verdicts, why};

/// Within this time of a commit, what is no longer allowed has ended.
const REVOKED_WITHIN: Duration = Duration::from_millis(10);

/// A policy under which web may open these ports of db.
fn allowing(ports: &str) -> String {
    let rules = format!("[[allow]]\nfrom = \"web\"\nto = \"db\"\nports = [{ports}]\n");
    policy(&["db", "web"], &rules)
}

on_both_hooks! {
    fn a_connection_that_stays_allowed_loses_nothing_and_one_that_does_not_ends(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let daemon = firewall(&sandbox, attach, "");
        let [web, db] = ["web", "db"].map(|name| &sandbox.container(name).namespace);
        daemon.edit(&allowing(r#""5000/tcp", "5000/udp", "6000/tcp", "6000/udp""#));

        for family in 0..2 {
            let to = |port| sandbox.container("db").sockets(port)[family];
            let staying = [Stream::tcp(web, db, to(5000)), Stream::udp(web, db, to(5000))];
            let leaving = [Stream::tcp(web, db, to(6000)), Stream::udp(web, db, to(6000))];

            let committed = daemon.edit(&allowing(r#""5000/tcp", "5000/udp""#));
            for stream in leaving {
                stream.assert_ended();
                let late = stream.youngest_arrival().saturating_sub(committed);
                assert!(late <= REVOKED_WITHIN, "a packet passed {late:?} after the commit");
            }
            for stream in staying {
                stream.assert_flowing();
                stream.finish().assert_no_loss();
            }
            daemon.edit(&allowing(r#""5000/tcp", "5000/udp", "6000/tcp", "6000/udp""#));
        }
        assert!(daemon.drops(why::DEFAULT) > 0, "what ended was counted");
    }

    fn what_is_allowed_again_may_connect_again(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let daemon = firewall(&sandbox, attach, "");
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        verdicts.dropped(web, db, Tcp(80), why::DEFAULT);
        for _ in 0..3 {
            daemon.edit(&allowing(r#""80/tcp""#));
            verdicts.allowed(web, db, Tcp(80));
            daemon.edit(&allowing(r#""81/tcp""#));
            verdicts.dropped(web, db, Tcp(80), why::DEFAULT);
        }
    }

    fn a_bad_policy_is_refused_whole_and_the_old_one_stays(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let daemon = firewall(&sandbox, attach, "");
        daemon.edit(&allowing(r#""80/tcp""#));
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        let stream = Stream::tcp(&web.namespace, &db.namespace, db.sockets(80)[0]);

        let refusal = daemon.edit_badly(&(allowing(r#""81/tcp", "90-80""#) + "\n[[allow]]\nfrom = \"nobody\"\nto = \"db\"\n"));
        for part in ["policy.toml", "90-80", "nobody"] {
            assert!(refusal.contains(part), "the refusal says nothing of {part}: {refusal}");
        }
        stream.assert_flowing();
        stream.finish().assert_no_loss();
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(web, db, Tcp(80));
        verdicts.dropped(web, db, Tcp(81), why::DEFAULT);

        let output = daemon.command(&["reload"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.starts_with("error: ") && !told.contains("error: error"), "{told}");
        assert!(told.contains("90-80") && told.contains("2 errors"), "{told}");

        // A good file puts an end to it.
        daemon.edit(&allowing(r#""81/tcp""#));
        verdicts.allowed(web, db, Tcp(81));
        verdicts.dropped(web, db, Tcp(80), why::DEFAULT);
    }

    fn an_emptied_file_does_not_disarm_the_host(attach) {
        let sandbox = Sandbox::new(&["db", "web"]);
        let daemon = firewall(&sandbox, attach, "");
        daemon.edit_badly("# nothing\n");
        let verdicts = Verdicts::of(&daemon);
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        verdicts.dropped(web, db, Tcp(80), why::DEFAULT);
    }
}

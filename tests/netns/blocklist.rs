//! A list of prefixes in a file of its own, which changes while traffic flows.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use super::{firewall, policy};
use crate::common::daemon::Daemon;
use crate::common::eventually;
use crate::common::sandbox::Sandbox;
use crate::common::stream::Stream;
use crate::common::verdict::Traffic::Tcp;
use crate::common::verdict::{Verdicts, why};

/// Lines beside those that matter.
const LINES: u32 = 20_000;

const RULES: &str = r#"
    [networks.blocklist]
    file = "blocklist.txt"

    [[allow]]
    from = "any"
    to   = "web"

    [[deny]]
    from = "blocklist"
    to   = "any"
"#;

/// Many addresses of nobody here, one of the line `bad` if given, and these at the end.
fn list(last: &[&str], bad: Option<u32>) -> String {
    let mut text = String::from("# nobody here\n");
    for n in 0..LINES {
        if bad == Some(n) {
            text += "198.18.0.0/99 # no such length\n";
        } else {
            text += &format!("{}\n", Ipv4Addr::from_bits(0x6440_0000 + n * 3));
        }
    }
    text + &last.join("\n")
}

fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("write a list");
    fs::rename(&beside, path).expect("rename a list");
}

/// Does something to the list, and waits until it is in force.
#[track_caller]
fn changed(daemon: &Daemon, change: impl FnOnce()) {
    let before = daemon.revision();
    change();
    eventually("the changed list is taken", || {
        assert_eq!(daemon.status()["policy"]["error"], Value::Null);
        (daemon.revision() > before).then_some(())
    });
}

/// Single addresses all over the world, of which each takes a block and more: as many as the kernel's
/// table has no room for at first.
fn scattered() -> String {
    (0..60_000_u128)
        .map(|n| {
            format!(
                "{}\n",
                Ipv6Addr::from((1 << 125) + n * (u128::MAX / 500_000) + 1)
            )
        })
        .collect()
}

/// Bytes that the kernel has taken for search trees of networks.
fn memory(daemon: &Daemon) -> u64 {
    let status = daemon.status();
    let mut maps = status["maps"].as_array().expect("a list").iter();
    let trees = maps.find(|map| map["name"] == "network_nodes");
    trees.expect("it is there")["bytes"]
        .as_u64()
        .expect("a number")
}

on_both_hooks! {
    fn a_list_that_is_edited_replaced_or_linked_anew_counts_at_once(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        sandbox.add_far(1500);
        let folder = sandbox.place().directory().to_path_buf();
        let path = folder.join("blocklist.txt");
        put(&path, &list(&[], None));
        let daemon = firewall(&sandbox, attach, RULES);
        let [web, far, outside] = [sandbox.container("web"), sandbox.far(), sandbox.outside()];
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(far, web, Tcp(80));

        let both = ["203.0.113.2", "2001:db8:f::2"];
        changed(&daemon, || put(&path, &list(&both, None)));
        verdicts.dropped(far, web, Tcp(80), why::DENIED);
        verdicts.allowed(outside, web, Tcp(80));

        changed(&daemon, || fs::write(&path, list(&[], None)).expect("edit the list"));
        verdicts.allowed(far, web, Tcp(80));

        put(&folder.join("other.txt"), &list(&["203.0.113.0/24", "2001:db8:f::/64"], None));
        changed(&daemon, || {
            symlink("other.txt", folder.join("link")).expect("make a link");
            fs::rename(folder.join("link"), &path).expect("swap it");
        });
        verdicts.dropped(far, web, Tcp(80), why::DENIED);
    }

    fn a_bad_line_is_named_and_the_old_list_stays(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        sandbox.add_far(1500);
        let path = sandbox.place().directory().join("blocklist.txt");
        put(&path, &list(&["203.0.113.2", "2001:db8:f::2"], None));
        let daemon = firewall(&sandbox, attach, RULES);
        let before = daemon.revision();
        put(&path, &list(&[], Some(17_000)));
        let refusal = eventually("the bad list is refused", || {
            daemon.status()["policy"]["error"].as_str().map(str::to_owned)
        });
        for part in ["blocklist.txt:17002", "198.18.0.0/99"] {
            assert!(refusal.contains(part), "the refusal says nothing of {part}: {refusal}");
        }
        assert_eq!(daemon.revision(), before);
        let [web, far] = [sandbox.container("web"), sandbox.far()];
        Verdicts::of(&daemon).dropped(far, web, Tcp(80), why::DENIED);
        daemon.edit(&policy(&["web"], "[defaults]\ningress = \"allow\"\n"));
    }

    fn what_a_changed_list_does_not_name_loses_nothing(attach) {
        let sandbox = Sandbox::new(&["web"]);
        let path = sandbox.place().directory().join("blocklist.txt");
        put(&path, &list(&[], None));
        let daemon = firewall(&sandbox, attach, RULES);
        let [web, outside] = [sandbox.container("web"), sandbox.outside()];
        for family in 0..2 {
            let to = web.sockets(80)[family];
            let stream = Stream::udp(&outside.namespace, &web.namespace, to);
            for last in ["198.51.100.77", "192.0.2.200"] {
                changed(&daemon, || put(&path, &list(&[last], None)));
            }
            stream.assert_flowing();
            stream.finish().assert_no_loss();
        }
    }

    fn a_list_that_needs_more_room_gets_it_while_everything_goes_on(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        sandbox.add_far(1500);
        let path = sandbox.place().directory().join("blocklist.txt");
        put(&path, &list(&[], None));
        let mut daemon = firewall(&sandbox, attach, RULES);
        let [web, far, outside] = [sandbox.container("web"), sandbox.far(), sandbox.outside()];
        let before = memory(&daemon);
        let stream = Stream::udp(&outside.namespace, &web.namespace, web.sockets(81)[0]);

        let mut large = scattered();
        large += "203.0.113.2\n2001:db8:f::2\n";
        changed(&daemon, || put(&path, &large));
        stream.assert_flowing();
        stream.finish().assert_no_loss();
        Verdicts::of(&daemon).dropped(far, web, Tcp(80), why::DENIED);
        Verdicts::of(&daemon).allowed(outside, web, Tcp(80));
        let after = memory(&daemon);
        assert!(after > before, "{after} bytes after {before}");
        assert!(daemon.log_says("there is room for"));

        // It is the same after a kill, and for what comes then.
        daemon.kill();
        daemon.launch();
        daemon.await_endpoints(1);
        assert_eq!(memory(&daemon), after);
        Verdicts::of(&daemon).dropped(far, web, Tcp(82), why::DENIED);
        changed(&daemon, || put(&path, &list(&[], None)));
        Verdicts::of(&daemon).allowed(far, web, Tcp(80));
    }
}

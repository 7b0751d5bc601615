//! Past the bridge, where that skips nothing, and nowhere else.

use serde_json::Value;

use super::policy;
use crate::common::daemon::{Attach, Daemon};
use crate::common::sandbox::{BRIDGE, Sandbox};
use crate::common::verdict::Traffic::{Ping, Tcp, Udp};
use crate::common::verdict::{Verdicts, why};
use crate::common::{eventually, eventually_equals};

const RULES: &str = r#"
    [[allow]]
    from  = "web"
    to    = "db"
    ports = ["80/tcp", "53/udp"]
    icmp  = ["echo-request"]
"#;

/// A host whose bridge is nothing but a bridge.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(&["web", "db"]);
    show_to_iptables(&sandbox, false);
    sandbox
}

/// Where the kernel has it at all.
fn show_to_iptables(sandbox: &Sandbox, shown: bool) {
    for tool in ["iptables", "ip6tables"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{tool}");
        let value = if shown { "1" } else { "0" };
        // Without br_netfilter there is no such file, and nothing to switch.
        let _ = sandbox
            .host()
            .namespace
            .inside(|| std::fs::write(path, value));
    }
}

fn daemon(sandbox: &Sandbox, attach: Attach, switch: &str) -> Daemon {
    let configuration = sandbox
        .configuration()
        .replace("managed = []", &format!("managed = []\n{switch}"));
    let policy = policy(&sandbox.names(), RULES);
    Daemon::start(sandbox.place(), attach, &configuration, &policy, 2)
}

/// What `status` says of the bridge: whether packets go past it, and why not.
fn fast_path(daemon: &Daemon) -> (bool, String) {
    let bridge = daemon.status()["bridges"][0].clone();
    assert_eq!(bridge["name"], BRIDGE);
    let reason = bridge["reason"].as_str().unwrap_or_default().to_owned();
    (bridge["fast_path"] == Value::Bool(true), reason)
}

/// Packets that have left the host by a container's interface.
fn sent_by(sandbox: &Sandbox, interface: &str) -> u64 {
    let host = &sandbox.host().namespace;
    let text = host.run("ip", &["-json", "-statistics", "link", "show", interface]);
    let links: Value = serde_json::from_str(&text).expect("JSON of ip");
    links[0]["stats64"]["tx"]["packets"]
        .as_u64()
        .expect("a count")
}

on_both_hooks! {
    fn what_is_allowed_goes_past_the_bridge_and_nothing_else_does(attach) {
        let sandbox = sandbox();
        let daemon = daemon(&sandbox, attach, "");
        eventually_equals("the fast path is on", &(true, String::new()), || fast_path(&daemon));
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        // Neighbours get to know each other over the bridge.
        verdicts.allowed(web, db, Ping);
        let before = sent_by(&sandbox, "db");
        for traffic in [Tcp(80), Udp(53), Ping] {
            verdicts.allowed(web, db, traffic);
        }
        // ARP and neighbour discovery may be asked again, one question and answer in each family.
        assert!(sent_by(&sandbox, "db") - before <= 8, "over the bridge");
        for traffic in [Tcp(81), Udp(54)] {
            verdicts.dropped(web, db, traffic, why::DEFAULT);
        }
        verdicts.dropped(db, web, Tcp(80), why::DEFAULT);
    }
}

#[test]
fn it_is_off_where_the_configuration_says_so() {
    let sandbox = sandbox();
    let daemon = daemon(&sandbox, Attach::Auto, "fast_path = \"off\"");
    let (on, reason) = fast_path(&daemon);
    assert!(!on && reason.contains("bridges.fast_path"), "{reason}");
    let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
    Verdicts::of(&daemon).allowed(web, db, Tcp(80));
}

/// Each is put up while the daemon runs, which notices; and taken away again, which it notices too.
#[test]
fn whatever_would_be_skipped_switches_it_off() {
    let sandbox = sandbox();
    let daemon = daemon(&sandbox, Attach::Tcx, "");
    let on = || eventually("the fast path is on", || fast_path(&daemon).0.then_some(()));
    let host = &sandbox.host().namespace;
    // Any program would do.
    let programs = sandbox.place().pins().join("programs");
    let program = programs.join(format!("{}-egress", host.interface_index("db")));
    let program = program.display();
    on();
    for (said, put_up, take_away) in [
        (
            "table bridge other",
            "nft add table bridge other; nft add chain bridge other c '{ type filter hook forward priority 0; }'",
            "nft delete table bridge other",
        ),
        (
            "table netdev other",
            "nft add table netdev other; nft add chain netdev other c '{ type filter hook ingress device web priority 0; }'",
            "nft delete table netdev other",
        ),
        (
            "port web is isolated",
            "bridge link set dev web isolated on",
            "bridge link set dev web isolated off",
        ),
        (
            "wait in a queue (tbf)",
            "tc qdisc add dev db root tbf rate 1gbit burst 64k latency 10ms",
            "tc qdisc del dev db root",
        ),
        (
            "port db has another program or filter",
            &*format!(
                "tc qdisc add dev db clsact; tc filter add dev db egress bpf direct-action object-pinned {program}"
            ),
            "tc qdisc del dev db clsact",
        ),
    ] {
        let shell = |script: &str| host.run("sh", &["-ec", script]);
        shell(put_up);
        eventually(said, || {
            let (on, reason) = fast_path(&daemon);
            (!on && reason.contains(said)).then_some(())
        });
        shell(take_away);
        on();
    }
}

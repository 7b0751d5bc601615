//! Which interfaces are uplinks, where nobody names them: those that default routes lead to.

use serde_json::Value;

use super::{CLOSED, UNMANAGED, guarded_at};
use crate::common::daemon::{Attach, Daemon};
use crate::common::eventually;
use crate::common::namespace::Namespace;
use crate::common::probe;
use crate::common::sandbox::{Node, Sandbox};
use crate::common::service::Service;

/// Nobody may connect to the host, and one sender may not even send.
const RULES: &str = r#"
    [[deny]]
    from = ["203.0.113.0/24", "2001:db8:f::/64"]
    to   = "any"
"#;

/// The uplinks on which everything is attached that should be.
fn guarded_uplinks(daemon: &Daemon) -> Vec<String> {
    let status = daemon.status();
    let uplinks = status["uplinks"].as_array().expect("a list").iter();
    uplinks
        .filter(|uplink| uplink["attached"] != Value::Null && uplink["xdp"] == "native")
        .map(|uplink| uplink["interface"].as_str().expect("a name").to_owned())
        .collect()
}

#[track_caller]
fn await_uplinks(daemon: &Daemon, expected: &[&str]) {
    eventually(&format!("the uplinks are {expected:?}"), || {
        let all = daemon.status()["uplinks"].as_array().map(Vec::len);
        (guarded_uplinks(daemon) == expected && all == Some(expected.len())).then_some(())
    });
}

/// Whether programs are attached to an interface of the host, by ip(8) and tc(8).
fn has_programs(host: &Namespace, interface: &str) -> bool {
    let link = host.run("ip", &["-details", "link", "show", "dev", interface]);
    let bpf = host.run("bpftool", &["net", "show", "dev", interface]);
    link.contains("prog/xdp") || bpf.contains("uplink")
}

/// A way to the outside beside the first one.
fn add_way(sandbox: &Sandbox) -> [Node; 2] {
    let (host, outside) = (sandbox.host(), sandbox.outside());
    host.namespace.ip(&format!(
        "link add second type veth peer name second netns {}
         addr add 198.51.100.1/24 dev second
         addr add 2001:db8:5::1/64 dev second nodad
         link set second up",
        outside.namespace.path().display()
    ));
    outside.namespace.ip("addr add 198.51.100.2/24 dev second
         addr add 2001:db8:5::2/64 dev second nodad
         link set second up");
    [(host, 1), (outside, 2)].map(|(node, last): (&Node, u8)| Node {
        namespace: node.namespace.duplicate(),
        ipv4: [198, 51, 100, last].into(),
        ipv6: [0x2001, 0xdb8, 5, 0, 0, 0, 0, last.into()].into(),
        mac: node.mac,
        interface: "second",
    })
}

/// The host's policy is enforced for who comes this way, or is not.
#[track_caller]
fn assert_guarded(host: &Node, outside: &Node, guarded: bool) {
    let _service = Service::tcp(&host.namespace, 80, "not for you");
    for socket in host.sockets(80) {
        if guarded {
            probe::assert_dropped(&outside.namespace, socket);
        } else {
            probe::assert_connects(&outside.namespace, socket);
        }
    }
    assert_eq!(has_programs(&host.namespace, host.interface), guarded);
}

#[test]
fn programs_are_where_default_routes_lead_to_and_move_with_them() {
    let sandbox = Sandbox::new(&[]);
    let (host, outside) = (sandbox.host(), sandbox.outside());
    let [second_host, second_outside] = add_way(&sandbox);
    let rules = format!("{CLOSED}{RULES}");
    let daemon = guarded_at(&sandbox, "", Attach::Auto, UNMANAGED, &rules);

    // Nowhere: that is said, for nobody is judged.
    await_uplinks(&daemon, &[]);
    assert_guarded(host, outside, false);
    let said = daemon.command(&["status"]).stdout;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("no default route"), "{said}");
    let examined = daemon.json(&["doctor"]).to_string();
    assert!(examined.contains("no default route"), "{examined}");

    // One family is enough.
    for (family, gateway) in [("-4", "192.0.2.2"), ("-6", "2001:db8:1::2")] {
        let route = |what: &str| {
            let arguments = [family, "route", what, "default", "via", gateway];
            host.namespace.run("ip", &arguments);
        };
        route("add");
        await_uplinks(&daemon, &["uplink"]);
        assert_guarded(host, outside, true);
        assert_guarded(&second_host, &second_outside, false);
        route("del");
        await_uplinks(&daemon, &[]);
        assert_guarded(host, outside, false);
    }

    // From one to the other, and to both.
    host.namespace.ip("route add default via 192.0.2.2");
    await_uplinks(&daemon, &["uplink"]);
    host.namespace.ip("route replace default via 198.51.100.2");
    await_uplinks(&daemon, &["second"]);
    assert_guarded(host, outside, false);
    assert_guarded(&second_host, &second_outside, true);
    host.namespace.ip("route add default via 2001:db8:1::2");
    eventually("both are uplinks", || {
        let mut uplinks = guarded_uplinks(&daemon);
        uplinks.sort_unstable();
        (uplinks == ["second", "uplink"]).then_some(())
    });
    // An interface that goes takes its route with it.
    host.namespace.ip("link del second");
    await_uplinks(&daemon, &["uplink"]);
    assert_guarded(host, outside, true);
}

//! The host's own policy, on its way to the outside.

mod routes;
mod trial;
mod xdp;

use std::net::SocketAddr;

use nix::sys::utsname::uname;
use serde_json::Value;

use super::policy;
use crate::common::daemon::{Attach, Daemon};
use crate::common::eventually;
use crate::common::probe;
use crate::common::sandbox::{Node, Sandbox};
use crate::common::service::Service;
use crate::common::stream::{Report, Stream};
use crate::common::verdict::Traffic::{Ping, Tcp, Udp};
use crate::common::verdict::{Verdicts, why};

/// A host that nobody may connect to but by a rule.
const CLOSED: &str = "[defaults.host]\ningress = \"deny\"\n";

/// Nobody is let in for being there already, unless a test says so.
const UNMANAGED: &str = "\n[management]\nenabled = false\n";

/// A daemon that watches a sandbox's uplink too.
#[track_caller]
fn guarded(sandbox: &Sandbox, attach: Attach, configuration: &str, rules: &str) -> Daemon {
    let uplinks = "interfaces = [\"uplink\"]\n";
    guarded_at(sandbox, uplinks, attach, configuration, rules)
}

/// The same, with something else in `[uplinks]`.
#[track_caller]
fn guarded_at(
    sandbox: &Sandbox,
    uplinks: &str,
    attach: Attach,
    configuration: &str,
    rules: &str,
) -> Daemon {
    let names = sandbox.names();
    let configuration = format!(
        "{}\n[uplinks]\n{uplinks}\n{configuration}",
        sandbox.configuration()
    );
    Daemon::start(
        sandbox.place(),
        attach,
        &configuration,
        &policy(&names, rules),
        names.len() as u64,
    )
}

/// What `status` says of the uplink.
#[track_caller]
fn uplink(daemon: &Daemon) -> Value {
    let status = daemon.status();
    let [uplink] = status["uplinks"].as_array().expect("a list").as_slice() else {
        panic!("one uplink: {status:#}");
    };
    uplink.clone()
}

/// Waits until the host's policy is enforced on the uplink, and gives by what.
#[track_caller]
fn await_attached(daemon: &Daemon) -> String {
    eventually("the uplink is guarded", || {
        uplink(daemon)["attached"].as_str().map(str::to_owned)
    })
}

/// Whether this kernel attaches by links: 6.6 and newer.
fn kernel_has_links() -> bool {
    let release = uname().expect("ask for the kernel's release");
    let release = release.release().to_string_lossy();
    let mut numbers = release.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (6, 6),
        _ => panic!("a kernel's release: {release}"),
    }
}

/// Links are attached without a single packet lost. Where the filters' discipline is made, the kernel
/// stops the interface for a moment and drops what was to be sent (qdisc_graft in net/sched/sch_api.c):
/// that much TCP has to send again.
#[track_caller]
fn assert_undisturbed(daemon: &Daemon, report: &Report) {
    if uplink(daemon)["attached"] == "tcx" {
        report.assert_no_loss();
    } else {
        report.assert_complete();
    }
}

/// Nobody gets through to a port of the host, and it is counted why.
#[track_caller]
fn assert_closed(daemon: &Daemon, from: &Node, to: &[SocketAddr]) {
    for &target in to {
        let before = daemon.drops(why::DEFAULT);
        probe::assert_dropped(&from.namespace, target);
        assert!(daemon.drops(why::DEFAULT) > before, "{target} is counted");
    }
}

/// The host translates the addresses of what its containers send to the outside.
fn masquerade(sandbox: &Sandbox) {
    let rules = "table inet nat {
        chain out {
            type nat hook postrouting priority srcnat
            oifname uplink masquerade
        }
    }";
    sandbox.host().namespace.run("nft", &[rules]);
}

on_both_hooks! {
    fn a_closed_host_lets_in_what_a_rule_allows_and_nothing_else(attach) {
        let sandbox = Sandbox::new(&[]);
        let rules = format!(
            r#"
            {CLOSED}
            [networks.office]
            cidrs = ["192.0.2.0/24", "2001:db8:1::/64"]

            [[allow]]
            name  = "ssh"
            from  = "office"
            to    = "host"
            ports = ["22/tcp"]
            "#
        );
        let daemon = guarded(&sandbox, attach, UNMANAGED, &rules);
        let (host, outside) = (sandbox.host(), sandbox.outside());
        let _web = Service::tcp(&host.namespace, 80, "not for you");
        assert_closed(&daemon, outside, &host.sockets(80));
        for address in host.addresses() {
            probe::assert_no_ping(&outside.namespace, address);
        }
        let heard = Service::udp(&host.namespace, 53);
        for socket in host.sockets(53) {
            probe::assert_lost(&outside.namespace, socket);
        }
        assert_eq!(heard.heard(), 0);
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(outside, host, Tcp(22));
        assert!(daemon.hits("ssh") >= 2);
    }

    fn the_host_s_own_connections_are_answered_through_a_closed_ingress(attach) {
        let sandbox = Sandbox::new(&[]);
        let daemon = guarded(&sandbox, attach, UNMANAGED, CLOSED);
        let verdicts = Verdicts::of(&daemon);
        for traffic in [Tcp(80), Udp(53), Ping] {
            verdicts.allowed(sandbox.host(), sandbox.outside(), traffic);
        }
    }

    fn a_closed_egress_stops_the_host_but_not_its_answers(attach) {
        let sandbox = Sandbox::new(&[]);
        let rules = "[defaults.host]\negress = \"deny\"\n";
        let daemon = guarded(&sandbox, attach, UNMANAGED, rules);
        let verdicts = Verdicts::of(&daemon);
        let (host, outside) = (sandbox.host(), sandbox.outside());
        verdicts.dropped(host, outside, Tcp(80), why::DEFAULT);
        verdicts.dropped(host, outside, Tcp(443), why::DEFAULT);
        for traffic in [Tcp(80), Udp(53), Ping] {
            verdicts.allowed(outside, host, traffic);
        }
    }

    fn what_containers_send_and_receive_through_a_closed_host_is_their_own_business(attach) {
        let sandbox = Sandbox::new(&["web", "db"]);
        let rules = format!(
            "{CLOSED}\n[[allow]]\nfrom = \"world\"\nto = \"web\"\nports = [\"80/tcp\"]\n"
        );
        let daemon = guarded(&sandbox, attach, UNMANAGED, &rules);
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        // Routed, with their own addresses.
        verdicts.allowed(sandbox.outside(), web, Tcp(80));
        verdicts.dropped(sandbox.outside(), db, Tcp(80), why::DEFAULT);
        verdicts.allowed(web, sandbox.outside(), Udp(53));
        // And with the host's.
        masquerade(&sandbox);
        for socket in sandbox.outside().sockets(443) {
            let _service = Service::tcp(&sandbox.outside().namespace, 443, "hello");
            probe::assert_connects(&db.namespace, socket);
        }
        let _echo = Service::udp(&sandbox.outside().namespace, 5353);
        for socket in sandbox.outside().sockets(5353) {
            probe::assert_echoes(&web.namespace, socket);
        }
        for address in sandbox.outside().addresses() {
            probe::assert_pings(&web.namespace, address);
        }
    }

    fn neighbours_are_found_and_addresses_leased_through_a_closed_host(attach) {
        let sandbox = Sandbox::new(&[]);
        let _daemon = guarded(&sandbox, attach, UNMANAGED, CLOSED);
        let (host, outside) = (sandbox.host(), sandbox.outside());
        let _service = Service::tcp(&outside.namespace, 80, "hello");
        for namespace in [&host.namespace, &outside.namespace] {
            namespace.ip("neigh flush all");
        }
        for socket in outside.sockets(80) {
            probe::assert_connects(&host.namespace, socket);
        }
        // A server's answer, from its port to the client's.
        let client = Service::udp(&host.namespace, 68);
        let offer = crate::common::frame::udp(
            (outside.mac, host.mac),
            (outside.ipv4.into(), host.ipv4.into()),
            (67, 68),
            b"an offer",
        );
        crate::common::frame::send(&outside.namespace, outside.interface, &offer);
        eventually("the offer arrives", || (client.heard() > 0).then_some(()));
    }

    fn large_packets_of_a_closed_host_find_their_size(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        sandbox.add_far(1300);
        let _daemon = guarded(&sandbox, attach, UNMANAGED, CLOSED);
        masquerade(&sandbox);
        let far = sandbox.far();
        // A port of its own for each: the one before may still be in use.
        for (port, from) in [(81, sandbox.host()), (91, sandbox.container("web"))] {
            for (family, address) in (0..).zip(far.addresses()) {
                let socket = SocketAddr::new(address, port + family);
                probe::assert_bulk(&from.namespace, &far.namespace, socket);
            }
        }
    }

    fn connections_live_on_when_the_host_is_closed(attach) {
        let sandbox = Sandbox::new(&["web"]);
        masquerade(&sandbox);
        let daemon = guarded(&sandbox, attach, UNMANAGED, "[defaults]\ningress = \"deny\"\n");
        assert_eq!(uplink(&daemon)["attached"], Value::Null);
        let (host, outside) = (&sandbox.host().namespace, &sandbox.outside().namespace);
        let web = &sandbox.container("web").namespace;
        let own = Stream::tcp(host, outside, sandbox.outside().sockets(81)[0]);
        let translated = Stream::tcp(web, outside, sandbox.outside().sockets(82)[0]);
        let incoming = Stream::tcp(outside, host, sandbox.host().sockets(83)[0]);
        // Who accepts connections goes on to do so: that tells them from those of the host's own.
        let _listener = Service::tcp(host, 83, "hello");
        daemon.edit(&policy(&["web"], CLOSED));
        await_attached(&daemon);
        own.assert_flowing();
        translated.assert_flowing();
        // One that somebody outside has opened is not allowed any more.
        incoming.assert_ended();
        for stream in [own, translated] {
            assert_undisturbed(&daemon, &stream.finish());
        }
    }

    fn nothing_is_attached_where_the_policy_says_nothing_of_the_host(attach) {
        let sandbox = Sandbox::new(&[]);
        let open = "[defaults]\ningress = \"deny\"\n";
        let mut daemon = guarded(&sandbox, attach, UNMANAGED, open);
        assert_eq!(uplink(&daemon)["attached"], Value::Null);
        assert_eq!(uplink(&daemon)["xdp"], "off");
        daemon.edit(CLOSED);
        let mechanism = await_attached(&daemon);
        assert_eq!(mechanism, if attach == Attach::Clsact { "clsact" } else { "tcx" });
        let (host, outside) = (sandbox.host(), sandbox.outside());
        let _service = Service::tcp(&host.namespace, 80, "hello");
        assert_closed(&daemon, outside, &host.sockets(80));
        daemon.edit(open);
        assert_eq!(uplink(&daemon)["attached"], Value::Null);
        for socket in host.sockets(80) {
            probe::assert_connects(&outside.namespace, socket);
        }
        daemon.edit(CLOSED);
        // A killed daemon changes nothing, and its successor finds all as it should be.
        daemon.kill();
        for socket in host.sockets(80) {
            probe::assert_dropped(&outside.namespace, socket);
        }
        daemon.launch();
        daemon.await_status();
        assert_eq!(uplink(&daemon)["attached"], mechanism);
        assert_closed(&daemon, outside, &host.sockets(80));
        daemon.stop_and_detach();
        for socket in host.sockets(80) {
            probe::assert_connects(&outside.namespace, socket);
        }
    }

    fn what_audit_mode_would_drop_at_the_host_is_reported(attach) {
        let sandbox = Sandbox::new(&[]);
        let rules = format!("[defaults]\nmode = \"audit\"\n{CLOSED}");
        let daemon = guarded(&sandbox, attach, UNMANAGED, &rules);
        let verdicts = Verdicts::of(&daemon);
        verdicts.audited(sandbox.outside(), sandbox.host(), Tcp(80));
    }

    fn a_denied_sender_gets_nowhere_and_the_host_still_gets_there(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        sandbox.add_far(1500);
        let rules = r#"
            [[allow]]
            from = "world"
            to   = "web"

            [[deny]]
            name = "blocked"
            from = ["203.0.113.0/24", "2001:db8:f::/64"]
            to   = "any"
            "#;
        let daemon = guarded(&sandbox, attach, UNMANAGED, rules);
        let (host, far, web) = (sandbox.host(), sandbox.far(), sandbox.container("web"));
        let _service = Service::tcp(&host.namespace, 80, "not for you");
        for socket in host.sockets(80) {
            let before = daemon.drops(why::DENIED);
            probe::assert_dropped(&far.namespace, socket);
            assert!(daemon.drops(why::DENIED) > before);
        }
        let hits = daemon.hits("blocked");
        for socket in web.sockets(80) {
            probe::assert_dropped(&far.namespace, socket);
        }
        assert!(daemon.hits("blocked") > hits);
        let verdicts = Verdicts::of(&daemon);
        for traffic in [Tcp(81), Udp(53), Ping] {
            verdicts.allowed(host, far, traffic);
            verdicts.allowed(web, far, traffic);
            verdicts.allowed(sandbox.outside(), host, traffic);
        }
    }
}

#[test]
fn who_is_connected_when_a_policy_is_taken_is_not_locked_out() {
    let mut sandbox = Sandbox::new(&[]);
    sandbox.add_far(1500);
    let configuration =
        "\n[management]\nports = [2222]\nallow = [{ from = \"203.0.113.2\", port = 2223 }]\n";
    let daemon = guarded(
        &sandbox,
        Attach::Auto,
        configuration,
        "[defaults]\ningress = \"deny\"\n",
    );
    let (host, outside, far) = (sandbox.host(), sandbox.outside(), sandbox.far());
    let session = Stream::tcp(&outside.namespace, &host.namespace, host.sockets(2222)[0]);
    daemon.edit("[defaults.host]\ningress = \"deny\"\negress = \"deny\"\n");
    // Filters would interrupt it.
    let links = kernel_has_links();
    assert_eq!(
        await_attached(&daemon),
        if links { "tcx" } else { "clsact" }
    );
    session.assert_flowing();
    let allowed = &daemon.status()["management"]["allowed"];
    let allowed = allowed.as_array().expect("a list");
    assert_eq!(allowed.len(), 2, "{allowed:?}");
    assert!(
        allowed
            .iter()
            .any(|line| line == "192.0.2.2 to port 2222/tcp"),
        "{allowed:?}"
    );
    assert_undisturbed(&daemon, &session.finish());
    // It may come again, from the same address to the same port, and nobody else may.
    let _service = Service::tcp(&host.namespace, 2222, "hello");
    probe::assert_connects(&outside.namespace, host.sockets(2222)[0]);
    probe::assert_dropped(&far.namespace, host.sockets(2222)[0]);
    let _service = Service::tcp(&host.namespace, 2223, "hello");
    probe::assert_dropped(&outside.namespace, host.sockets(2223)[0]);
    probe::assert_connects(&far.namespace, host.sockets(2223)[0]);
}

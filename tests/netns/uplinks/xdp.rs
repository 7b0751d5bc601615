//! The earliest place: where the XDP program runs, what it drops, and who else may have been there first.

use std::io::Read as _;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys as raw;
use libbpf_rs::{Link, Program, Xdp, XdpFlags};
use serde_json::Value;

use super::{UNMANAGED, guarded, guarded_at, uplink};
use crate::common::craft::{self, Ipv4, Ipv6, Payload, ethernet};
use crate::common::daemon::{Attach, Daemon, Monitor};
use crate::common::frame::{self, Witness};
use crate::common::namespace::Namespace;
use crate::common::probe;
use crate::common::sandbox::{Node, Sandbox};
use crate::common::service::Service;
use crate::common::verdict::why;
use crate::common::{eventually, eventually_equals};

/// The machine beyond the outside is denied everything.
const DENIED: &str = r#"
    [[deny]]
    name = "blocked"
    from = ["203.0.113.0/24", "2001:db8:f::/64"]
    to   = "any"
"#;

/// A program of somebody else on an interface, which lets everything pass, until it is removed.
struct Foreign {
    program: OwnedFd,
    namespace: Namespace,
    interface: u32,
}

impl Foreign {
    /// As `ip link set dev INTERFACE xdp object ...` does it.
    fn attach(namespace: &Namespace, interface: &str) -> Self {
        let foreign = Self {
            program: passing_program(),
            namespace: namespace.duplicate(),
            interface: namespace.interface_index(interface),
        };
        foreign
            .namespace
            .inside(|| foreign.xdp().attach(foreign.interface as i32, FLAGS))
            .expect("attach a foreign program");
        foreign
    }

    fn xdp(&self) -> Xdp<'_> {
        Xdp::new(self.program.as_fd())
    }

    fn number(&self) -> u32 {
        Program::id_from_fd(self.program.as_fd()).expect("a number")
    }

    fn remove(self) {
        self.namespace
            .inside(|| self.xdp().detach(self.interface as i32, FLAGS))
            .expect("remove a foreign program");
    }
}

/// In the driver, and nothing of anybody's is replaced.
const FLAGS: XdpFlags = XdpFlags::DRV_MODE.union(XdpFlags::UPDATE_IF_NOEXIST);

fn passing_program() -> OwnedFd {
    let mut instructions = [raw::bpf_insn::default(); 2];
    instructions[0].code = 0xb7; // r0 = imm
    instructions[0].imm = 2; // XDP_PASS
    instructions[1].code = 0x95; // exit
    // SAFETY: as many instructions as are said, C strings, no options; the descriptor returned belongs
    // to nobody else.
    unsafe {
        let program = raw::bpf_prog_load(
            raw::BPF_PROG_TYPE_XDP,
            c"foreign".as_ptr(),
            c"GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as raw::size_t,
            std::ptr::null_mut(),
        );
        assert!(program >= 0, "load a foreign program: {program}");
        OwnedFd::from_raw_fd(program)
    }
}

/// The number of the XDP program that an interface has, and whether it runs behind the driver: by ip(8).
fn program_on(namespace: &Namespace, interface: &str) -> Option<(u64, bool)> {
    let said = namespace.run("ip", &["-json", "link", "show", "dev", interface]);
    let links: Value = serde_json::from_str(&said).expect("ip writes JSON");
    let xdp = &links[0]["xdp"];
    let number = xdp["prog"]["id"].as_u64()?;
    Some((number, xdp["mode"] == 2))
}

/// Waits until `status` says so of the uplink's XDP program, and gives why.
#[track_caller]
fn await_state(daemon: &Daemon, state: &str) -> String {
    eventually_equals("the uplink's XDP program", &Value::from(state), || {
        uplink(daemon)["xdp"].clone()
    });
    let why = &uplink(daemon)["xdp_reason"];
    why.as_str().unwrap_or_default().to_owned()
}

/// Where a denied sender is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Xdp,
    Tc,
}

/// A daemon whose policy denies some senders everything, and what it tells.
struct Watched {
    monitor: Monitor,
    daemon: Daemon,
}

impl Watched {
    fn of(daemon: Daemon) -> Self {
        Self {
            monitor: daemon.monitor(),
            daemon,
        }
    }

    /// A denied sender gets nowhere in either family; `place` is where it is stopped, which the event
    /// says, and who looks at the packets that the kernel makes of frames.
    #[track_caller]
    fn denies(&self, from: &Node, at: &Node, place: Place) {
        let _service = Service::tcp(&at.namespace, 80, "not for you");
        let hook = match place {
            Place::Xdp => "uplink-xdp",
            Place::Tc => "from-uplink",
        };
        for (source, socket) in from.addresses().into_iter().zip(at.sockets(80)) {
            let mut witness = Witness::at(&at.namespace, at.interface);
            let is_it = |event: &Value| {
                event["source"]["address"] == source.to_string()
                    && event["reason"] == why::DENIED
                    && event["hook"] == hook
            };
            let (drops, told) = (self.daemon.drops(why::DENIED), self.monitor.count(is_it));
            probe::assert_dropped(&from.namespace, socket);
            assert!(
                self.daemon.drops(why::DENIED) > drops,
                "{source} is counted"
            );
            eventually(&format!("{hook} tells of {source}"), || {
                (self.monitor.count(is_it) > told).then_some(())
            });
            let packets = witness.count(|packet| packet.source == source && packet.selector == 80);
            assert_eq!(packets > 0, place == Place::Tc, "packets from {source}");
        }
    }
}

/// A host with an uplink, a machine far away that is denied everything, and the daemon.
struct Scene {
    watched: Watched,
    sandbox: Sandbox,
}

impl Scene {
    fn new() -> Self {
        Self::on(distant())
    }

    fn on(sandbox: Sandbox) -> Self {
        let daemon = guarded(&sandbox, Attach::Auto, UNMANAGED, DENIED);
        Self {
            watched: Watched::of(daemon),
            sandbox,
        }
    }

    fn daemon(&self) -> &Daemon {
        &self.watched.daemon
    }

    fn program(&self) -> Option<(u64, bool)> {
        program_on(&self.sandbox.host().namespace, "uplink")
    }

    /// Takes our program off the uplink, as `bpftool link detach` does: nobody is told.
    fn remove_ours(&self) {
        let interface = self.sandbox.host().namespace.interface_index("uplink");
        let pins = self.sandbox.place().pins();
        let pin = pins.join("links").join(format!("{interface}-xdp"));
        let link = Link::open(&pin).expect("open the link");
        link.detach().expect("detach our program");
        assert_eq!(self.program(), None);
    }

    #[track_caller]
    fn denies_at(&self, place: Place) {
        let (far, host) = (self.sandbox.far(), self.sandbox.host());
        self.watched.denies(far, host, place);
    }
}

fn distant() -> Sandbox {
    let mut sandbox = Sandbox::new(&[]);
    sandbox.add_far(1500);
    sandbox
}

#[test]
fn the_driver_drops_what_comes_from_denied_senders() {
    let scene = Scene::new();
    assert_eq!(await_state(scene.daemon(), "native"), "");
    assert!(matches!(scene.program(), Some((_, false))));
    scene.denies_at(Place::Xdp);
    // Others are none of its business.
    let (host, outside) = (scene.sandbox.host(), scene.sandbox.outside());
    let _service = Service::tcp(&host.namespace, 80, "hello");
    for socket in host.sockets(80) {
        probe::assert_connects(&outside.namespace, socket);
    }
}

#[test]
fn another_s_program_stays_and_tc_denies_until_it_goes() {
    let sandbox = distant();
    let host = sandbox.host().namespace.duplicate();
    let foreign = Foreign::attach(&host, "uplink");
    let scene = Scene::on(sandbox);
    let is_left_alone = |foreign: &Foreign| {
        let number = foreign.number();
        let reason = await_state(scene.daemon(), "foreign");
        assert!(reason.contains(&format!("program {number} ")), "{reason}");
        let told = format!("uplink has an XDP program already, number {number}");
        assert!(scene.daemon().log_says(&told), "the log says so");
        let examined = scene.daemon().json(&["doctor"]).to_string();
        assert!(examined.contains("dropped later than they could be"));
        scene.denies_at(Place::Tc);
        assert_eq!(scene.program(), Some((number.into(), false)));
    };
    is_left_alone(&foreign);
    foreign.remove();
    await_state(scene.daemon(), "native");
    scene.denies_at(Place::Xdp);

    // Somebody removes ours, and puts his own there.
    scene.remove_ours();
    let foreign = Foreign::attach(&host, "uplink");
    is_left_alone(&foreign);
    foreign.remove();
    await_state(scene.daemon(), "native");
    scene.denies_at(Place::Xdp);
}

#[test]
fn a_program_that_somebody_removes_is_put_back() {
    // Nobody tells of it; but it is looked for whenever somebody asks for the state, and now and then.
    for mode in ["native", "generic"] {
        let sandbox = distant();
        let uplinks = format!("interfaces = [\"uplink\"]\nxdp = \"{mode}\"\n");
        let daemon = guarded_at(&sandbox, &uplinks, Attach::Auto, UNMANAGED, DENIED);
        let scene = Scene {
            watched: Watched::of(daemon),
            sandbox,
        };
        await_state(scene.daemon(), mode);
        scene.remove_ours();
        eventually("it is put back", || {
            assert_eq!(uplink(scene.daemon())["xdp"], mode);
            scene.program()
        });
        scene.denies_at(Place::Xdp);
    }
}

/// The host's uplink is a bridge, which has no way to run a program in a driver; the outside is behind
/// its one port. Gives both ends.
fn bridge_as_uplink(sandbox: &Sandbox) -> [Node; 2] {
    let (host, outside) = (sandbox.host(), sandbox.outside());
    host.namespace.ip(&format!(
        "link add lan type bridge forward_delay 0 mcast_snooping 0
         link add port type veth peer name lan netns {}
         link set port master lan up",
        outside.namespace.path().display()
    ));
    [(host, 1), (outside, 2)].map(|(node, last): (&Node, u8)| {
        node.namespace.ip(&format!(
            "addr add 198.51.100.{last}/24 dev lan
             addr add 2001:db8:5::{last}/64 dev lan nodad
             link set lan up"
        ));
        Node {
            namespace: node.namespace.duplicate(),
            ipv4: [198, 51, 100, last].into(),
            ipv6: [0x2001, 0xdb8, 5, 0, 0, 0, 0, last.into()].into(),
            mac: node.mac,
            interface: "lan",
        }
    })
}

#[test]
fn where_the_driver_takes_no_program_it_runs_behind_it_unless_that_is_not_wanted() {
    let sandbox = Sandbox::new(&[]);
    let [host, outside] = bridge_as_uplink(&sandbox);
    let policy = r#"
        [[deny]]
        from = ["198.51.100.0/24", "2001:db8:5::/64"]
        to   = "any"
    "#;
    for (mode, state, place) in [
        ("auto", "generic", Place::Xdp),
        ("generic", "generic", Place::Xdp),
        ("native", "off", Place::Tc),
        ("off", "off", Place::Tc),
    ] {
        let uplinks = format!("interfaces = [\"lan\"]\nxdp = \"{mode}\"\n");
        let daemon = guarded_at(&sandbox, &uplinks, Attach::Auto, UNMANAGED, policy);
        let reason = await_state(&daemon, state);
        let status = daemon.status();
        assert_eq!(status["healthy"], mode != "native", "{status:#}");
        match mode {
            "auto" => assert!(reason.contains("the driver takes none"), "{reason}"),
            "generic" => assert_eq!(reason, ""),
            "off" => assert!(reason.contains("switched off"), "{reason}"),
            _ => {
                assert!(reason.contains("attach XDP to lan"), "{reason}");
                let reasons = status["reasons"].to_string();
                assert!(reasons.contains("attach XDP to lan"), "{reasons}");
                assert!(daemon.log_says("attach XDP to lan"));
            }
        }
        let found = program_on(&host.namespace, "lan").map(|(_, generic)| generic);
        assert_eq!(found, (place == Place::Xdp).then_some(true), "{mode}");
        Watched::of(daemon).denies(&outside, &host, place);
    }
}

/// What nobody could make sense of.
fn malformed(from: &Node, to: &Node) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let payload = craft::udp(1000, 53);
    let v4 = || Ipv4::new(from.ipv4, to.ipv4);
    let v6 = || Ipv6::new(from.ipv6, to.ipv6);
    let of = |kind: u16, packet: &[u8]| ethernet(from.mac, to.mac, kind, packet);
    let ipv4 = |what: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = v4().carry(&payload);
        what(&mut packet);
        of(0x0800, &packet)
    };
    let ipv6 = |what: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = v6().carry(&payload);
        what(&mut packet);
        of(0x86dd, &packet)
    };
    let fragment = |offset: u16, more_fragments: bool, bytes: usize| {
        let ip = Ipv4 {
            offset,
            more_fragments,
            ..v4()
        };
        let payload = Payload {
            protocol: craft::UDP,
            bytes: vec![0; bytes],
        };
        of(0x0800, &ip.carry(&payload))
    };
    let header = "ipv4-header";
    vec![
        ("no IPv4 header", "truncated", ipv4(&|p| p.truncate(19))),
        ("another version in IPv4", header, ipv4(&|p| p[0] = 0x65)),
        ("a header of 16 bytes", header, ipv4(&|p| p[0] = 0x44)),
        (
            "shorter than its header",
            header,
            ipv4(&|p| p[2..4].copy_from_slice(&[0, 19])),
        ),
        ("no IPv6 header", "truncated", ipv6(&|p| p.truncate(39))),
        (
            "another version in IPv6",
            "ipv6-header",
            ipv6(&|p| p[0] = 0x45),
        ),
        ("a jumbogram", "ipv6-header", ipv6(&|p| p[4..6].fill(0))),
        (
            "a fragment of half a block",
            "fragment",
            fragment(0, true, 12),
        ),
        ("a fragment of nothing", "fragment", fragment(64, false, 0)),
        (
            "a fragment beyond a packet's end",
            "fragment",
            fragment(65_528, false, 64),
        ),
    ]
}

#[test]
fn what_nobody_could_make_sense_of_is_dropped_before_it_is_a_packet() {
    let scene = Scene::new();
    await_state(scene.daemon(), "native");
    let (outside, host) = (scene.sandbox.outside(), scene.sandbox.host());
    let Watched { daemon, monitor } = &scene.watched;
    for (what, reason, bytes) in malformed(outside, host) {
        let is_it = |event: &Value| event["reason"] == reason && event["hook"] == "uplink-xdp";
        let (drops, told) = (daemon.drops(reason), monitor.count(is_it));
        let mut packets = frame::listener(&host.namespace, "uplink");
        frame::send(&outside.namespace, "eth0", &bytes);
        eventually(&format!("{what} is told of"), || {
            (monitor.count(is_it) > told).then_some(())
        });
        assert_eq!(daemon.drops(reason), drops + 1, "{what}");
        let mut packet = [0; 2048];
        while let Ok(length) = packets.read(&mut packet) {
            assert_ne!(packet[..length], bytes, "{what} has become a packet");
        }
    }
    // Fragments that make sense go on.
    let service = Service::udp(&host.namespace, 53);
    for socket in host.sockets(53) {
        probe::send_large_udp(&outside.namespace, socket);
    }
    eventually("large datagrams arrive", || {
        (service.heard() >= 2).then_some(())
    });
}

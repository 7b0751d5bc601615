//! The table of connections under attack: floods beside live connections, and many CPUs at once.

use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bridgewall::config::Limits;
use bridgewall::observe::reason as observe;
use libbpf_rs::ProgramMut;
use nix::time::{ClockId, clock_gettime};

use crate::fixture::{Firewall, PASS, Reason, Side, allow_all};
use crate::frame::{ACK, FIN, RST, SYN, frame, tcp, udp};
use crate::node::{FAMILIES, Family, Node};

/// How many packets a flood has, unless `BRIDGEWALL_FLOOD` says otherwise (see scripts/bench-flood).
const FLOOD: usize = 200_000;
/// How many connections are idle meanwhile.
const IDLE: usize = 10_000;

/// A program that frames are given to, from any thread; nothing is asserted, and nothing counted.
#[derive(Clone, Copy)]
struct Hook(RawFd);

impl Hook {
    fn of(program: &ProgramMut<'_>) -> Self {
        Self(program.as_fd().as_raw_fd())
    }

    /// Whether the frame passes.
    fn passes(self, frame: &[u8]) -> bool {
        let mut options = libbpf_sys::bpf_test_run_opts {
            sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
            data_in: frame.as_ptr().cast(),
            data_size_in: frame.len() as u32,
            ..Default::default()
        };
        // SAFETY: the frame outlives the call, and nothing is to be written back.
        let code = unsafe { libbpf_sys::bpf_prog_test_run_opts(self.0, &mut options) };
        assert_eq!(code, 0, "test run");
        options.retval == PASS
    }
}

/// A generator of numbers that are all over the place (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A frame in which ports and addresses are changed without building it anew.
struct Stencil {
    bytes: Vec<u8>,
    source: usize,
    ports: usize,
}

impl Stencil {
    fn new(family: Family, from: Node, to: Node, payload: &crate::frame::Payload) -> Self {
        let (source, ports) = match family {
            Family::V4 => (14 + 12 + 2, 14 + 20),
            Family::V6 => (14 + 8 + 14, 14 + 40),
        };
        Self {
            bytes: frame(family, from, to, payload),
            source,
            ports,
        }
    }

    fn with_ports(&mut self, source: u16, destination: u16) -> &[u8] {
        self.bytes[self.ports..self.ports + 2].copy_from_slice(&source.to_be_bytes());
        self.bytes[self.ports + 2..self.ports + 4].copy_from_slice(&destination.to_be_bytes());
        &self.bytes
    }

    /// With another last part of the source address, too.
    fn forged(&mut self, address: u16, ports: u32) -> &[u8] {
        self.bytes[self.source..self.source + 2].copy_from_slice(&address.to_be_bytes());
        self.with_ports((ports >> 16) as u16, ports as u16)
    }
}

/// With the room that is configured by default, and everything allowed.
fn large() -> Firewall {
    let limits = Limits::default();
    let firewall = Firewall::with(|open| {
        let settings = &mut open.maps.rodata_data.as_mut().expect("settings").settings;
        settings.flows = [limits.new_flows, limits.flows];
        settings.flows_of_endpoint = [limits.new_flows_per_endpoint, limits.flows_per_endpoint];
        let entries = limits.new_flows + limits.flows;
        open.maps.flows.set_max_entries(entries).expect("size");
    });
    for (subject, peer) in [
        (Node::A, Node::B),
        (Node::B, Node::A),
        (Node::B, Node::World),
    ] {
        firewall.set_rules(Side::Ingress, subject, peer, &[allow_all(1)]);
    }
    firewall
}

/// B and somebody outside, who connect to each other.
struct Friends {
    from_b: Hook,
    to_b: Hook,
    family: Family,
}

impl Friends {
    fn new(firewall: &Firewall, family: Family) -> Self {
        let programs = &firewall.template(Node::B).progs;
        Self {
            from_b: Hook::of(&programs.from_endpoint),
            to_b: Hook::of(&programs.to_endpoint),
            family,
        }
    }

    fn out(&self, flags: u8, ports: (u16, u16)) -> bool {
        let payload = tcp(ports.0, ports.1, flags);
        let frame = frame(self.family, Node::B, Node::World, &payload);
        self.from_b.passes(&frame)
    }

    fn back(&self, flags: u8, ports: (u16, u16)) -> bool {
        let payload = tcp(ports.1, ports.0, flags);
        let frame = frame(self.family, Node::World, Node::B, &payload);
        self.to_b.passes(&frame)
    }

    fn connect(&self, ports: (u16, u16)) -> bool {
        self.out(SYN, ports) && self.back(SYN | ACK, ports) && self.out(ACK, ports)
    }

    fn talk(&self, ports: (u16, u16)) -> bool {
        self.back(ACK, ports) && self.out(ACK, ports)
    }

    fn close(&self, ports: (u16, u16)) -> bool {
        self.out(FIN | ACK, ports) && self.back(FIN | ACK, ports) && self.out(ACK, ports)
    }
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("read the clock")
        .into()
}

fn idle_ports() -> impl Iterator<Item = (u16, u16)> {
    (0..IDLE).map(|number| (1_024 + number as u16, 443))
}

/// What A sends: SYNs with its own address, UDP with its own and with others'.
fn flood(hook: Hook, family: Family, packets: usize, seed: u64) {
    let mut numbers = Numbers(seed);
    let mut syn = Stencil::new(family, Node::A, Node::B, &tcp(1, 1, SYN));
    let mut datagram = Stencil::new(family, Node::A, Node::World, &udp(1, 1));
    let mut forged = Stencil::new(family, Node::A, Node::World, &udp(1, 1));
    for number in 0..packets {
        let ports = numbers.next() as u32;
        let frame = match number % 4 {
            0 | 1 => syn.with_ports((ports >> 16) as u16, ports as u16 | 1),
            2 => datagram.with_ports((ports >> 16) as u16, ports as u16),
            // Whoever else there may be; never A itself.
            _ => forged.forged(0x0100 + (numbers.below(0xfe00) as u16), ports),
        };
        hook.passes(frame);
    }
}

#[test]
fn a_flood_ends_no_connection_and_starves_no_neighbour() {
    let packets = std::env::var("BRIDGEWALL_FLOOD").map_or(FLOOD, |number| {
        number.parse().expect("BRIDGEWALL_FLOOD is a number")
    });
    for family in FAMILIES {
        let firewall = large();
        let friends = Friends::new(&firewall, family);
        for ports in idle_ports() {
            assert!(friends.connect(ports), "{ports:?}");
        }
        let attacker = Hook::of(&firewall.template(Node::A).progs.from_endpoint);
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let attacking = AtomicUsize::new(threads);
        let began = Instant::now();
        let (mut tried, mut failed) = (0_u64, 0_u64);
        thread::scope(|scope| {
            for thread in 0..threads {
                let attacking = &attacking;
                scope.spawn(move || {
                    flood(attacker, family, packets / threads, 1 + thread as u64);
                    attacking.fetch_sub(1, Ordering::Release);
                });
            }
            // Port after port, as long as the flood lasts, and at least some.
            while attacking.load(Ordering::Acquire) > 0 || tried < 1_000 {
                let ports = (12_000 + (tried % 50_000) as u16, 80);
                let works = friends.connect(ports) && friends.talk(ports) && friends.close(ports);
                tried += 1;
                failed += u64::from(!works);
            }
        });
        let seconds = began.elapsed().as_secs_f64();
        let idle = idle_ports().filter(|ports| friends.talk(*ports)).count();
        let accounts = firewall.accounts(Node::A.number());
        let before = processor_time();
        let search = firewall.sweep();
        println!(
            "{family:?}: a search among {} connections takes {:?} of a processor",
            search.left + search.removed,
            processor_time() - before
        );
        println!(
            "{family:?}: {packets} packets in {seconds:.1} s ({:.0} a second); of {tried} new \
             connections of a neighbour {:.3} % succeeded; {idle} of {IDLE} idle ones work",
            packets as f64 / seconds,
            100.0 - 100.0 * failed as f64 / tried as f64,
        );
        println!(
            "{family:?}: the flooder's account holds {} of {}, and {} packets found no room there",
            accounts.held[0][0],
            Limits::default().new_flows_per_endpoint,
            accounts.refused[0][0],
        );
        for (reason, count) in firewall.counted_drops() {
            let name = observe::Reason::from_raw(reason.0).map(observe::Reason::name);
            println!("{family:?}: {count} dropped: {}", name.unwrap_or_default());
        }
        assert_eq!(idle, IDLE, "every idle connection still works");
        assert!(failed * 1_000 <= tried, "{failed} of {tried} failed");
        let quota = Limits::default().new_flows_per_endpoint;
        assert!(accounts.held[0][0] <= quota, "{accounts:?}");
        assert!(accounts.refused[0][0] > 0, "the flood found no limit");
        assert_eq!(firewall.accounts(Node::B.number()).refused, [[0; 2]; 2]);
        let counted = firewall.counted_drops();
        let quota = (Reason::DROP_FLOW_QUOTA, accounts.refused[0][0]);
        assert!(counted.contains(&quota), "{counted:?}");
        firewall.assert_counted();
    }
}

/// Connections that expire at every tick of the clock, used, closed, replaced and removed on all CPUs
/// at once.
#[test]
fn counters_are_exact_when_many_cpus_are_at_work_on_the_same_connections() {
    let firewall = Firewall::with(|open| {
        let settings = &mut open.maps.rodata_data.as_mut().expect("settings").settings;
        settings.timeout_tcp_new = 0;
        settings.timeout_tcp = 0;
        settings.timeout_tcp_closing = 0;
        settings.timeout_udp_new = 0;
        settings.timeout_udp = 0;
        settings.flows_of_endpoint = [12, 12];
    });
    firewall.open_to(Node::A, Node::B);
    firewall.open_to(Node::B, Node::A);
    let a = Hook::of(&firewall.template(Node::A).progs.from_endpoint);
    let b = Hook::of(&firewall.template(Node::B).progs.from_endpoint);
    let passed = AtomicU32::new(0);
    thread::scope(|scope| {
        for seed in 1..=4_u64 {
            let passed = &passed;
            scope.spawn(move || {
                let mut numbers = Numbers(seed);
                for _ in 0..20_000 {
                    let port = 1 + numbers.below(16) as u16;
                    let asks = numbers.below(2) == 0;
                    let ports = if asks { (port, 80) } else { (80, port) };
                    let flags = [SYN, SYN | ACK, ACK, FIN | ACK, RST][numbers.below(5) as usize];
                    let payload = match numbers.below(3) {
                        0 => udp(ports.0, ports.1),
                        _ => tcp(ports.0, ports.1, flags),
                    };
                    let (hook, from, to) = if asks {
                        (a, Node::A, Node::B)
                    } else {
                        (b, Node::B, Node::A)
                    };
                    if hook.passes(&frame(Family::V4, from, to, &payload)) {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let firewall = &firewall;
        for _ in 0..2_000 {
            // Also while a packet has the kernel do so: then it is not our turn.
            firewall.try_to_sweep();
        }
    });
    // How many depends on how many fit into a tick of the clock.
    assert!(passed.load(Ordering::Relaxed) > 100);
    firewall.assert_counted();
    firewall.age_flows(10);
    firewall.sweep();
    assert_eq!(firewall.entries_of_flows().len(), 0);
    firewall.assert_counted();
}

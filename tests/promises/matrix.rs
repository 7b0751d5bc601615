//! Who reaches whom, seen in rounds.
//!
//! A round sends one packet of each kind on each lane, and on each path last of all a sentinel on a port
//! that every policy allows. All is sent from one CPU, whose queue keeps the order: when the sentinels
//! have arrived, whatever passes has arrived too, and what has not was dropped. So a round needs no
//! time limit to know what was dropped, and a sentinel that does not come is a lost packet.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};

use crate::common::namespace::Namespace;
use crate::common::sandbox::{Node, Sandbox};
use crate::common::{BRIEFLY, eventually, patience};

/// The port that every policy allows.
pub const SENTINEL: u16 = 5;

/// The ports that policies differ in.
pub const PORTS: [u16; 4] = [1, 2, 3, 4];

/// What a packet is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A UDP flow that has lasted for many rounds.
    Held,
    /// The answer in such a flow.
    Answer,
    /// A UDP flow that begins with this packet.
    Fresh,
    /// A TCP connection that is opened.
    Tcp,
}

/// One kind of packet on one path to one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    /// From whom to whom.
    pub path: &'static str,
    /// 4 or 6.
    pub family: u8,
    /// What kind of packet.
    pub kind: Kind,
    /// Which port.
    pub port: u16,
}

/// From whom to whom packets are sent.
pub const PATHS: [(&str, &str, &str); 3] = [
    ("web to db", "web", "db"),
    ("db to web", "db", "web"),
    ("outside to db", "outside", "db"),
];

/// All lanes to some of the ports.
pub fn lanes_to(ports: &[u16]) -> BTreeSet<Lane> {
    let mut lanes = BTreeSet::new();
    for (path, ..) in PATHS {
        for family in [4, 6] {
            for kind in [Kind::Held, Kind::Answer, Kind::Fresh, Kind::Tcp] {
                for &port in ports {
                    lanes.insert(Lane {
                        path,
                        family,
                        kind,
                        port,
                    });
                }
            }
        }
    }
    lanes
}

/// One round.
#[derive(Debug, Clone)]
pub struct Round {
    /// Before its first packet was sent.
    pub began: Instant,
    /// After its last one had arrived or was known not to.
    pub ended: Instant,
    /// The lanes whose packet arrived; without the sentinels.
    pub passed: BTreeSet<Lane>,
}

/// In every round what should pass has passed, and nothing else.
#[track_caller]
pub fn assert_all(rounds: &[Round], expected: &BTreeSet<Lane>) {
    for (number, round) in rounds.iter().enumerate() {
        let leaked: Vec<_> = round.passed.difference(expected).collect();
        let lost: Vec<_> = expected.difference(&round.passed).collect();
        assert!(
            leaked.is_empty() && lost.is_empty(),
            "round {number} of {}: leaked {leaked:?}, lost {lost:?}",
            rounds.len()
        );
    }
}

/// All sockets.
pub struct Matrix {
    wires: Vec<Wire>,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    number: u64,
    forgiving: bool,
}

struct Wire {
    lane: Lane,
    from: Namespace,
    to: SocketAddr,
    held: Option<UdpSocket>,
}

type Failure = String;

impl Matrix {
    /// Between web, db and the outside.
    pub fn of(sandbox: &Sandbox) -> Self {
        let node = |name: &str| -> &Node {
            match name {
                "outside" => sandbox.outside(),
                name => sandbox.container(name),
            }
        };
        let mut matrix = Self {
            wires: Vec::new(),
            udp: Vec::new(),
            tcp: Vec::new(),
            number: 0,
            forgiving: false,
        };
        for name in ["web", "db"] {
            node(name).namespace.inside(|| {
                for port in PORTS.into_iter().chain([SENTINEL]) {
                    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).expect("bind");
                    socket.set_nonblocking(true).expect("do not block");
                    setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20)).expect("enlarge");
                    matrix.udp.push(socket);
                    let listener =
                        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("listen");
                    listener.set_nonblocking(true).expect("do not block");
                    matrix.tcp.push(listener);
                }
            });
        }
        for (path, from, to) in PATHS {
            let addresses = node(from).addresses().into_iter().zip(node(to).addresses());
            for (source, target) in addresses {
                let family = if source.is_ipv4() { 4 } else { 6 };
                // The sentinels last.
                for port in PORTS.into_iter().chain([SENTINEL]) {
                    for kind in [Kind::Held, Kind::Fresh, Kind::Tcp] {
                        let held = (kind == Kind::Held).then(|| {
                            let socket =
                                node(from).namespace.inside(|| UdpSocket::bind((source, 0)));
                            let socket = socket.expect("bind");
                            socket.set_nonblocking(true).expect("do not block");
                            socket
                        });
                        let lane = Lane {
                            path,
                            family,
                            kind,
                            port,
                        };
                        matrix.wires.push(Wire {
                            lane,
                            from: node(from).namespace.duplicate(),
                            to: (target, port).into(),
                            held,
                        });
                    }
                }
            }
        }
        matrix
    }

    /// A lost sentinel is no failure, but only ends its round.
    pub fn forgiving(self) -> Self {
        Self {
            forgiving: true,
            ..self
        }
    }

    /// One round. The thread must be one that [`on_one_cpu`] was called in, and is in another
    /// namespace afterwards.
    fn round(&mut self) -> Result<Round, Failure> {
        self.number += 1;
        let began = Instant::now();
        let mut passed = BTreeSet::new();
        let mut fresh = Vec::new();
        let mut opening = BTreeMap::new();
        for (index, wire) in self.wires.iter().enumerate() {
            let message = message(self.number, index);
            match (wire.lane.kind, &wire.held) {
                (_, Some(socket)) => drop(socket.send_to(&message, wire.to)),
                (Kind::Tcp, _) => {
                    wire.from.enter();
                    let socket = connecting(wire.to).map_err(|error| format!("TCP: {error}"))?;
                    let local = socket.local_addr().map_err(|error| error.to_string())?;
                    let local = local.as_socket().map(canonical);
                    opening.insert((local, wire.to.port()), (index, socket));
                }
                _ => {
                    wire.from.enter();
                    let any: IpAddr = if wire.to.is_ipv4() {
                        [0; 4].into()
                    } else {
                        [0; 16].into()
                    };
                    let socket = UdpSocket::bind((any, 0)).map_err(|e| format!("UDP: {e}"))?;
                    let _ = socket.send_to(&message, wire.to);
                    fresh.push(socket);
                }
            }
        }

        let mut sources = BTreeMap::new();
        self.await_sentinels(
            &[Kind::Held, Kind::Fresh, Kind::Tcp],
            &mut passed,
            |matrix, passed| {
                for socket in &matrix.udp {
                    let mut bytes = [0; 64];
                    while let Ok((_, from)) = socket.recv_from(&mut bytes) {
                        let index = matrix.read(&bytes)?;
                        passed.insert(matrix.wires[index].lane);
                        if matrix.wires[index].held.is_some() {
                            sources.insert(
                                index,
                                (socket.try_clone().map_err(|e| e.to_string())?, from),
                            );
                        }
                    }
                }
                for listener in &matrix.tcp {
                    while let Ok((stream, from)) = listener.accept() {
                        let port = stream.local_addr().map_or(0, |local| local.port());
                        // One that is left of an earlier round is known by nobody: a connection that was
                        // half open when a policy changed.
                        if let Some((index, _)) = opening.get(&(Some(canonical(from)), port)) {
                            passed.insert(matrix.wires[*index].lane);
                        }
                        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                    }
                }
                Ok(())
            },
        )?;
        for (index, (socket, from)) in &sources {
            let _ = socket.send_to(&message(self.number, *index), from);
        }
        self.await_sentinels(&[Kind::Answer], &mut passed, |matrix, passed| {
            for wire in &matrix.wires {
                let Some(socket) = &wire.held else { continue };
                let mut bytes = [0; 64];
                while let Ok((_, _)) = socket.recv_from(&mut bytes) {
                    let index = matrix.read(&bytes)?;
                    let kind = Kind::Answer;
                    passed.insert(Lane {
                        kind,
                        ..matrix.wires[index].lane
                    });
                }
            }
            Ok(())
        })?;
        passed.retain(|lane| lane.port != SENTINEL);
        Ok(Round {
            began,
            ended: Instant::now(),
            passed,
        })
    }

    /// Receives until the sentinels of these kinds have come, and then what came before them.
    fn await_sentinels(
        &self,
        kinds: &[Kind],
        passed: &mut BTreeSet<Lane>,
        mut receive: impl FnMut(&Self, &mut BTreeSet<Lane>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut sentinels = lanes_to(&[SENTINEL]);
        sentinels.retain(|lane| kinds.contains(&lane.kind));
        let deadline = Instant::now() + if self.forgiving { BRIEFLY } else { patience() };
        while !sentinels.is_subset(passed) {
            receive(self, passed)?;
            if Instant::now() > deadline {
                if self.forgiving {
                    break;
                }
                let lost: Vec<_> = sentinels.difference(passed).collect();
                return Err(format!("lost in round {}: {lost:?}", self.number));
            }
        }
        receive(self, passed)
    }

    /// Which wire a message came by; it must be of this round.
    fn read(&self, bytes: &[u8]) -> Result<usize, Failure> {
        let number =
            |range| u64::from_be_bytes(<[u8; 8]>::try_from(&bytes[range]).unwrap_or_default());
        let (round, index) = (number(0..8), number(8..16) as usize);
        if round == self.number || self.forgiving {
            Ok(index)
        } else {
            let lane = self.wires.get(index).map(|wire| wire.lane);
            Err(format!(
                "{lane:?} of round {round} came in round {}",
                self.number
            ))
        }
    }
}

fn message(round: u64, index: usize) -> [u8; 16] {
    let mut message = [0; 16];
    message[..8].copy_from_slice(&round.to_be_bytes());
    message[8..].copy_from_slice(&(index as u64).to_be_bytes());
    message
}

/// Without the form that a dual-stack socket gives an IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    (address.ip().to_canonical(), address.port()).into()
}

/// A connection that is being opened, and is reset when it is dropped.
fn connecting(to: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => Ok(socket),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(socket),
        Err(error) => Err(error),
        Ok(()) => Ok(socket),
    }
}

/// A matrix at work, in a thread of its own.
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    rounds: Mutex<Vec<Round>>,
    failure: Mutex<Option<Failure>>,
}

impl Watch {
    /// Round after round.
    pub fn start(mut matrix: Matrix) -> Self {
        let shared = Arc::<Shared>::default();
        let inner = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut cpus = CpuSet::new();
            cpus.set(0).expect("there is a first CPU");
            sched_setaffinity(Pid::from_raw(0), &cpus).expect("stay on one CPU");
            while !inner.stop.load(Ordering::SeqCst) {
                match matrix.round() {
                    Ok(round) => {
                        inner.rounds.lock().expect("no panic").push(round);
                    }
                    Err(failure) => {
                        *inner.failure.lock().expect("no panic") = Some(failure);
                        return;
                    }
                }
            }
        });
        let watch = Self {
            shared,
            thread: Some(thread),
        };
        watch.look();
        watch
    }

    fn assert_no_failure(&self) {
        let failure = self.shared.failure.lock().expect("no panic").clone();
        assert_eq!(failure, None);
    }

    /// Waits for a round that began after this call, and gives the lanes that passed in it.
    #[track_caller]
    pub fn look(&self) -> BTreeSet<Lane> {
        let now = Instant::now();
        eventually("a round of packets", || {
            self.assert_no_failure();
            let rounds = self.shared.rounds.lock().expect("no panic");
            let last = rounds.last().filter(|round| round.began >= now);
            last.map(|round| round.passed.clone())
        })
    }

    /// Ends it: all rounds.
    #[track_caller]
    pub fn finish(mut self) -> Vec<Round> {
        self.end();
        self.assert_no_failure();
        std::mem::take(&mut *self.shared.rounds.lock().expect("no panic"))
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

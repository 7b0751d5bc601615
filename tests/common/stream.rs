//! Long-running numbered traffic: what was lost of it, and what got through that should not have.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{setsockopt, sockopt};

use super::namespace::Namespace;
use super::{PATIENCE, eventually};

/// The time from one message to the next, unless `BRIDGEWALL_TEST_INTERVAL` says otherwise, in
/// microseconds: an emulated machine cannot send as many.
const INTERVAL: Duration = Duration::from_micros(500);

/// A sender that numbers its messages, and a receiver that knows which have come. Each message says
/// when it was sent, so that a leak can be told from a late change.
pub struct Stream {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
    /// The connection, if it is one.
    tcp: Option<Connection>,
    lost_segments: u64,
}

#[derive(Default)]
struct Counts {
    stop_sending: AtomicBool,
    stop_receiving: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    out_of_order: AtomicU64,
    /// When the youngest message that arrived was sent.
    youngest: AtomicU64,
    /// When the last message arrived.
    last: AtomicU64,
    failure: Mutex<Option<String>>,
}

/// What a stream has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Messages that the sender gave to its kernel.
    pub sent: u64,
    /// Messages that arrived.
    pub received: u64,
    /// Messages that did not come in their turn.
    pub out_of_order: u64,
    /// Segments of TCP, in both directions, that one end sent and the other did not receive: also those
    /// that TCP made good for by sending them again, and not those that it sent again for being late.
    pub lost_segments: u64,
    /// Why the connection ended, if it did not last until the end.
    pub failure: Option<String>,
}

impl Report {
    /// Everything arrived in its turn, and the connection lasted, though TCP may have had to send something
    /// again.
    #[track_caller]
    pub fn assert_complete(&self) {
        assert!(self.sent > 0, "nothing was sent: {self:?}");
        assert!(
            self.received == self.sent && self.out_of_order == 0 && self.failure.is_none(),
            "the connection suffered: {self:?}"
        );
    }

    /// Not a single packet was missing.
    #[track_caller]
    pub fn assert_no_loss(&self) {
        assert!(self.sent > 0, "nothing was sent: {self:?}");
        assert!(
            self.received == self.sent
                && self.out_of_order == 0
                && self.lost_segments == 0
                && self.failure.is_none(),
            "packets were lost: {self:?}"
        );
    }
}

impl Stream {
    /// One UDP flow. `to` is an address of `receiver`.
    #[track_caller]
    pub fn udp(sender: &Namespace, receiver: &Namespace, to: SocketAddr) -> Self {
        let target = receiver
            .inside(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, to.port())))
            .expect("bind a UDP port");
        // Room for seconds, so that a busy machine loses nothing that the firewall did not drop.
        setsockopt(&target, sockopt::RcvBufForce, &(8 << 20)).expect("enlarge a buffer");
        target
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("set a timeout");
        let source = sender.inside(|| {
            let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
            socket.connect(to).map(|()| socket)
        });
        let source = source.expect("open a UDP socket");

        let counts = Arc::<Counts>::default();
        let (sending, receiving) = (Arc::clone(&counts), Arc::clone(&counts));
        Self {
            threads: vec![
                thread::spawn(move || {
                    // A refused send is a lost message, and counted as one.
                    send_messages(&sending, |message| drop(source.send(message)));
                }),
                thread::spawn(move || {
                    let mut message = [0; 16];
                    while !receiving.stop_receiving.load(Ordering::SeqCst) {
                        if let Ok(16) = target.recv(&mut message) {
                            receiving.take(&message);
                        }
                    }
                }),
            ],
            counts,
            tcp: None,
            lost_segments: 0,
        }
        .under_way()
    }

    /// One TCP connection. `to` is an address of `receiver`.
    #[track_caller]
    pub fn tcp(sender: &Namespace, receiver: &Namespace, to: SocketAddr) -> Self {
        let listener = receiver
            .inside(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, to.port())))
            .expect("listen on a TCP port");
        let mut source = sender
            .inside(|| TcpStream::connect_timeout(&to, PATIENCE))
            .unwrap_or_else(|error| panic!("connect a stream to {to}: {error}"));
        source.set_nodelay(true).expect("send at once");
        source
            .set_write_timeout(Some(Duration::from_millis(200)))
            .expect("set a timeout");
        let (mut target, _) = listener.accept().expect("accept a stream");

        let counts = Arc::<Counts>::default();
        let (sending, receiving) = (Arc::clone(&counts), Arc::clone(&counts));
        let connection = Connection::between(&source, &target);
        Self {
            threads: vec![
                thread::spawn(move || {
                    send_messages(&sending, |message| {
                        if let Err(error) = source.write_all(message) {
                            sending.fail(&error);
                        }
                    });
                    let _ = source.shutdown(std::net::Shutdown::Write);
                }),
                thread::spawn(move || {
                    let mut message = [0; 16];
                    while target.read_exact(&mut message).is_ok() {
                        receiving.take(&message);
                    }
                }),
            ],
            counts,
            tcp: Some(connection),
            lost_segments: 0,
        }
        .under_way()
    }

    fn under_way(self) -> Self {
        self.assert_flowing();
        self
    }

    /// Waits until a good number of messages more have arrived.
    #[track_caller]
    pub fn assert_flowing(&self) {
        let before = self.counts.received.load(Ordering::SeqCst);
        eventually("more of a stream arrives", || {
            (self.counts.received.load(Ordering::SeqCst) > before + 20).then_some(())
        });
    }

    /// Waits until the sender has sent many messages of which none has arrived.
    #[track_caller]
    pub fn assert_ended(&self) {
        let sent = || self.counts.sent.load(Ordering::SeqCst);
        let received = || self.counts.received.load(Ordering::SeqCst);
        let mut mark = (sent(), received());
        eventually("a stream ends", || {
            if received() != mark.1 {
                mark = (sent(), received());
            }
            let failed = self
                .counts
                .failure
                .lock()
                .is_ok_and(|failure| failure.is_some());
            (failed || sent() > mark.0 + 200).then_some(())
        });
    }

    /// When the youngest message that has arrived was sent, in Unix time.
    pub fn youngest_arrival(&self) -> Duration {
        Duration::from_nanos(self.counts.youngest.load(Ordering::SeqCst))
    }

    /// When the last message arrived at its receiver, in Unix time.
    pub fn last_arrival(&self) -> Duration {
        Duration::from_nanos(self.counts.last.load(Ordering::SeqCst))
    }

    /// Stops sending, waits until what is on its way has arrived or is known to be lost, and reports.
    pub fn finish(mut self) -> Report {
        self.end();
        let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
        Report {
            sent: load(&self.counts.sent),
            received: load(&self.counts.received),
            out_of_order: load(&self.counts.out_of_order),
            lost_segments: self.lost_segments,
            failure: self
                .counts
                .failure
                .lock()
                .ok()
                .and_then(|failure| failure.clone()),
        }
    }

    fn end(&mut self) {
        self.counts.stop_sending.store(true, Ordering::SeqCst);
        let mut threads = self.threads.drain(..);
        let (sender, receiver) = (threads.next(), threads.next());
        drop(threads);
        let _ = sender.map(JoinHandle::join);
        // What was sent last is on a veth, not on a long line: it is there at once, or never.
        let deadline = std::time::Instant::now() + super::BRIEFLY;
        while self.counts.received.load(Ordering::SeqCst) < self.counts.sent.load(Ordering::SeqCst)
            && std::time::Instant::now() < deadline
        {
            thread::yield_now();
        }
        self.counts.stop_receiving.store(true, Ordering::SeqCst);
        if let Some(connection) = self.tcp.take() {
            self.lost_segments = connection.lost_segments();
            // Wakes a receiver that waits for what will not come.
            let _ = connection.target.shutdown(std::net::Shutdown::Both);
        }
        let _ = receiver.map(JoinHandle::join);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.end();
        }
    }
}

impl Counts {
    fn take(&self, message: &[u8; 16]) {
        let (number, sent_at) = message.split_at(8);
        let number = u64::from_be_bytes(number.try_into().expect("8 bytes"));
        let sent_at = u64::from_be_bytes(sent_at.try_into().expect("8 bytes"));
        self.youngest.fetch_max(sent_at, Ordering::SeqCst);
        self.last.store(unix_nanoseconds(), Ordering::SeqCst);
        let expected = self.received.fetch_add(1, Ordering::SeqCst);
        if number != expected {
            self.out_of_order.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn fail(&self, error: &std::io::Error) {
        self.stop_sending.store(true, Ordering::SeqCst);
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert_with(|| error.to_string());
        }
    }
}

/// Sends messages at their pace until it is told to stop.
fn send_messages(counts: &Counts, mut send: impl FnMut(&[u8; 16])) {
    let interval = std::env::var("BRIDGEWALL_TEST_INTERVAL")
        .ok()
        .and_then(|interval| interval.parse().ok())
        .map_or(INTERVAL, Duration::from_micros);
    let mut message = [0; 16];
    while !counts.stop_sending.load(Ordering::SeqCst) {
        let number = counts.sent.fetch_add(1, Ordering::SeqCst);
        message[..8].copy_from_slice(&number.to_be_bytes());
        message[8..].copy_from_slice(&unix_nanoseconds().to_be_bytes());
        send(&message);
        // The pace of the traffic, not a wait for anything.
        thread::sleep(interval);
    }
}

fn unix_nanoseconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Both ends of a TCP connection.
struct Connection {
    source: TcpStream,
    target: TcpStream,
    /// How many segments each direction had lost when nothing but the handshake had been sent: the
    /// ends do not agree on whose that was.
    handshake: [i64; 2],
}

impl Connection {
    fn between(source: &TcpStream, target: &TcpStream) -> Self {
        let [source, target] =
            [source, target].map(|socket| socket.try_clone().expect("clone a socket"));
        Self {
            handshake: missing(&source, &target),
            source,
            target,
        }
    }

    /// How many segments were sent by one end and not received by the other.
    fn lost_segments(&self) -> u64 {
        let deadline = std::time::Instant::now() + super::BRIEFLY;
        loop {
            let missing = missing(&self.source, &self.target);
            let lost: u64 = std::iter::zip(missing, self.handshake)
                .map(|(now, before)| now.abs_diff(before))
                .sum();
            // What has just been sent is received at once, or never.
            if lost == 0 || std::time::Instant::now() > deadline {
                return lost;
            }
            thread::yield_now();
        }
    }
}

/// What each of the two has sent, less what the other one has received.
fn missing(one: &TcpStream, other: &TcpStream) -> [i64; 2] {
    let (one, other) = (Segments::of(one), Segments::of(other));
    [one.sent - other.received, other.sent - one.received]
}

/// How many segments one end of a connection has seen, with and without data.
struct Segments {
    sent: i64,
    received: i64,
}

impl Segments {
    fn of(stream: &TcpStream) -> Self {
        use std::os::fd::AsRawFd;

        use nix::libc;

        // Places in struct tcp_info (linux/tcp.h), in units of four bytes: tcpi_segs_out and
        // tcpi_segs_in, which are newer than what libc knows of it.
        const SENT: usize = 34;
        const RECEIVED: usize = 35;
        let mut info = [0_u32; 64];
        let mut length = size_of_val(&info) as libc::socklen_t;
        // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes of integers.
        let done = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        assert_eq!(done, 0, "read a connection's TCP_INFO");
        assert!(
            length as usize >= (RECEIVED + 1) * size_of::<u32>(),
            "the kernel's tcp_info has no tcpi_segs_in"
        );
        Self {
            sent: info[SENT].into(),
            received: info[RECEIVED].into(),
        }
    }
}

//! One attempt to reach somebody, with real packets, and what came of it.

use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::frame::checksum;
use super::namespace::Namespace;
use super::{BRIEFLY, PATIENCE};

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The other side answered.
    Answered,
    /// The other side said no: a reset, or "port unreachable". The packets did reach it.
    Refused,
    /// Nothing came back: what a drop looks like.
    Silence,
    /// The network said no.
    Unreachable(String),
}

/// Connects, reads the first bytes of a greeting, and waits so long for each.
pub fn tcp_within(from: &Namespace, to: SocketAddr, patience: Duration) -> Outcome {
    from.inside(|| match TcpStream::connect_timeout(&to, patience) {
        Ok(mut stream) => {
            stream
                .set_read_timeout(Some(patience))
                .expect("set a timeout");
            match stream.read(&mut [0; 256]) {
                Ok(0) => Outcome::Refused,
                Ok(_) => Outcome::Answered,
                Err(error) => outcome_of(&error),
            }
        }
        Err(error) => outcome_of(&error),
    })
}

/// Connects, and is content with that.
pub fn connect_within(from: &Namespace, to: SocketAddr, patience: Duration) -> Outcome {
    from.inside(|| {
        TcpStream::connect_timeout(&to, patience)
            .map_or_else(|error| outcome_of(&error), |_| Outcome::Answered)
    })
}

/// Sends one datagram and waits for its echo.
pub fn udp_within(from: &Namespace, to: SocketAddr, patience: Duration) -> Outcome {
    let attempt = || -> std::io::Result<()> {
        let socket = UdpSocket::bind(unspecified(to.ip()))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(b"bridgewall")?;
        socket.recv(&mut [0; 64]).map(|_| ())
    };
    from.inside(|| attempt().map_or_else(|error| outcome_of(&error), |()| Outcome::Answered))
}

/// Sends one echo request and waits for its reply.
pub fn ping_within(from: &Namespace, to: IpAddr, patience: Duration) -> Outcome {
    static SEQUENCE: AtomicU16 = AtomicU16::new(1);
    let identifier = SEQUENCE.fetch_add(1, Ordering::SeqCst);
    let body = [&identifier.to_be_bytes()[..], &[0, 1], &[0x42; 32]].concat();
    let (request, reply) = if to.is_ipv4() { (8, 0) } else { (128, 129) };
    from.inside(|| {
        let socket = icmp_socket(to).expect("open a raw socket");
        if let Err(error) = socket.send_to(
            &icmp_message(to, request, 0, &body),
            &SocketAddr::new(to, 0).into(),
        ) {
            return outcome_of(&error);
        }
        let deadline = Instant::now() + patience;
        let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Outcome::Silence;
            }
            socket.set_read_timeout(Some(left)).expect("set a timeout");
            let Ok((count, _)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let packet: Vec<u8> = buffer[..count]
                .iter()
                // SAFETY: recv_from has written `count` bytes.
                .map(|byte| unsafe { byte.assume_init() })
                .collect();
            // IPv4 raw sockets give the IP header too, IPv6 ones do not.
            let header = if to.is_ipv4() {
                usize::from(packet[0] & 0xf) * 4
            } else {
                0
            };
            let message = &packet[header..];
            if message.len() >= 6
                && message[0] == reply
                && message[4..6] == identifier.to_be_bytes()
            {
                return Outcome::Answered;
            }
        }
    })
}

/// Sends one ICMP or ICMPv6 message of any type, and waits for nothing.
#[track_caller]
pub fn send_icmp(from: &Namespace, to: IpAddr, icmp_type: u8, code: u8) {
    let body = [&[0x77, 0x77, 0, 1], &[0; 32][..]].concat();
    from.inside(|| {
        icmp_socket(to)?.send_to(
            &icmp_message(to, icmp_type, code, &body),
            &SocketAddr::new(to, 0).into(),
        )
    })
    .unwrap_or_else(|error| panic!("send ICMP type {icmp_type} to {to}: {error}"));
}

/// Sends one datagram that fills an Ethernet frame, and waits for nothing. Nobody fragments it: the
/// kernel sets "don't fragment" where it fits the first link, and IPv6 routers never do.
#[track_caller]
pub fn send_large_udp(from: &Namespace, to: SocketAddr) {
    let payload = if to.is_ipv4() { 1472 } else { 1452 };
    from.inside(|| UdpSocket::bind(unspecified(to.ip()))?.send_to(&vec![0; payload], to))
        .unwrap_or_else(|error| panic!("send a large datagram to {to}: {error}"));
}

/// An HTTP request, and the answer's status and body. `None`: no complete answer.
pub fn http_within(
    from: &Namespace,
    to: SocketAddr,
    method: &str,
    path: &str,
    patience: Duration,
) -> Option<(u16, String)> {
    from.inside(|| {
        let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {to}\r\nContent-Length: 0\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .or_else(|| answer.split_once("\n\n"))?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.trim().to_owned()))
    })
}

/// A connection that must come to be.
#[track_caller]
pub fn assert_connects(from: &Namespace, to: SocketAddr) {
    assert_eq!(
        tcp_within(from, to, PATIENCE),
        Outcome::Answered,
        "TCP to {to}"
    );
}

/// A connection that the target itself must refuse: the packets do reach it.
#[track_caller]
pub fn assert_refused(from: &Namespace, to: SocketAddr) {
    assert_eq!(
        tcp_within(from, to, PATIENCE),
        Outcome::Refused,
        "TCP to {to}"
    );
}

/// A connection that nobody must answer.
#[track_caller]
pub fn assert_dropped(from: &Namespace, to: SocketAddr) {
    assert_eq!(
        tcp_within(from, to, BRIEFLY),
        Outcome::Silence,
        "TCP to {to}"
    );
}

/// A datagram that must come back.
#[track_caller]
pub fn assert_echoes(from: &Namespace, to: SocketAddr) {
    assert_eq!(
        udp_within(from, to, PATIENCE),
        Outcome::Answered,
        "UDP to {to}"
    );
}

/// A datagram that nobody must answer.
#[track_caller]
pub fn assert_lost(from: &Namespace, to: SocketAddr) {
    assert_eq!(
        udp_within(from, to, BRIEFLY),
        Outcome::Silence,
        "UDP to {to}"
    );
}

/// An echo request that must be answered.
#[track_caller]
pub fn assert_pings(from: &Namespace, to: IpAddr) {
    assert_eq!(
        ping_within(from, to, PATIENCE),
        Outcome::Answered,
        "ping {to}"
    );
}

/// An echo request that nobody must answer.
#[track_caller]
pub fn assert_no_ping(from: &Namespace, to: IpAddr) {
    assert_eq!(
        ping_within(from, to, BRIEFLY),
        Outcome::Silence,
        "ping {to}"
    );
}

/// A transfer of a megabyte to a server that is started for it: it fills packets to the path's MTU.
#[track_caller]
pub fn assert_bulk(from: &Namespace, server: &Namespace, to: SocketAddr) {
    const SIZE: usize = 1 << 20;
    let listener = server
        .inside(|| std::net::TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, to.port())))
        .expect("listen");
    let mut sender = from
        .inside(|| TcpStream::connect_timeout(&to, PATIENCE))
        .unwrap_or_else(|error| panic!("connect to {to}: {error}"));
    let receive = std::thread::spawn(move || -> std::io::Result<usize> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read_to_end(&mut Vec::new())
    });
    sender
        .set_write_timeout(Some(PATIENCE))
        .expect("set a timeout");
    sender
        .write_all(&vec![0x5a; SIZE])
        .unwrap_or_else(|error| panic!("send a megabyte to {to}: {error}"));
    drop(sender);
    let received = receive.join().expect("the receiver does not panic");
    assert_eq!(
        received.unwrap_or_else(|error| panic!("receive at {to}: {error}")),
        SIZE
    );
}

fn outcome_of(error: &std::io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Outcome::Refused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Outcome::Silence,
        _ => Outcome::Unreachable(error.to_string()),
    }
}

fn unspecified(like: IpAddr) -> SocketAddr {
    match like {
        IpAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn icmp_socket(to: IpAddr) -> std::io::Result<Socket> {
    match to {
        IpAddr::V4(_) => Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)),
        IpAddr::V6(_) => Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)),
    }
}

/// The kernel fills in the checksum of ICMPv6 (RFC 3542, 3.1), not that of ICMP.
fn icmp_message(to: IpAddr, icmp_type: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut message = [&[icmp_type, code, 0, 0], body].concat();
    if to.is_ipv4() {
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

//! What programs in two containers feel: datagrams, questions and answers, connections, a stream.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Instant;

use crate::Options;
use crate::cpu::{self, Meter};
use crate::lab::{Firewall, Lab, PORT, labs};
use crate::report::Table;
use crate::rounds::{Candidate, compare, median};

const FIREWALLS: &[Firewall] = &[
    Firewall::Bridge,
    Firewall::Bridge,
    Firewall::BareRedirect,
    Firewall::Bridgewall {
        entries: 10,
        fast_path: true,
    },
    Firewall::Bridgewall {
        entries: 100_000,
        fast_path: true,
    },
    Firewall::Bridgewall {
        entries: 10,
        fast_path: false,
    },
    Firewall::NftBridge,
    Firewall::NftForward,
    Firewall::Iptables(100),
];

/// Bytes of a datagram, a question and an answer.
const MESSAGE: usize = 64;

/// Bytes written at once to a stream.
const CHUNK: usize = 64 << 10;

type Work = fn(&Lab, &Meter, u32) -> f64;

/// All in IPv4: the family makes no difference here that `live` does not show.
pub fn measure(options: &Options) -> Vec<Table> {
    cpu::pin();
    let labs = labs("sockets", FIREWALLS, None);
    let scenarios: [(&str, &str, &str, Work, u32, f64); 4] = [
        (
            "udp",
            "UDP, sender to receiver",
            "ns of CPU a datagram",
            udp,
            50_000,
            0.88,
        ),
        (
            "rr",
            "Question and answer over TCP, half are quicker",
            "us",
            questions,
            10_000,
            0.92,
        ),
        (
            "crr",
            "Connect, ask, be answered, close",
            "ns of CPU a connection",
            connections,
            1_000,
            0.90,
        ),
        (
            "stream",
            "TCP stream",
            "ns of CPU for 64 KiB",
            stream,
            8_000,
            1.0,
        ),
    ];
    scenarios
        .map(|(name, title, unit, work, amount, goal)| {
            let meter = Meter::of_process();
            let amount = options.amount(amount);
            let candidates = labs.iter().enumerate().map(|(index, lab)| {
                let name = lab.firewall.name() + if index == 1 { ", again" } else { "" };
                let fast = matches!(
                    lab.firewall,
                    Firewall::Bridgewall {
                        fast_path: true,
                        ..
                    }
                );
                let meter = &meter;
                Candidate::new(name, move || work(lab, meter, amount)).goal(fast.then_some(goal))
            });
            let table = Table::new(format!("sockets-{name}"), title, unit);
            compare(table, options.rounds(), candidates.collect())
        })
        .into()
}

fn target(lab: &Lab) -> SocketAddr {
    (lab.node("db").ipv4, PORT).into()
}

fn everywhere(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

fn udp(lab: &Lab, meter: &Meter, count: u32) -> f64 {
    let [web, db] = ["web", "db"].map(|name| &lab.node(name).namespace);
    let receiver = db
        .inside(|| UdpSocket::bind(everywhere(PORT)))
        .expect("bind a socket");
    let sender = web
        .inside(|| UdpSocket::bind("0.0.0.0:0"))
        .expect("bind a socket");
    sender.connect(target(lab)).expect("connect a socket");
    let mut buffer = [0; MESSAGE];
    // As many at once as any receive buffer holds, so that none is lost.
    let batch = 50;
    meter.per_packet(count, || {
        for _ in 0..count / batch {
            for _ in 0..batch {
                sender.send(&[0; MESSAGE]).expect("send a datagram");
            }
            for _ in 0..batch {
                receiver.recv(&mut buffer).expect("receive a datagram");
            }
        }
    })
}

/// A connection from web to db.
fn connection(lab: &Lab) -> (TcpStream, TcpStream) {
    let [web, db] = ["web", "db"].map(|name| &lab.node(name).namespace);
    let listener = db
        .inside(|| TcpListener::bind(everywhere(PORT)))
        .expect("listen");
    let to = target(lab);
    let client = web.inside(|| TcpStream::connect(to)).expect("connect");
    let (server, _) = listener.accept().expect("accept");
    for socket in [&client, &server] {
        socket.set_nodelay(true).expect("send at once");
    }
    (client, server)
}

fn questions(lab: &Lab, _: &Meter, count: u32) -> f64 {
    let (mut client, mut server) = connection(lab);
    let answering = thread::spawn(move || {
        let mut buffer = [0; MESSAGE];
        while server.read_exact(&mut buffer).is_ok() {
            server.write_all(&buffer).expect("answer");
        }
    });
    let mut buffer = [0; MESSAGE];
    let mut times: Vec<f64> = (0..count)
        .map(|_| {
            let asked = Instant::now();
            client.write_all(&[0; MESSAGE]).expect("ask");
            client.read_exact(&mut buffer).expect("be answered");
            asked.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    drop(client);
    answering.join().expect("the server ends");
    times.sort_by(f64::total_cmp);
    median(&times)
}

fn connections(lab: &Lab, meter: &Meter, count: u32) -> f64 {
    let [web, db] = ["web", "db"].map(|name| &lab.node(name).namespace);
    let listener = db
        .inside(|| TcpListener::bind(everywhere(PORT)))
        .expect("listen");
    let to = target(lab);
    web.inside(|| {
        meter.per_packet(count, || {
            for _ in 0..count {
                let mut buffer = [0; MESSAGE];
                let mut client = TcpStream::connect(to).expect("connect");
                let (mut server, _) = listener.accept().expect("accept");
                client.write_all(&buffer).expect("ask");
                server.read_exact(&mut buffer).expect("be asked");
                server.write_all(&buffer).expect("answer");
                client.read_exact(&mut buffer).expect("be answered");
            }
        })
    })
}

fn stream(lab: &Lab, meter: &Meter, count: u32) -> f64 {
    let (mut client, mut server) = connection(lab);
    meter.per_packet(count, || {
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut buffer = vec![0; CHUNK];
                while server.read(&mut buffer).expect("read a stream") > 0 {}
            });
            let chunk = vec![0; CHUNK];
            for _ in 0..count {
                client.write_all(&chunk).expect("write to a stream");
            }
            drop(client);
        });
    })
}

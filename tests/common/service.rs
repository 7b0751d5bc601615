//! Servers inside a namespace, for probes to reach, which count who did.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use super::eventually;
use super::namespace::Namespace;

/// Binds a port as soon as nobody has it any more: a child process that another test is starting holds
/// copies of all sockets until it is what it is to be.
fn once_free<T>(bind: impl Fn() -> io::Result<T>) -> T {
    eventually("the port is free", || match bind() {
        Err(error) if error.kind() == ErrorKind::AddrInUse => None,
        bound => Some(bound),
    })
    .unwrap_or_else(|error| panic!("bind a port: {error}"))
}

/// Listens until dropped, on IPv4 and IPv6.
pub struct Service {
    heard: Arc<AtomicU64>,
    stop: Option<Box<dyn FnOnce() + Send>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// A TCP server that greets with `banner` and then gives back what it is sent.
    #[track_caller]
    pub fn tcp(namespace: &Namespace, port: u16, banner: &str) -> Self {
        let listener = once_free(|| namespace.inside(|| TcpListener::bind(everywhere(port))));
        let heard = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&heard);
        let banner = banner.to_owned();
        let stopper = listener.try_clone().expect("clone a socket");
        let thread = thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                counter.fetch_add(1, Ordering::SeqCst);
                let banner = banner.clone();
                thread::spawn(move || {
                    // A peer that goes away ends its conversation, and nothing else.
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
                    let _ = stream.write_all(banner.as_bytes());
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        if stream.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self {
            heard,
            stop: Some(Box::new(move || {
                // Wakes the accept above, which then fails.
                let _ = SockRef::from(&stopper).shutdown(std::net::Shutdown::Both);
            })),
            thread: Some(thread),
        }
    }

    /// A UDP server that gives back what it is sent.
    #[track_caller]
    pub fn udp(namespace: &Namespace, port: u16) -> Self {
        let socket = once_free(|| namespace.inside(|| UdpSocket::bind(everywhere(port))));
        let heard = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&heard);
        let stopped = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopping = Arc::clone(&stopped);
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("set a timeout");
        let thread = thread::spawn(move || {
            let mut buffer = [0; 65536];
            while !stopped.load(Ordering::SeqCst) {
                if let Ok((count, sender)) = socket.recv_from(&mut buffer) {
                    counter.fetch_add(1, Ordering::SeqCst);
                    // An answer that cannot be sent is for the prober to miss.
                    let _ = socket.send_to(&buffer[..count], sender);
                }
            }
        });
        Self {
            heard,
            stop: Some(Box::new(move || stopping.store(true, Ordering::SeqCst))),
            thread: Some(thread),
        }
    }

    /// How many connections or datagrams have arrived.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::SeqCst)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Every address of both families.
fn everywhere(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

//! Raw Ethernet frames: to send what no honest stack would, and to see what really arrives.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};

pub use super::craft::checksum;
use super::namespace::Namespace;

/// IP protocol numbers.
pub const ICMP: u8 = 1;
/// IP protocol numbers.
pub const TCP: u8 = 6;
/// IP protocol numbers.
pub const UDP: u8 = 17;
/// IP protocol numbers.
pub const ICMPV6: u8 = 58;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// A UDP datagram in an IP packet in a frame, every address as given, honest or not.
pub fn udp(
    macs: (Mac, Mac),
    addresses: (IpAddr, IpAddr),
    ports: (u16, u16),
    payload: &[u8],
) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let mut datagram = [ports.0, ports.1, length, 0].map(u16::to_be_bytes).concat();
    datagram.extend_from_slice(payload);
    let sum = pseudo_header_checksum(addresses, UDP, &datagram);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(macs, addresses, UDP, &datagram)
}

/// An ARP reply in which `sender` claims to be at `macs.0`.
pub fn arp_reply(macs: (Mac, Mac), sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let body = [
        &[0, 1, 0x08, 0, 6, 4, 0, 2][..],
        &macs.0,
        &sender,
        &macs.1,
        &target,
    ]
    .concat();
    ethernet(macs, ETHERTYPE_ARP, &body)
}

/// A neighbour advertisement (RFC 4861, 4.4) in which `addresses.0` claims to be at `macs.0`.
pub fn neighbour_advertisement(macs: (Mac, Mac), addresses: (IpAddr, IpAddr)) -> Vec<u8> {
    let IpAddr::V6(claimed) = addresses.0 else {
        panic!("neighbour discovery is IPv6's");
    };
    let mut message = [
        &[136, 0, 0, 0, 0x60, 0, 0, 0][..],
        &claimed.octets(),
        &[2, 1],
        &macs.0,
    ]
    .concat();
    let sum = pseudo_header_checksum(addresses, ICMPV6, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(macs, addresses, ICMPV6, &message)
}

/// Any payload in an IPv4 or IPv6 packet in a frame, with the hop limit that discovery asks for.
pub fn ip(macs: (Mac, Mac), addresses: (IpAddr, IpAddr), protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    match addresses {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = [
                &[0x45, 0][..],
                &(20 + length).to_be_bytes(),
                &[0, 0, 0, 0, 255, protocol, 0, 0],
                &source.octets(),
                &destination.octets(),
            ]
            .concat();
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            ethernet(macs, ETHERTYPE_IPV4, &[&header, payload].concat())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = [
                &[0x60, 0, 0, 0][..],
                &length.to_be_bytes(),
                &[protocol, 255],
                &source.octets(),
                &destination.octets(),
            ]
            .concat();
            ethernet(macs, ETHERTYPE_IPV6, &[&header, payload].concat())
        }
        _ => panic!("both addresses of a packet are of one family"),
    }
}

/// Sends one frame as it is.
#[track_caller]
pub fn send(from: &Namespace, interface: &str, frame: &[u8]) {
    let sent = packet_socket(from, interface, 0).and_then(|socket| socket.send(frame));
    assert_eq!(sent.expect("send a raw frame"), frame.len());
}

/// A socket that sends frames as they are.
#[track_caller]
pub fn sender(from: &Namespace, interface: &str) -> Socket {
    packet_socket(from, interface, 0).expect("open a packet socket")
}

/// What arrives at an interface, whether anything there listens for it or not.
pub struct Witness {
    socket: Socket,
    seen: Vec<Packet>,
}

/// What is told of a frame that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Who sent the frame.
    pub source_mac: Mac,
    /// Where the packet says it comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// What it carries.
    pub protocol: u8,
    /// TCP and UDP: the destination port; ICMP: type << 8 | code.
    pub selector: u16,
}

impl Witness {
    /// Begins to watch.
    #[track_caller]
    pub fn at(namespace: &Namespace, interface: &str) -> Self {
        Self {
            socket: listener(namespace, interface),
            seen: Vec::new(),
        }
    }

    /// Every IP packet so far that a question is answered with yes for.
    pub fn count(&mut self, question: impl Fn(&Packet) -> bool) -> usize {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 65536];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(count) => {
                    let frame: Vec<u8> = buffer[..count]
                        .iter()
                        // SAFETY: recv has written `count` bytes.
                        .map(|byte| unsafe { byte.assume_init() })
                        .collect();
                    self.seen.extend(Packet::parse(&frame));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("read a packet socket: {error}"),
            }
        }
        self.seen.iter().filter(|packet| question(packet)).count()
    }

    /// Packets of a protocol for a port.
    pub fn for_port(&mut self, protocol: u8, port: u16) -> usize {
        self.count(|packet| packet.protocol == protocol && packet.selector == port)
    }

    /// ICMP or ICMPv6 messages of a type.
    pub fn of_icmp(&mut self, protocol: u8, icmp_type: u8) -> usize {
        self.count(|packet| {
            packet.protocol == protocol && packet.selector >> 8 == u16::from(icmp_type)
        })
    }
}

impl Packet {
    fn parse(frame: &[u8]) -> Option<Self> {
        let (source, destination, protocol, payload): (IpAddr, IpAddr, u8, &[u8]) =
            match u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?) {
                ETHERTYPE_IPV4 => {
                    let header = frame.get(14..34)?;
                    let payload = frame.get(14 + usize::from(header[0] & 0xf) * 4..)?;
                    let address = |at: usize| <[u8; 4]>::try_from(&header[at..at + 4]).ok();
                    (address(12)?.into(), address(16)?.into(), header[9], payload)
                }
                ETHERTYPE_IPV6 => {
                    let header = frame.get(14..54)?;
                    let address = |at: usize| <[u8; 16]>::try_from(&header[at..at + 16]).ok();
                    (
                        address(8)?.into(),
                        address(24)?.into(),
                        header[6],
                        frame.get(54..)?,
                    )
                }
                _ => return None,
            };
        let at = if matches!(protocol, ICMP | ICMPV6) {
            0
        } else {
            2
        };
        let selector = payload
            .get(at..at + 2)
            .map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        Some(Self {
            source_mac: frame[6..12].try_into().ok()?,
            source,
            destination,
            protocol,
            selector,
        })
    }
}

fn pseudo_header_checksum(addresses: (IpAddr, IpAddr), protocol: u8, payload: &[u8]) -> u16 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let tail = [
        &(payload.len() as u32).to_be_bytes()[..],
        &[0, 0, 0, protocol],
    ]
    .concat();
    match checksum(&[&octets(addresses.0), &octets(addresses.1), &tail, payload]) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    }
}

fn ethernet(macs: (Mac, Mac), ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&macs.1[..], &macs.0, &ethertype.to_be_bytes(), payload].concat()
}

/// A packet socket that hears all that comes in at an interface, and does not block.
#[track_caller]
pub fn listener(namespace: &Namespace, interface: &str) -> Socket {
    let all = libc::ETH_P_ALL as u16;
    let socket = packet_socket(namespace, interface, all).expect("open a packet socket");
    setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20)).expect("enlarge a buffer");
    socket
        .set_nonblocking(true)
        .expect("make a socket not block");
    let yes: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the option's value is an int that outlives the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const yes).cast(),
            size_of_val(&yes) as libc::socklen_t,
        )
    };
    assert_eq!(done, 0, "leave out what the interface itself sends");
    socket
}

/// A packet socket on one interface that receives frames of one ethertype, 0 for none.
pub fn packet_socket(
    namespace: &Namespace,
    interface: &str,
    ethertype: u16,
) -> std::io::Result<Socket> {
    let index = namespace.interface_index(interface);
    // SAFETY: the storage is larger than a sockaddr_ll, and all of that is written.
    let (_, address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = ethertype.to_be();
            address.sll_ifindex = index as i32;
            storage.cast::<libc::sockaddr_ll>().write(address);
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })?
    };
    // Protocol 0: it hears nothing before it is bound to its interface.
    let socket = namespace.inside(|| Socket::new(Domain::PACKET, Type::RAW, None))?;
    socket.bind(&address)?;
    Ok(socket)
}

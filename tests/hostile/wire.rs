//! Packet sockets: frames as they are, and how they lie in memory.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use nix::libc;
use socket2::Socket;

use crate::common::frame::{listener, packet_socket};
use crate::common::namespace::Namespace;

/// What a virtio header says of a frame (`struct virtio_net_hdr`, VIRTIO 1.2, 5.1.6).
#[derive(Debug, Clone, Copy, Default)]
pub struct Offload {
    /// NEEDS_CHECKSUM or nothing.
    pub flags: u8,
    /// GSO_*.
    pub segmentation: u8,
    /// How much of a long frame is laid end to end; the rest lies in pages of its own.
    pub linear: u16,
    /// Bytes in each segment.
    pub segment: u16,
    /// From where on the checksum is to be computed ...
    pub checksum_start: u16,
    /// ... and where, from there, it is to be written.
    pub checksum_offset: u16,
}

pub const NEEDS_CHECKSUM: u8 = 1;
pub const GSO_TCPV4: u8 = 1;
pub const GSO_TCPV6: u8 = 4;
pub const GSO_UDP: u8 = 5;

impl Offload {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.flags, self.segmentation];
        for word in [
            self.linear,
            self.segment,
            self.checksum_start,
            self.checksum_offset,
        ] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes
    }
}

/// One interface of one machine.
pub struct Port {
    plain: Socket,
    with_header: Socket,
    heard: Socket,
}

impl Port {
    pub fn open(namespace: &Namespace, interface: &str) -> Self {
        let socket = || packet_socket(namespace, interface, 0).expect("open a packet socket");
        let with_header = socket();
        let yes: libc::c_int = 1;
        // SAFETY: the descriptor is open, and the option's value is an int that outlives the call.
        let done = unsafe {
            libc::setsockopt(
                with_header.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_VNET_HDR,
                (&raw const yes).cast(),
                size_of_val(&yes) as libc::socklen_t,
            )
        };
        assert_eq!(done, 0, "send with a virtio header");
        Self {
            plain: socket(),
            with_header,
            heard: listener(namespace, interface),
        }
    }

    /// Sends one frame as it is.
    pub fn send(&self, frame: &[u8], offload: Option<Offload>) -> std::io::Result<()> {
        match offload {
            None => self.plain.send(frame),
            Some(offload) => self.with_header.send(&[&offload.bytes(), frame].concat()),
        }
        .map(drop)
    }

    /// The next frame that came in, if there is one.
    pub fn hear(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![MaybeUninit::<u8>::uninit(); 65536];
        match self.heard.recv(&mut buffer) {
            // SAFETY: recv has written `count` bytes.
            Ok(count) => Some(
                buffer[..count]
                    .iter()
                    .map(|byte| unsafe { byte.assume_init() })
                    .collect(),
            ),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("read a packet socket: {error}"),
        }
    }
}

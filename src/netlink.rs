//! Questions and orders to the kernel by rtnetlink (RFC 3549), and how to read what it answers.
//!
//! Requests are built by `netlink-packet-route`. Answers are read by hand, attribute by attribute:
//! whatever else an object has to tell, in whatever form, cannot keep us from reading what is needed.

use std::io;

use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NlaBuffer, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// The kernel fills at most 32 KiB of a dump into one datagram (`netlink_dump` in af_netlink.c).
pub(crate) const RECEIVE_BYTES: usize = 65_536;
/// How often a dump is begun anew when the tables change while it is being read.
const DUMP_ATTEMPTS: usize = 8;

/// A question to the kernel that failed.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {source}")]
pub struct NetlinkError {
    /// What was asked, for people.
    action: String,
    source: io::Error,
}

impl NetlinkError {
    pub(crate) fn new(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            action: action.into(),
            source: source.into(),
        }
    }

    pub(crate) fn decode(action: impl Into<String>, error: &DecodeError) -> Self {
        Self::new(
            action,
            io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
        )
    }

    /// The kernel's error number, where it gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

/// Takes one message of an answer: its type and its payload.
type Reader<'a> = dyn FnMut(u16, &[u8]) -> Result<(), DecodeError> + 'a;

/// A socket to ask the kernel with. Blocking; the kernel answers at once.
pub struct Netlink {
    socket: Socket,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Netlink {
    /// Opens one, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel gives no such socket.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            // Without it the kernel ignores what it does not know in a request, and would answer a
            // question about another namespace with our own.
            socket.set_netlink_get_strict_chk(true)?;
            Ok(socket)
        };
        Ok(Self {
            socket: open().map_err(|error: io::Error| {
                NetlinkError::new("cannot open a netlink socket", error)
            })?,
            buffer: Vec::with_capacity(RECEIVE_BYTES),
            sequence: 0,
        })
    }

    /// Asks for one object, and gives its message's payload to `read`.
    pub(crate) fn ask<T>(
        &mut self,
        action: &str,
        question: &RouteNetlinkMessage,
        mut read: impl FnMut(u16, &[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, NetlinkError> {
        let mut answer = None;
        self.exchange(action, question, NLM_F_ACK, &mut |kind, payload| {
            answer = Some(read(kind, payload)?);
            Ok(())
        })?;
        answer.ok_or_else(|| {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "no answer");
            NetlinkError::new(action, source)
        })
    }

    /// Has the kernel change something.
    pub(crate) fn change(
        &mut self,
        action: &str,
        order: &RouteNetlinkMessage,
    ) -> Result<(), NetlinkError> {
        self.exchange(action, order, NLM_F_ACK, &mut |_, _| Ok(()))?;
        Ok(())
    }

    /// Asks for a whole table, and gives each message's payload to `read`; what that leaves out
    /// (`None`) is not collected.
    pub(crate) fn dump<T>(
        &mut self,
        action: &str,
        question: &RouteNetlinkMessage,
        mut read: impl FnMut(u16, &[u8]) -> Result<Option<T>, DecodeError>,
    ) -> Result<Vec<T>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut all = Vec::new();
            let whole = self.exchange(action, question, NLM_F_DUMP, &mut |kind, payload| {
                all.extend(read(kind, payload)?);
                Ok(())
            })?;
            if whole {
                return Ok(all);
            }
        }
        let source = io::Error::new(io::ErrorKind::Interrupted, "the table keeps changing");
        Err(NetlinkError::new(action, source))
    }

    /// Sends a question and reads until its end. `false`: the table changed meanwhile.
    fn exchange(
        &mut self,
        action: &str,
        question: &RouteNetlinkMessage,
        flags: u16,
        read: &mut Reader<'_>,
    ) -> Result<bool, NetlinkError> {
        let failed = |error: io::Error| NetlinkError::new(action, error);
        let undecodable = |error: DecodeError| NetlinkError::decode(action, &error);
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message =
            NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question.clone()));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(failed)?;

        let mut whole = true;
        let mut first_error = None;
        loop {
            let datagram = receive(&self.socket, &mut self.buffer).map_err(failed)?;
            for message in Messages(datagram) {
                let message = message.map_err(undecodable)?;
                if message.sequence_number() != self.sequence {
                    continue; // the rest of an exchange that ended with an error
                }
                whole &= message.flags() & NLM_F_DUMP_INTR == 0;
                match message.message_type() {
                    NLMSG_ERROR | NLMSG_DONE => {
                        let code = message
                            .payload()
                            .first_chunk()
                            .map(|c| i32::from_ne_bytes(*c));
                        if let Some(code @ ..0) = code {
                            return Err(failed(io::Error::from_raw_os_error(-code)));
                        }
                        return match first_error {
                            Some(error) => Err(undecodable(error)),
                            None => Ok(whole),
                        };
                    }
                    kind => {
                        if let Err(error) = read(kind, message.payload()) {
                            first_error.get_or_insert(error);
                        }
                    }
                }
            }
        }
    }
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Reads one datagram from the kernel; others' are left out.
fn receive<'b>(socket: &Socket, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    loop {
        buffer.clear();
        // MSG_TRUNC: tells the whole length even where it does not fit.
        let (length, sender) = socket.recv_from(buffer, nix::libc::MSG_TRUNC)?;
        if sender.port_number() != 0 {
            continue;
        }
        if length > buffer.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("an answer of {length} bytes is longer than any should be"),
            ));
        }
        return Ok(buffer);
    }
}

/// The messages in one datagram.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<NetlinkBuffer<&'a [u8]>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let message = NetlinkBuffer::new_checked(self.0);
        self.0 = match &message {
            Ok(message) => self
                .0
                .get((message.length() as usize).next_multiple_of(4)..)
                .unwrap_or_default(),
            Err(_) => &[],
        };
        Some(message)
    }
}

/// The attributes that follow a message's own header of `skip` bytes.
pub(crate) fn attributes(
    payload: &[u8],
    skip: usize,
) -> Result<impl Iterator<Item = Result<NlaBuffer<&[u8]>, DecodeError>>, DecodeError> {
    payload
        .get(skip..)
        .map(NlasIterator::new)
        .ok_or_else(|| DecodeError::from(format!("a message of only {} bytes", payload.len())))
}

/// The four bytes at an offset.
pub(crate) fn word(bytes: &[u8], offset: usize) -> Result<[u8; 4], DecodeError> {
    bytes
        .get(offset..)
        .and_then(|bytes| bytes.first_chunk())
        .copied()
        .ok_or_else(|| DecodeError::from(format!("a value of only {} bytes", bytes.len())))
}

pub(crate) fn unsigned(bytes: &[u8], offset: usize) -> Result<u32, DecodeError> {
    word(bytes, offset).map(u32::from_ne_bytes)
}

/// Text up to the NUL byte that ends it.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

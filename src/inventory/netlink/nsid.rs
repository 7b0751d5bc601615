//! The numbers by which the kernel tells us of other network namespaces. They mean something only
//! as seen from our own, and only while the namespace lives.

use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use netlink_packet_core::DecodeError;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use crate::netlink::{Netlink, NetlinkError, attributes, word};

/// `struct rtgenmsg` (rtnetlink.h), padded.
const HEADER_BYTES: usize = 4;
const NETNSA_NSID: u16 = 1; // net_namespace.h

/// A network namespace, as this one knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nsid(pub i32);

impl Nsid {
    /// `None` where the kernel has given no number (yet).
    pub(super) fn parse(value: &[u8]) -> Result<Option<Self>, DecodeError> {
        let number = i32::from_ne_bytes(word(value, 0)?);
        Ok((number >= 0).then_some(Self(number)))
    }
}

impl fmt::Display for Nsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Netlink {
    /// The number of a process's network namespace. `None`: it has none that an interface of ours
    /// leads to, or there is no such process.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn namespace_of_process(&mut self, pid: u32) -> Result<Option<Nsid>, NetlinkError> {
        self.namespace(
            &format!("cannot find the network namespace of process {pid}"),
            NsidAttribute::Pid(pid),
        )
    }

    /// The number of the namespace that a file stands for, such as `/run/docker/netns/...`. `None`:
    /// it has none that an interface of ours leads to, or the file is gone or something else.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn namespace_of_file(&mut self, path: &Path) -> Result<Option<Nsid>, NetlinkError> {
        // Whatever stands at that path: opening it must neither block nor make it our terminal.
        let file = File::options()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
            .open(path);
        let Ok(file) = file else {
            return Ok(None);
        };
        let Ok(descriptor) = u32::try_from(file.as_raw_fd()) else {
            return Ok(None);
        };
        self.namespace(
            &format!("cannot find the network namespace of {}", path.display()),
            NsidAttribute::Fd(descriptor),
        )
    }

    fn namespace(
        &mut self,
        action: &str,
        which: NsidAttribute,
    ) -> Result<Option<Nsid>, NetlinkError> {
        let mut question = NsidMessage::default();
        question.attributes = vec![which];
        let answer = self.ask(
            action,
            &RouteNetlinkMessage::GetNsId(question),
            |_, payload| {
                for attribute in attributes(payload, HEADER_BYTES)? {
                    let attribute = attribute?;
                    if attribute.kind() == NETNSA_NSID {
                        return Nsid::parse(attribute.value());
                    }
                }
                Ok(None)
            },
        );
        match answer {
            // No such process; not a namespace's file.
            Err(error)
                if matches!(
                    error.errno(),
                    Some(nix::libc::ESRCH | nix::libc::EINVAL | nix::libc::ENOENT)
                ) =>
            {
                Ok(None)
            }
            answer => answer,
        }
    }
}

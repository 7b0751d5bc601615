//! Packet filters of the kernel's traffic control: how many an interface has.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcHandle, TcMessage};

use crate::netlink::{Netlink, NetlinkError, unsigned};

/// The discipline that filters hang on, `ingress` or `clsact` (TC_H_CLSACT, pkt_sched.h).
const CLSACT: u16 = 0xffff;
/// TC_H_MIN_INGRESS and TC_H_MIN_EGRESS (pkt_sched.h).
const DIRECTIONS: [u16; 2] = [0xfff2, 0xfff3];
/// `struct tcmsg` (rtnetlink.h).
const HANDLE: usize = 8;

impl Netlink {
    /// How many filters an interface has, in both directions; without those on its queues.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood.
    pub fn filters(&mut self, ifindex: u32) -> Result<usize, NetlinkError> {
        let mut count = 0;
        for direction in DIRECTIONS {
            let mut question = TcMessage::default();
            question.header.index = i32::try_from(ifindex).unwrap_or(i32::MAX);
            question.header.parent = TcHandle {
                major: CLSACT,
                minor: direction,
            };
            let found = self.dump(
                "cannot list an interface's filters",
                &RouteNetlinkMessage::GetTrafficFilter(question),
                // Of each priority there is one without a handle, which is no filter.
                |_, payload| Ok((unsigned(payload, HANDLE)? != 0).then_some(())),
            )?;
            count += found.len();
        }
        Ok(count)
    }
}

//! The clsact queueing discipline that filters need: made where there is none, and removed with the
//! last filter if it was us who made it.

use std::os::fd::AsFd as _;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcHandle, TcMessage};

use super::attach::Interface;
use super::error::{Error, Result};
use super::pins::Pins;
use super::sys::{self, Direction};
use super::template::Template;
use crate::fault;
use crate::netlink::Netlink;

/// Makes sure that an interface has one, and remembers whether it is ours.
pub(super) fn ensure(pins: &Pins, interface: Interface<'_>, template: &Template) -> Result<()> {
    let what = || format!("make a clsact discipline for {interface}");
    // Remembered first: should we die in between, a discipline of somebody else's counts as ours and is
    // removed only when it is empty. The other way round, one of ours would be left for good.
    let known = pins.has_discipline(interface.index);
    if !known {
        pins.put_discipline(interface.index, template.constants.as_fd())?;
    }
    let made = sys::create_clsact(interface.index).map_err(|error| Error::io(what(), &error))?;
    if !made && !known {
        pins.remove_discipline(interface.index)?;
    }
    Ok(())
}

/// Removes it if we made it and nobody has a filter there.
pub(super) fn release(pins: &Pins, interface: Interface<'_>) -> Result<()> {
    if !pins.has_discipline(interface.index) {
        return Ok(());
    }
    if filters(interface)? == 0 {
        sys::destroy_clsact(interface.index).map_err(|error| {
            Error::io(
                format!("remove the clsact discipline of {interface}"),
                &error,
            )
        })?;
    }
    pins.remove_discipline(interface.index)
}

/// How many filters there are, anybody's, in both directions. An interface that is gone has none.
fn filters(interface: Interface<'_>) -> Result<usize> {
    fault::step("list filters")
        .map_err(|error| Error::io(format!("list the filters of {interface}"), &error))?;
    let action = format!("list the filters of {interface}");
    let failed = |error| Error::found(action.clone(), format!("{error}"));
    let index = i32::try_from(interface.index)
        .map_err(|_| Error::found(action.clone(), "no interface has such a number"))?;
    let mut netlink = Netlink::open().map_err(failed)?;
    let mut count = 0;
    for direction in Direction::BOTH {
        let mut question = TcMessage::default();
        question.header.index = index;
        question.header.parent = TcHandle {
            major: u16::MAX,
            minor: match direction {
                Direction::Ingress => TcHandle::MIN_INGRESS,
                Direction::Egress => TcHandle::MIN_EGRESS,
            },
        };
        count += netlink
            .dump(
                &action,
                &RouteNetlinkMessage::GetTrafficFilter(question),
                |_, _| Ok(Some(())),
            )
            .map_err(failed)?
            .len();
    }
    Ok(count)
}

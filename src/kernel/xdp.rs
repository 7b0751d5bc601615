//! Our XDP program on uplinks: one for all of them, by a pinned link each, replaced in place. Somebody
//! else's program is never touched: the kernel refuses a second one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::attach::Interface;
use super::error::{Error, ErrorKind, Result};
use super::maps::{self, Maps};
use super::pins::{HookName, Pins};
use super::sys;
use crate::netlink::Netlink;
use crate::state::actual::ActualXdp;
use crate::state::desired::{XdpAttachment, XdpMode};

/// The program, loaded and verified.
#[derive(Debug)]
pub(super) struct Xdp {
    program: OwnedFd,
    id: u32,
    tag: [u8; 8],
    /// The maps that tell our set from others, and its table of networks from one before it.
    maps: [u32; 2],
}

impl Xdp {
    pub(super) fn new(program: OwnedFd, maps: &Maps) -> Result<Self> {
        let info = sys::program_info(program.as_fd())
            .map_err(|error| Error::io("read about uplink_xdp", &error))?;
        Ok(Self {
            program,
            id: info.id,
            tag: info.tag,
            maps: [maps::id(&maps.active)?, maps::id(&maps.network_nodes)?],
        })
    }

    /// What of ours is on an interface. `None`: nothing is any more, and its pins mean nothing.
    pub(super) fn find(&self, pins: &Pins, ifindex: u32) -> Result<Option<ActualXdp>> {
        let Some((_, running)) = look(pins, ifindex)? else {
            return Ok(None);
        };
        let mut sound = false;
        for program in pins.open_programs(ifindex, HookName::XDP)? {
            let info = sys::program_info(program.as_fd())
                .map_err(|error| Error::io(looking(ifindex), &error))?;
            sound |= info.id == running
                && info.tag == self.tag
                && self.maps.iter().all(|map| info.maps.contains(map));
        }
        Ok(Some(ActualXdp {
            program: running,
            generic: is_generic(ifindex)?,
            sound,
        }))
    }

    /// Makes ours the program of an interface, in place of what we have there. Says also why it does not
    /// run in the driver, if that was tried.
    pub(super) fn attach(
        &self,
        pins: &Pins,
        ifindex: u32,
        wanted: &XdpAttachment,
    ) -> Result<(ActualXdp, Option<String>)> {
        let what = || format!("attach XDP to {} (ifindex {ifindex})", wanted.interface);
        let error = |error| Error::io(what(), &error);
        let found = look(pins, ifindex)?;
        pins.stage_program(ifindex, HookName::XDP, self.program.as_fd())?;
        let mut why = None;
        let generic = match found {
            Some((link, _)) if wanted.mode.allows(is_generic(ifindex)?) => {
                sys::update_link(link.as_fd(), self.program.as_fd()).map_err(error)?;
                is_generic(ifindex)?
            }
            found => {
                if let Some((link, _)) = found {
                    sys::detach_link(link.as_fd()).map_err(error)?;
                }
                let native = match wanted.mode {
                    XdpMode::Generic => None,
                    XdpMode::Any | XdpMode::Native => {
                        match sys::attach_xdp(self.program.as_fd(), ifindex, false) {
                            Ok(link) => Some(link),
                            Err(refusal)
                                if wanted.mode == XdpMode::Any && refuses_all(&refusal) =>
                            {
                                why = Some(format!("the driver takes none: {refusal}"));
                                None
                            }
                            Err(refusal) if refuses_all(&refusal) => {
                                return Err(Error::found(
                                    what(),
                                    format!(
                                        "its driver takes none: {refusal}; with xdp = \"auto\" in \
                                         bridgewall.toml it runs behind the driver"
                                    ),
                                ));
                            }
                            Err(refusal) => return Err(error(refusal)),
                        }
                    }
                };
                let generic = native.is_none();
                let link = match native {
                    Some(link) => link,
                    None => sys::attach_xdp(self.program.as_fd(), ifindex, true).map_err(error)?,
                };
                pins.put_link(ifindex, HookName::XDP, link.as_fd())?;
                generic
            }
        };
        pins.put_program(ifindex, HookName::XDP)?;
        let attached = ActualXdp {
            program: self.id,
            generic,
            sound: true,
        };
        Ok((attached, why))
    }
}

/// Whether the driver itself says no; not where another program is, or the interface is gone.
fn refuses_all(refusal: &io::Error) -> bool {
    !matches!(
        refusal.raw_os_error(),
        Some(nix::libc::EBUSY | nix::libc::EEXIST | nix::libc::ENODEV | nix::libc::EPERM)
    )
}

/// Removes ours from an interface, and its pins. Goes on past errors; an interface that is gone is none.
pub(super) fn detach(pins: &Pins, ifindex: u32) -> Vec<Error> {
    let mut errors = Vec::new();
    match look(pins, ifindex) {
        Ok(Some((link, _))) => {
            let done = sys::detach_link(link.as_fd());
            errors.extend(done.err().map(|error| {
                Error::io(format!("detach XDP from the interface {ifindex}"), &error)
            }));
        }
        Ok(None) => {}
        Err(error) => errors.push(error),
    }
    errors.retain(|error| error.kind() != ErrorKind::InterfaceGone);
    if errors.is_empty() {
        errors.extend(pins.forget_hooks(ifindex, &[HookName::XDP]));
    }
    errors
}

/// Our link on an interface, if it is alive, with the program that it runs.
fn look(pins: &Pins, ifindex: u32) -> Result<Option<(OwnedFd, u32)>> {
    let Some(link) = pins.open_link(ifindex, HookName::XDP)? else {
        return Ok(None);
    };
    // A link whose interface is gone has index 0, and stays so when the number is used again.
    let info =
        sys::xdp_link_info(link.as_fd()).map_err(|error| Error::io(looking(ifindex), &error))?;
    let alive = info.filter(|info| info.ifindex == ifindex);
    Ok(alive.map(|info| (link, info.program)))
}

fn looking(ifindex: u32) -> String {
    let interface = Interface {
        index: ifindex,
        name: "",
    };
    format!("look at the XDP program of {interface}")
}

/// Whether the XDP program of an interface runs behind its driver.
fn is_generic(ifindex: u32) -> Result<bool> {
    let failed = |error| Error::found(looking(ifindex), format!("{error}"));
    let link = Netlink::open()
        .and_then(|mut netlink| netlink.link(ifindex))
        .map_err(failed)?;
    Ok(link
        .and_then(|link| link.xdp)
        .is_some_and(|xdp| xdp.generic))
}

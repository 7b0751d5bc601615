//! ELF templating: one small object for each interface, with its constants in read-only data. The
//! maps are those that are open already; the bodies are not loaded again.

use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libbpf_rs::skel::OpenSkel;
use libbpf_rs::{MapHandle, ProgramMut};

use super::encode;
use super::error::{Error, Result};
use super::loader::open_skeleton;
use super::maps::Maps;
use super::sys::{self, Direction, ProgramInfo};
use crate::fault;
use crate::inventory::model::MacAddress;
use crate::state::desired::{SENDER_ADDRESSES_MAX, Sender, TemplateConstants};
use crate::state::numbers::EndpointNumber;

/// The two programs of one interface, loaded and verified, attached to nothing.
#[derive(Debug)]
pub(super) struct Template {
    from: OwnedFd,
    to: OwnedFd,
    /// What they know, as a map that can be pinned and read back.
    pub(super) constants: MapHandle,
}

/// What tells templates of one build from those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TemplateTags {
    endpoint: [[u8; 8]; 2],
    uplink: [[u8; 8]; 2],
}

impl TemplateTags {
    pub(super) fn new(endpoint: &[ProgramInfo; 2], uplink: &[ProgramInfo; 2]) -> Self {
        let tags = |info: &[ProgramInfo; 2]| info.each_ref().map(|program| program.tag);
        Self {
            endpoint: tags(endpoint),
            uplink: tags(uplink),
        }
    }

    /// Of the program that an interface with these constants has in one direction.
    pub(super) fn of(&self, constants: &TemplateConstants, direction: Direction) -> [u8; 8] {
        let tags = if constants.is_uplink() {
            &self.uplink
        } else {
            &self.endpoint
        };
        tags[direction as usize]
    }
}

impl Template {
    /// Builds the programs of one interface.
    pub(super) fn load(
        maps: &Maps,
        settings: &MapHandle,
        constants: &TemplateConstants,
    ) -> Result<Self> {
        let mut storage = MaybeUninit::uninit();
        let mut skeleton = open_skeleton(&mut storage)?;
        let uplink = constants.is_uplink();
        let wanted = if uplink { UPLINK } else { ENDPOINT };
        for mut program in skeleton.open_object_mut().progs_mut() {
            let is_wanted = wanted.iter().any(|name| program.name() == *name);
            program.set_autoload(is_wanted);
        }
        skeleton
            .maps
            .rodata
            .reuse_fd(settings.as_fd())
            .map_err(|error| Error::bpf("use the settings in a template", &error))?;
        for mut map in skeleton.open_object_mut().maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            if let Some((_, open)) = maps.all().find(|(known, _)| *known == name) {
                map.reuse_fd(open.as_fd())
                    .map_err(|error| Error::bpf(format!("use map {name} in a template"), &error))?;
            }
        }
        let data = skeleton
            .maps
            .rodata_endpoint_data
            .as_deref_mut()
            .ok_or_else(|| Error::found("write a template's constants", "they are not mapped"))?;
        data.endpoint_constants = encode::constants(constants);

        fault::step("load a template").map_err(|error| Error::io("load a template", &error))?;
        let skeleton = skeleton.load().map_err(|error| {
            Error::bpf("load a template (see the log for the verifier's)", &error)
        })?;
        let programs = &skeleton.progs;
        let (from, to) = if uplink {
            (&programs.from_uplink, &programs.to_uplink)
        } else {
            (&programs.from_endpoint, &programs.to_endpoint)
        };
        Ok(Self {
            from: own(from)?,
            to: own(to)?,
            constants: MapHandle::try_from(&*skeleton.maps.rodata_endpoint)
                .map_err(|error| Error::bpf("keep a template's constants", &error))?,
        })
    }

    /// The program for one direction.
    pub(super) fn program(&self, direction: Direction) -> BorrowedFd<'_> {
        match direction {
            Direction::Ingress => self.from.as_fd(),
            Direction::Egress => self.to.as_fd(),
        }
    }

    /// What the kernel says of both programs.
    pub(super) fn info(&self) -> Result<[ProgramInfo; 2]> {
        let info = |direction| {
            sys::program_info(self.program(direction))
                .map_err(|error| Error::io("read about a template", &error))
        };
        Ok([info(Direction::Ingress)?, info(Direction::Egress)?])
    }
}

/// What is attached to endpoints' interfaces, and what to uplinks.
pub(super) const ENDPOINT: [&str; 2] = ["from_endpoint", "to_endpoint"];
pub(super) const UPLINK: [&str; 2] = ["from_uplink", "to_uplink"];

/// Constants that leave nothing out: what a kernel accepts for them, it accepts for any interface.
pub(super) fn fullest_constants() -> TemplateConstants {
    let last = SENDER_ADDRESSES_MAX as u8;
    TemplateConstants {
        number: EndpointNumber::FIRST,
        sender: Some(Sender {
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            ipv4: (1..=last).map(|n| Ipv4Addr::new(192, 0, 2, n)).collect(),
            ipv6: (1..=last)
                .map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()))
                .collect(),
        }),
    }
}

fn own(program: &ProgramMut<'_>) -> Result<OwnedFd> {
    program
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Error::io("keep a template's program", &error))
}

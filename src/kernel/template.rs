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
    from_endpoint: OwnedFd,
    to_endpoint: OwnedFd,
    /// What they know, as a map that can be pinned and read back.
    pub(super) constants: MapHandle,
}

/// What tells templates of one build from those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TemplateTags([[u8; 8]; 2]);

impl TemplateTags {
    pub(super) fn new(info: &[ProgramInfo; 2]) -> Self {
        Self(info.each_ref().map(|program| program.tag))
    }

    pub(super) fn of(&self, direction: Direction) -> [u8; 8] {
        self.0[direction as usize]
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
        skeleton.progs.from_endpoint_body.set_autoload(false);
        skeleton.progs.to_endpoint_body.set_autoload(false);
        skeleton.progs.drop_body.set_autoload(false);
        skeleton.progs.sweep_body.set_autoload(false);
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
        Ok(Self {
            from_endpoint: own(&skeleton.progs.from_endpoint)?,
            to_endpoint: own(&skeleton.progs.to_endpoint)?,
            constants: MapHandle::try_from(&*skeleton.maps.rodata_endpoint)
                .map_err(|error| Error::bpf("keep a template's constants", &error))?,
        })
    }

    /// The program for one direction.
    pub(super) fn program(&self, direction: Direction) -> BorrowedFd<'_> {
        match direction {
            Direction::Ingress => self.from_endpoint.as_fd(),
            Direction::Egress => self.to_endpoint.as_fd(),
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

//! ELF templating: two small programs for each interface, with its constants in read-only data. The
//! maps are those that are open already; the bodies are not loaded again.
//!
//! The object is opened and relocated once ([`Mould`]); what is done for each interface is to write its
//! constants and to have the kernel verify the same instructions with them.

use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use libbpf_rs::skel::{OpenSkel, Skel as _};
use libbpf_rs::{MapCore as _, MapHandle, MapMut, MapType, ProgramMut, libbpf_sys};

use super::encode;
use super::error::{Error, Result};
use super::instructions::{Instructions, types_of};
use super::loader::open_skeleton;
use super::maps::{self, Maps};
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

/// What templates are cast from: made once, for what is the same in all of them costs most.
#[derive(Debug)]
pub(super) struct Mould {
    endpoint: [Instructions; 2],
    uplink: [Instructions; 2],
    /// The object's types, and which of them is that of the constants.
    types: OwnedFd,
    constants_type: u32,
    constants_name: String,
    settings_name: String,
}

impl Mould {
    /// Has libbpf load one template of each kind, with constants that leave nothing out, and keeps what it made.
    pub(super) fn make(maps: &Maps, settings: &MapHandle) -> Result<Self> {
        let mut storage = MaybeUninit::uninit();
        let mut skeleton = open_skeleton(&mut storage)?;
        for mut program in skeleton.open_object_mut().progs_mut() {
            let mut templates = ENDPOINT.iter().chain(&UPLINK);
            let is_template = templates.any(|name| program.name() == *name);
            program.set_autoload(is_template);
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
        data.endpoint_constants = encode::constants(&fullest_constants());
        fault::step("load a template").map_err(|error| Error::io("load a template", &error))?;
        let skeleton = skeleton.load().map_err(|error| {
            Error::bpf("load a template (see the log for the verifier's)", &error)
        })?;

        let object = skeleton.object();
        let keep = |error| Error::io("keep what a template is made of", &error);
        let pair = |[from, to]: [&ProgramMut<'_>; 2]| -> Result<[Instructions; 2]> {
            let take = |program| Instructions::of(program, object).map_err(keep);
            Ok([take(from)?, take(to)?])
        };
        let constants = skeleton.maps.rodata_endpoint.info();
        let constants = constants
            .map_err(|error| Error::bpf("read about a template's constants", &error))?
            .info;
        let name = |map: &MapMut<'_>| map.name().to_string_lossy().into_owned();
        let programs = &skeleton.progs;
        Ok(Self {
            endpoint: pair([&programs.from_endpoint, &programs.to_endpoint])?,
            uplink: pair([&programs.from_uplink, &programs.to_uplink])?,
            types: types_of(object).map_err(keep)?,
            constants_type: constants.btf_value_type_id,
            constants_name: name(&skeleton.maps.rodata_endpoint),
            settings_name: name(&skeleton.maps.rodata),
        })
    }

    /// Builds the programs of one interface.
    pub(super) fn cast(
        &self,
        maps: &Maps,
        settings: &MapHandle,
        constants: &TemplateConstants,
    ) -> Result<Template> {
        fault::step("load a template").map_err(|error| Error::io("load a template", &error))?;
        let [from, to] = if constants.is_uplink() {
            &self.uplink
        } else {
            &self.endpoint
        };
        let constants = self.constants(constants)?;
        let find = |name: &str| {
            if name == self.constants_name {
                Some(constants.as_fd())
            } else if name == self.settings_name {
                Some(settings.as_fd())
            } else {
                let map = maps.all().find(|(known, _)| *known == name);
                map.map(|(_, map)| map.as_fd())
            }
        };
        let load = |instructions: &Instructions| {
            instructions
                .load(self.types.as_fd(), find)
                .map_err(|error| {
                    Error::io("load a template (see the log for the verifier's)", &error)
                })
        };
        Ok(Template {
            from: load(from)?,
            to: load(to)?,
            constants,
        })
    }

    /// Read-only data that nobody can change any more: the verifier prunes by what it says.
    fn constants(&self, constants: &TemplateConstants) -> Result<MapHandle> {
        let raw = encode::constants(constants);
        let error = |error| Error::bpf("write a template's constants", &error);
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            btf_fd: self.types.as_raw_fd() as u32,
            btf_value_type_id: self.constants_type,
            map_flags: libbpf_sys::BPF_F_RDONLY_PROG,
            ..Default::default()
        };
        let size = size_of_val(&raw) as u32;
        let map = MapHandle::create(MapType::Array, Some("bw_constants"), 4, size, 1, &options)
            .map_err(error)?;
        maps::set(&map, &[(0_u32, raw)])?;
        map.freeze().map_err(error)?;
        Ok(map)
    }
}

impl Template {
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

//! Programs on interfaces: by tcx link or by clsact filter, always replaced in place, and told from
//! other people's by what is pinned.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::MapHandle;

use super::abi;
use super::discipline;
use super::encode;
use super::error::{Error, ErrorKind, Result};
use super::maps;
use super::pins::Pins;
use super::sys::{self, Direction, ProgramInfo};
use super::template::{Template, TemplateTags};
use crate::config::Attach;
use crate::state::actual::Mechanism;
use crate::state::desired::TemplateConstants;

/// An interface, as messages name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interface<'a> {
    pub(super) index: u32,
    pub(super) name: &'a str,
}

impl Interface<'_> {
    fn looking(&self, direction: Direction) -> String {
        format!("look at the {} programs of {self}", direction.name())
    }

    fn attaching(&self, mechanism: Mechanism, direction: Direction) -> String {
        format!("attach {mechanism} {} to {self}", direction.name())
    }

    fn detaching(&self, mechanism: Mechanism, direction: Direction) -> String {
        format!("detach {mechanism} {} from {self}", direction.name())
    }
}

impl fmt::Display for Interface<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            "an interface"
        } else {
            self.name
        };
        write!(f, "{name} (ifindex {})", self.index)
    }
}

/// What of ours one direction of an interface has.
#[derive(Debug, Default)]
struct Hook {
    /// A link that is alive, with the program that it runs.
    link: Option<(OwnedFd, u32)>,
    /// Whether no tcx program of somebody else runs before ours.
    is_first: bool,
    /// The program of a filter of ours.
    filter: Option<u32>,
    /// The programs that are pinned for this direction.
    pinned: Vec<ProgramInfo>,
}

impl Hook {
    /// The pinned programs that do run.
    fn running(&self) -> impl Iterator<Item = &ProgramInfo> {
        let link = self.link.as_ref().map(|(_, program)| *program);
        self.pinned
            .iter()
            .filter(move |program| [link, self.filter].contains(&Some(program.id)))
    }

    fn is_empty(&self) -> bool {
        self.link.is_none() && self.filter.is_none()
    }
}

/// Looks at one direction of an interface.
fn look(pins: &Pins, index: u32, direction: Direction) -> Result<Hook> {
    let interface = Interface { index, name: "" };
    let error = |error| Error::io(interface.looking(direction), &error);
    let mut hook = Hook::default();
    for program in pins.open_programs(index, direction)? {
        hook.pinned
            .push(sys::program_info(program.as_fd()).map_err(error)?);
    }
    if let Some(link) = pins.open_link(index, direction)? {
        // A link whose interface is gone has index 0, and stays so when the number is used again.
        let info = sys::tcx_link_info(link.as_fd()).map_err(error)?;
        if let Some(info) = info.filter(|info| info.ifindex == index) {
            hook.link = Some((link, info.program));
        }
    }
    if !hook.pinned.is_empty() {
        let filter = match sys::query_clsact(index, direction) {
            Err(cause) if error_kind(&cause) == ErrorKind::InterfaceGone => None,
            other => other.map_err(error)?,
        };
        hook.filter = filter.filter(|id| hook.pinned.iter().any(|program| program.id == *id));
    }
    if !hook.is_empty() {
        let order = tcx_programs(interface, direction)?;
        let ours = hook.link.as_ref().map(|(_, program)| program);
        hook.is_first = order.first() == ours;
    }
    Ok(hook)
}

/// How many programs are on an interface's tcx hooks.
pub(super) fn count_tcx(index: u32) -> Result<usize> {
    let interface = Interface { index, name: "" };
    let mut count = 0;
    for direction in Direction::BOTH {
        count += tcx_programs(interface, direction)?.len();
    }
    Ok(count)
}

/// The tcx programs of one direction, anybody's, in the order in which they run. An interface that is
/// gone has none, and neither has one of a kernel without tcx.
pub(super) fn tcx_programs(interface: Interface<'_>, direction: Direction) -> Result<Vec<u32>> {
    match sys::query_tcx(interface.index, direction) {
        Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => Ok(Vec::new()),
        Err(error) if error_kind(&error) == ErrorKind::InterfaceGone => Ok(Vec::new()),
        other => other.map_err(|error| Error::io(interface.looking(direction), &error)),
    }
}

/// How programs are to be attached to an interface.
///
/// A filter is there at once; a link waits for a grace period of RCU, with all changes of interfaces
/// behind it. But a tcx program that lets a packet pass ends the chain before any filter is asked: where
/// somebody has one, only a link before it will do. Links that are there stay links.
pub(super) fn choose(pins: &Pins, mode: Attach, interface: Interface<'_>) -> Result<Mechanism> {
    if mode == Attach::Tcx {
        return Ok(Mechanism::Tcx);
    }
    for direction in Direction::BOTH {
        let order = tcx_programs(interface, direction)?;
        if order.is_empty() {
            continue;
        }
        let ours = look(pins, interface.index, direction)?.link;
        if mode == Attach::Auto {
            return Ok(Mechanism::Tcx);
        }
        if order
            .iter()
            .any(|id| ours.as_ref().map(|(_, ours)| ours) != Some(id))
        {
            return Err(Error::found(
                interface.attaching(Mechanism::Clsact, direction),
                "somebody else's tcx program is there, and may let packets pass before a filter sees \
                 them: remove it, or write attach = \"auto\" in bridgewall.toml",
            ));
        }
    }
    Ok(Mechanism::Clsact)
}

fn error_kind(error: &std::io::Error) -> ErrorKind {
    Error::io("", error).kind()
}

/// What was found on one interface.
#[derive(Debug)]
pub(super) struct Found {
    /// What its templates know, if that can be told for sure.
    pub(super) constants: Option<TemplateConstants>,
    pub(super) mechanism: Mechanism,
    /// Both directions run our present templates with the present maps, by one mechanism, first.
    pub(super) sound: bool,
}

/// What of ours is on an interface. `None`: nothing is any more, and its pins mean nothing.
pub(super) fn find(
    pins: &Pins,
    ifindex: u32,
    tags: &TemplateTags,
    bodies: &MapHandle,
) -> Result<Option<Found>> {
    let hooks = [
        look(pins, ifindex, Direction::Ingress)?,
        look(pins, ifindex, Direction::Egress)?,
    ];
    if hooks.iter().all(Hook::is_empty) {
        return Ok(None);
    }
    let pinned = pinned_constants(pins, ifindex)?;
    let bodies = maps::id(bodies)?;
    let runs = |hook: &Hook, fits: &dyn Fn(&ProgramInfo) -> bool| hook.running().any(fits);
    // The constants are those of a direction if its program reads them from that very map.
    let constants = pinned.filter(|(id, _)| {
        hooks
            .iter()
            .all(|hook| hook.is_empty() || runs(hook, &|program| program.maps.contains(id)))
    });
    let by_tcx = hooks.iter().filter(|hook| hook.link.is_some()).count();
    let by_clsact = hooks.iter().filter(|hook| hook.filter.is_some()).count();
    let mechanism = if by_tcx > 0 {
        Mechanism::Tcx
    } else {
        Mechanism::Clsact
    };
    let one_mechanism = matches!((by_tcx, by_clsact), (2, 0) | (0, 2));
    let in_order = hooks.iter().all(|hook| hook.is_empty() || hook.is_first);
    let current = Direction::BOTH
        .into_iter()
        .zip(&hooks)
        .all(|(direction, hook)| {
            constants.as_ref().is_some_and(|(_, constants)| {
                runs(hook, &|program| {
                    program.tag == tags.of(constants, direction) && program.maps.contains(&bodies)
                })
            })
        });
    Ok(Some(Found {
        sound: constants.is_some() && one_mechanism && in_order && current,
        constants: constants.map(|(_, constants)| constants),
        mechanism,
    }))
}

/// The pinned constants of an interface, with their map's number.
fn pinned_constants(pins: &Pins, ifindex: u32) -> Result<Option<(u32, TemplateConstants)>> {
    let Some(path) = pins.constants_path(ifindex) else {
        return Ok(None);
    };
    let map = MapHandle::from_pinned_path(&path)
        .map_err(|error| Error::bpf(format!("open pin {}", path.display()), &error))?;
    let Some(raw) = maps::get::<_, abi::endpoint_constants>(&map, &0_u32)? else {
        return Ok(None);
    };
    Ok(Some((maps::id(&map)?, encode::constants_back(&raw))))
}

/// Makes these the programs of an interface, in place of those that are there. What another mechanism
/// of ours has there goes afterwards.
pub(super) fn attach(
    pins: &Pins,
    mechanism: Mechanism,
    interface: Interface<'_>,
    template: &Template,
) -> Result<()> {
    if mechanism == Mechanism::Clsact {
        discipline::ensure(pins, interface, template)?;
    }
    for direction in Direction::BOTH {
        let program = template.program(direction);
        let hook = look(pins, interface.index, direction)?;
        pins.stage_program(interface.index, direction, program)?;
        match mechanism {
            Mechanism::Tcx => attach_tcx(pins, interface, direction, template, &hook)?,
            Mechanism::Clsact => attach_clsact(pins, interface, direction, template, &hook)?,
        }
        pins.put_program(interface.index, direction)?;
    }
    if mechanism == Mechanism::Tcx {
        discipline::release(pins, interface)?;
    }
    pins.put_constants(interface.index, template.constants.as_fd())
}

fn attach_tcx(
    pins: &Pins,
    interface: Interface<'_>,
    direction: Direction,
    template: &Template,
    hook: &Hook,
) -> Result<()> {
    let error = |error| Error::io(interface.attaching(Mechanism::Tcx, direction), &error);
    let program = template.program(direction);
    match &hook.link {
        Some((link, _)) if hook.is_first => {
            sys::update_link(link.as_fd(), program).map_err(error)?;
        }
        before => {
            // Somebody else's program may have come before ours: only a new link gets to the front.
            let link = sys::attach_tcx(program, interface.index, direction).map_err(error)?;
            pins.put_link(interface.index, direction, link.as_fd())?;
            if let Some((before, _)) = before {
                sys::detach_link(before.as_fd()).map_err(error)?;
            }
        }
    }
    if hook.filter.is_some() {
        sys::detach_clsact(interface.index, direction).map_err(|error| {
            Error::io(interface.detaching(Mechanism::Clsact, direction), &error)
        })?;
    }
    Ok(())
}

fn attach_clsact(
    pins: &Pins,
    interface: Interface<'_>,
    direction: Direction,
    template: &Template,
    hook: &Hook,
) -> Result<()> {
    let what = || interface.attaching(Mechanism::Clsact, direction);
    let error = |error| Error::io(what(), &error);
    let there = sys::query_clsact(interface.index, direction).map_err(error)?;
    if there.is_some() && hook.filter.is_none() {
        return Err(Error::found(
            what(),
            "somebody else's filter is at our place, preference 1 handle 0xb41d: remove it first",
        ));
    }
    let program = template.program(direction);
    sys::attach_clsact(program, interface.index, direction, there.is_some()).map_err(error)?;
    if let Some((link, _)) = &hook.link {
        sys::detach_link(link.as_fd())
            .map_err(|error| Error::io(interface.detaching(Mechanism::Tcx, direction), &error))?;
        pins.remove_link(interface.index, direction)?;
    }
    Ok(())
}

/// Removes what is ours from an interface, and its pins. Goes on past errors; an interface that is
/// gone is none.
pub(super) fn detach(pins: &Pins, ifindex: u32) -> Vec<Error> {
    let interface = Interface {
        index: ifindex,
        name: "",
    };
    let mut errors = Vec::new();
    for direction in Direction::BOTH {
        match look(pins, ifindex, direction) {
            Ok(hook) => {
                if let Some((link, _)) = &hook.link {
                    let done = sys::detach_link(link.as_fd());
                    errors.extend(done.err().map(|error| {
                        Error::io(interface.detaching(Mechanism::Tcx, direction), &error)
                    }));
                }
                if hook.filter.is_some() {
                    let done = sys::detach_clsact(ifindex, direction);
                    errors.extend(done.err().map(|error| {
                        Error::io(interface.detaching(Mechanism::Clsact, direction), &error)
                    }));
                }
            }
            Err(error) => errors.push(error),
        }
    }
    errors.extend(discipline::release(pins, interface).err());
    errors.retain(|error| error.kind() != ErrorKind::InterfaceGone);
    // While something could not be detached, its pin is the only way to find it again.
    if errors.is_empty() {
        errors.extend(pins.forget(ifindex));
    }
    errors
}

//! What is attached to interfaces: made, found, and found again after somebody else was there.

use super::attach::{self, Interface};
use super::error::{ErrorKind, Result};
use super::sys::Direction;
use super::{Kernel, probe};
use crate::config::Attach;
use crate::state::actual::{Actual, ActualAttachment, Mechanism};
use crate::state::desired::Attachment;

impl Kernel {
    /// What is attached to one interface. If nothing is, its pins mean nothing, and go.
    pub(super) fn find(&self, ifindex: u32) -> Result<Option<ActualAttachment>> {
        let Some(found) = attach::find(&self.pins, ifindex, &self.tags, &self.maps.bodies)? else {
            // A clsact discipline that we made may be left of a detachment that was cut short.
            for error in attach::detach(&self.pins, ifindex) {
                log::warn!("{error}");
            }
            return Ok(None);
        };
        Ok(Some(ActualAttachment {
            constants: found.constants,
            mechanism: found.mechanism,
            sound: found.sound && probe::allows(self.settings.attach, found.mechanism),
        }))
    }

    pub(super) fn attach(&self, ifindex: u32, attachment: &Attachment) -> Result<Mechanism> {
        let template = self
            .mould
            .cast(&self.maps, &self.body_settings, &attachment.constants)?;
        let interface = Interface {
            index: ifindex,
            name: &attachment.interface,
        };
        // Where filters' discipline is made or removed, the kernel stops the interface for a moment, and
        // what was to be sent is dropped (qdisc_graft in net/sched/sch_api.c). An uplink is in use.
        let mode = match self.settings.attach {
            Attach::Auto if attachment.constants.is_uplink() && self.features.tcx => Attach::Tcx,
            mode => mode,
        };
        let mechanism = attach::choose(&self.pins, mode, interface)?;
        let done = attach::attach(&self.pins, mechanism, interface, &template);
        let replaceable = self.settings.attach == Attach::Auto
            && mechanism == Mechanism::Clsact
            && self.features.tcx;
        match done {
            Err(error) if replaceable && error.kind() == ErrorKind::Other => {
                log::warn!("{error}; tcx links serve");
                attach::attach(&self.pins, Mechanism::Tcx, interface, &template)?;
                Ok(Mechanism::Tcx)
            }
            done => done.map(|()| mechanism),
        }
    }

    /// Looks at one interface again: somebody may have removed what we attached there.
    pub fn look_again(&mut self, ifindex: u32) {
        let is_known = |actual: &Actual| actual.attachments.contains_key(&ifindex);
        if !self.actual.as_ref().is_some_and(is_known) {
            return;
        }
        let found = self.find(ifindex);
        match (&mut self.actual, found) {
            (Some(actual), Ok(Some(found))) => drop(actual.attachments.insert(ifindex, found)),
            (Some(actual), Ok(None)) => drop(actual.attachments.remove(&ifindex)),
            _ => self.doubt(),
        }
    }

    /// The interfaces on which somebody else's programs have come before ours, or ours are gone: the
    /// next plan attaches ours again. Nobody tells of either, so it has to be asked now and then.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn find_overtaken(&mut self) -> Result<Vec<u32>> {
        let Some(actual) = self.actual.as_ref().filter(|_| self.features.tcx) else {
            return Ok(Vec::new());
        };
        let mut suspects = Vec::new();
        for (&index, attachment) in actual.attachments.iter().filter(|(_, at)| at.sound) {
            let ours = usize::from(attachment.mechanism == Mechanism::Tcx);
            let interface = Interface { index, name: "" };
            for direction in Direction::BOTH {
                if attach::tcx_programs(interface, direction)?.len() != ours {
                    suspects.push(index);
                    break;
                }
            }
        }
        suspects.iter().for_each(|index| self.look_again(*index));
        let is_sound = |index: &u32| {
            let actual = self.actual.as_ref();
            let attachment = actual.and_then(|actual| actual.attachments.get(index));
            attachment.is_some_and(|attachment| attachment.sound)
        };
        suspects.retain(|index| !is_sound(index));
        Ok(suspects)
    }

    /// How many programs are on an interface's tcx hooks, ours included.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn tcx_programs(&self, ifindex: u32) -> Result<usize> {
        if !self.features.tcx {
            return Ok(0);
        }
        attach::count_tcx(ifindex)
    }
}

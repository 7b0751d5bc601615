//! The guard in the hand of the one writer: the mark is taken away before programs go, and given when
//! they are there.

use std::collections::BTreeSet;

use anyhow::Result;

use super::daemon::Daemon;
use crate::guard::GuardError;
use crate::inventory::model::Inventory;
use crate::state::actual::ActualAttachment;
use crate::state::desired::TemplateConstants;

fn texts(errors: &[GuardError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn interfaces(inventory: &Inventory) -> BTreeSet<u32> {
    let endpoints = inventory.endpoints.values();
    endpoints.map(|endpoint| endpoint.ifindex).collect()
}

impl Daemon {
    /// An interface that is thought to be armed, but does not say so itself, may be another one, which
    /// was made under the index of one that is gone. Then what the kernel holds is read again.
    pub(super) fn doubt_what_is_unmarked(&mut self) {
        let unmarked = self.guard.unmarked(self.host.links());
        let attached = self.kernel.observe().map(|actual| &actual.attachments);
        // Uplinks are not armed, and bear no mark.
        let is_endpoint = |attachment: &ActualAttachment| {
            let constants = attachment.constants.as_ref();
            !constants.is_some_and(TemplateConstants::is_uplink)
        };
        let is_doubtful = attached.is_ok_and(|attached| {
            attached
                .iter()
                .any(|(known, attachment)| unmarked.contains(known) && is_endpoint(attachment))
        });
        if is_doubtful {
            self.kernel.doubt();
        }
    }

    /// Before anything is detached.
    pub(super) fn disarm(&mut self, inventory: &Inventory) -> Vec<String> {
        let wanted = interfaces(inventory);
        texts(&self.guard.disarm_all_but(&wanted, self.host.links()))
    }

    /// After everything is attached. The table comes last: so that, where there is none yet, nothing
    /// that passed until now is cut before it is armed.
    pub(super) fn arm(&mut self, inventory: &Inventory) -> Result<Vec<String>> {
        let wanted = interfaces(inventory);
        let attached = self.kernel.observe()?.attachments.iter();
        let armed = attached
            .filter(|(ifindex, attachment)| attachment.sound && wanted.contains(ifindex))
            .map(|(&ifindex, _)| ifindex)
            .collect();
        let mut problems = self.guard.arm(&armed, self.host.links());
        problems.extend(self.guard.close(self.host.links()).err());
        Ok(texts(&problems))
    }

    /// The guard's table may have changed: it is looked at, and put back if it has.
    pub(super) fn keep_guard(&mut self) {
        self.guard.doubt();
        if let Err(error) = self.guard.close(self.host.links()) {
            self.failed(vec![error.to_string()]);
        }
    }
}

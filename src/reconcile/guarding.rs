//! The guard in the hand of the one writer: the mark is taken away before programs go, and given when
//! they are there.

use std::collections::BTreeSet;

use anyhow::Result;

use super::daemon::Daemon;
use crate::guard::GuardError;
use crate::inventory::model::Inventory;

fn texts(errors: &[GuardError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn interfaces(inventory: &Inventory) -> BTreeSet<u32> {
    let endpoints = inventory.endpoints.values();
    endpoints.map(|endpoint| endpoint.ifindex).collect()
}

impl Daemon {
    /// Before anything is detached.
    pub(super) fn disarm(&mut self, inventory: &Inventory) -> Vec<String> {
        let wanted = interfaces(inventory);
        texts(&self.guard.disarm_all_but(&wanted, self.host.links_mut()))
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
        let mut problems = self.guard.arm(&armed, self.host.links_mut());
        problems.extend(self.guard.close(self.host.links()).err());
        Ok(texts(&problems))
    }

    /// Somebody else's programs may have come before ours or in their place, or have gone, and nobody
    /// tells of that: ours are put first again, and where they belong.
    pub(super) fn keep_order(&mut self) {
        let overtaken = self.kernel.find_overtaken().unwrap_or_else(|error| {
            log::warn!("{error}");
            Vec::new()
        });
        let replaced = self.find_other_programs().unwrap_or_else(|error| {
            log::warn!("{error}");
            Vec::new()
        });
        for ifindex in &overtaken {
            let name = self.host.link_name(*ifindex).unwrap_or("an interface");
            log::warn!(
                "somebody else's tcx program came before ours on {name} (ifindex {ifindex}), or has \
                 replaced it: ours is put first again"
            );
        }
        for name in &replaced {
            log::info!(
                "the XDP program of {name} is another one than before: it is looked at again"
            );
        }
        if !overtaken.is_empty() || !replaced.is_empty() {
            self.look();
        }
    }

    /// The guard's table may have changed: it is looked at, and put back if it has.
    pub(super) fn keep_guard(&mut self) {
        self.guard.doubt();
        if let Err(error) = self.guard.close(self.host.links()) {
            self.failed(vec![error.to_string()]);
        }
    }
}

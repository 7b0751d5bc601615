//! Whether an interface is still the one that was known under its index: else it would inherit who that
//! one was.
//!
//! Neither name nor index nor MAC address tells, for whoever makes an interface chooses them. What tells
//! is that the kernel has said that the old one went, and, should nobody have listened, that what we gave
//! to the old one is missing: the mark of the guard and our programs end with an interface.

use std::collections::BTreeSet;
use std::mem;

use anyhow::Result;

use super::daemon::Daemon;
use crate::inventory::endpoints::Merged;
use crate::inventory::observer::Changes;
use crate::policy::model::Policy;
use crate::state::actual::Actual;
use crate::state::desired::TemplateConstants;

impl Daemon {
    /// Looks at the host, and takes no interface for one that is gone.
    pub(super) fn look_for_others(&mut self, policy: &Policy) -> Result<Merged> {
        // Whoever attaches an XDP program to an interface need not say so.
        let uplinks = self.uplinks.interfaces().collect();
        self.host.note(Changes::of_links(uplinks));
        let Self {
            host,
            kernel,
            guard,
            gone,
            ..
        } = self;
        host.look(policy, |links, known| {
            let present: BTreeSet<u32> = links.iter().map(|link| link.ifindex).collect();
            let mut strangers: BTreeSet<u32> = mem::take(gone)
                .intersection(&present)
                .filter(|ifindex| known.contains(ifindex))
                .copied()
                .collect();
            let unmarked = guard.unmarked(links);
            // At first, and after trouble, there is nothing that all of them would have to have.
            let armed: BTreeSet<u32> = match kernel.known() {
                Some(actual) => endpoints(actual),
                None => known.clone(),
            };
            let suspects: BTreeSet<u32> = armed.intersection(&unmarked).copied().collect();
            // Where nobody gives marks, all lack them, and only what the kernel has said counts.
            if !strangers.is_empty() || (guard.is_wanted() && !suspects.is_empty()) {
                kernel.doubt();
            }
            let attached = &kernel.observe()?.attachments;
            strangers.extend(
                suspects
                    .into_iter()
                    .filter(|ifindex| known.contains(ifindex) && !attached.contains_key(ifindex)),
            );
            Ok(strangers)
        })
    }
}

/// Interfaces of endpoints. Uplinks are not armed, and bear no mark.
fn endpoints(actual: &Actual) -> BTreeSet<u32> {
    let attachments = actual.attachments.iter();
    attachments
        .filter(|(_, attachment)| {
            let constants = attachment.constants.as_ref();
            !constants.is_some_and(TemplateConstants::is_uplink)
        })
        .map(|(ifindex, _)| *ifindex)
        .collect()
}

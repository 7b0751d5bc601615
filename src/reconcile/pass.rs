//! Diff: from what is on the host and a policy to what is to be done. Nothing is changed by it.

use std::sync::Arc;
use std::time::Instant;

use super::daemon::Daemon;
use super::phases::Phases;
use super::uplinks::UplinkPlan;
use crate::compile::checks::run_tests;
use crate::compile::compile_again;
use crate::compile::compiled::Compiled;
use crate::compile::numbering::Numbering;
use crate::inventory::endpoints::{Ledger, Remark};
use crate::inventory::model::Inventory;
use crate::policy::model::Policy;
use crate::state::desired::{Desired, LiveInventory, PolicyImage};
use crate::state::diff;
use crate::state::plan::{Operation, Plan};

/// One way round: looked, compiled and compared, but not applied.
pub(super) struct Pass {
    pub plan: Plan,
    pub inventory: Inventory,
    pub compiled: Compiled,
    pub policy: Arc<Policy>,
    /// If the policy had to be compiled.
    pub numbering: Option<Numbering>,
    pub ledger: Ledger,
    pub remarks: Vec<Remark>,
    pub check_again_at: Option<Instant>,
    pub phases: Phases,
    pub uplinks: UplinkPlan,
}

impl Pass {
    /// Looks at the host, compiles the policy for it, and compares with what the kernel holds.
    ///
    /// # Errors
    /// Why the policy cannot be taken, or why nobody can tell what is there.
    pub fn prepare(daemon: &mut Daemon, policy: &Arc<Policy>) -> Result<Self, String> {
        let mut phases = Phases::begin();
        let merged = daemon
            .look_for_others(policy)
            .map_err(|error| format!("{error:#}"))?;
        phases.done("look");
        let (compiled, numbering) = match follow(daemon, policy, &merged.inventory) {
            Some(compiled) => (compiled, None),
            None => {
                let mut numbering = daemon.numbering.clone();
                let limits = daemon.config.limits.of_one_policy();
                let before = daemon.compiled_of.as_deref();
                let before = before.map(|of| (of, &daemon.compiled));
                let compiled =
                    compile_again(policy, before, &merged.inventory, &mut numbering, &limits)
                        .map_err(|error| error.to_string())?;
                (compiled, Some(numbering))
            }
        };
        phases.done("compile");
        let (mut live, problems) = LiveInventory::new(&merged.inventory);
        for problem in problems {
            log::warn!("{problem}");
        }
        let uplinks = UplinkPlan::new(merged.uplinks, &compiled);
        daemon.doubt_what_has_another_program(&uplinks);
        let actual = daemon.kernel.observe().map_err(|error| error.to_string())?;
        phases.done("observe");
        live.management.clone_from(&daemon.managers);
        uplinks.enter(&mut live, daemon.config.uplinks.xdp, actual);
        let desired = Desired {
            policy: PolicyImage::from(&compiled),
            live,
        };
        phases.done("desire");
        let plan = diff::plan(actual, &desired).map_err(|error| error.to_string())?;
        phases.done("plan");
        Ok(Self {
            phases,
            plan,
            inventory: merged.inventory,
            compiled,
            policy: Arc::clone(policy),
            numbering,
            ledger: merged.ledger,
            remarks: merged.remarks,
            check_again_at: merged.check_again_at,
            uplinks,
        })
    }

    /// What the judging slot holds when it is applied.
    pub fn image(&self) -> PolicyImage {
        PolicyImage::from(&self.compiled)
    }

    /// Runs the policy's own `[[test]]`s.
    ///
    /// # Errors
    /// All that fail, for people.
    pub fn test(&self, policy: &Policy) -> Result<(), String> {
        let failures = run_tests(policy, &self.compiled).map_err(|error| error.to_string())?;
        if failures.is_empty() {
            return Ok(());
        }
        let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
        Err(texts.join("\n"))
    }

    /// The generation that judges when it is applied; `None` if that stays as it is.
    pub fn published(&self) -> Option<u64> {
        self.plan
            .operations
            .iter()
            .rev()
            .find_map(|operation| match operation {
                Operation::Publish { generation, .. } => Some(*generation),
                _ => None,
            })
    }

    /// Whether it changes what judges.
    pub fn publishes(&self) -> bool {
        self.published().is_some()
    }
}

/// The policy in force for a changed inventory, as long as that is all that has changed.
fn follow(daemon: &Daemon, policy: &Policy, inventory: &Inventory) -> Option<Compiled> {
    let policies = &daemon.policies;
    let in_force = policies.revision() > 0 && std::ptr::eq(policy, &raw const **policies.current());
    in_force
        .then(|| daemon.compiled.follow(policy, &daemon.inventory, inventory))
        .flatten()
}

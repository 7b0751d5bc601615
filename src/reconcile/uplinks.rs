//! What is attached to uplinks: as much as the policy needs there, and nothing where it needs nothing.

use super::daemon::Daemon;
use crate::compile::compiled::Compiled;
use crate::config::Xdp;
use crate::control::report::{UplinkStatus, XdpState};
use crate::inventory::uplinks::Uplink;
use crate::netlink::{Netlink, NetlinkError};
use crate::state::actual::Actual;
use crate::state::desired::{Attachment, LiveInventory, TemplateConstants, XdpAttachment, XdpMode};

/// Where programs go, and what keeps them from going there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UplinkPlan {
    uplinks: Vec<Uplink>,
    /// The host's own connections are to be judged.
    judges: bool,
    /// There are senders that a rule denies everything.
    condemns: bool,
}

impl UplinkPlan {
    pub fn new(uplinks: Vec<Uplink>, compiled: &Compiled) -> Self {
        Self {
            uplinks,
            judges: compiled.judges_host(),
            condemns: compiled.condemns_senders(),
        }
    }

    /// Whether there is anything to enforce on uplinks, if there were some.
    pub const fn judges_host(&self) -> bool {
        self.judges
    }

    /// Their interfaces.
    pub fn interfaces(&self) -> impl Iterator<Item = u32> {
        self.uplinks.iter().map(|uplink| uplink.ifindex)
    }

    /// Adds what is to be attached. What the kernel holds tells our XDP program from others.
    pub fn enter(&self, live: &mut LiveInventory, xdp: Xdp, actual: &Actual) {
        for uplink in self.uplinks.iter().filter(|uplink| uplink.ethernet) {
            if self.judges {
                let attachment = Attachment {
                    interface: uplink.interface.clone(),
                    constants: TemplateConstants::UPLINK,
                };
                live.attachments.insert(uplink.ifindex, attachment);
            }
            let mode = match xdp {
                Xdp::Off => continue,
                Xdp::Auto => XdpMode::Any,
                Xdp::Native => XdpMode::Native,
                Xdp::Generic => XdpMode::Generic,
            };
            if self.condemns && foreign_xdp(uplink, actual).is_none() {
                let interface = uplink.interface.clone();
                live.xdp
                    .insert(uplink.ifindex, XdpAttachment { interface, mode });
            }
        }
    }

    /// Uplinks of which nothing is known to the kernel any more though it should be: they have another
    /// XDP program than the one that is thought to be there, or none.
    pub fn has_surprise(&self, actual: &Actual) -> bool {
        self.uplinks.iter().any(|uplink| {
            let known = actual.xdp.get(&uplink.ifindex).map(|known| known.program);
            let found = uplink.xdp.map(|found| found.program);
            known.is_some() && known != found
        })
    }

    /// What keeps the policy from being enforced on an uplink.
    pub fn problems(&self) -> Vec<String> {
        let unreadable = |uplink: &&Uplink| self.judges && !uplink.ethernet;
        self.uplinks
            .iter()
            .filter(unreadable)
            .map(|uplink| {
                format!(
                    "the host's policy is not enforced on {}, which carries no Ethernet frames: name \
                     the uplinks in bridgewall.toml without it, and filter there by other means",
                    uplink.interface
                )
            })
            .collect()
    }
}

/// Somebody else's XDP program on an uplink.
fn foreign_xdp(uplink: &Uplink, actual: &Actual) -> Option<u32> {
    let found = uplink.xdp?.program;
    let ours = actual.xdp.get(&uplink.ifindex).map(|known| known.program);
    (ours != Some(found)).then_some(found)
}

/// What is on an interface, as the kernel says.
fn program_on(ifindex: u32) -> Result<Option<u32>, NetlinkError> {
    let link = Netlink::open()?.link(ifindex)?;
    Ok(link.and_then(|link| link.xdp).map(|xdp| xdp.program))
}

impl Daemon {
    /// The names of uplinks whose XDP program has changed since the last look. Nobody need tell of that.
    pub(super) fn find_other_programs(&self) -> Result<Vec<String>, NetlinkError> {
        let plan = &self.uplinks;
        let Some(actual) = self.kernel.known().filter(|_| plan.condemns) else {
            return Ok(Vec::new());
        };
        let mut changed = Vec::new();
        for uplink in &plan.uplinks {
            let ours = actual.xdp.get(&uplink.ifindex).map(|ours| ours.program);
            let known = ours.or(foreign_xdp(uplink, actual));
            if program_on(uplink.ifindex)? != known {
                changed.push(uplink.interface.clone());
            }
        }
        Ok(changed)
    }

    /// An uplink whose XDP program is not the one that is thought to be there: what the kernel holds is
    /// read again.
    pub(super) fn doubt_what_has_another_program(&mut self, plan: &UplinkPlan) {
        if self
            .kernel
            .observe()
            .is_ok_and(|actual| plan.has_surprise(actual))
        {
            self.kernel.doubt();
        }
    }

    /// What keeps the policy from being enforced on uplinks, or costs more there than it should: told
    /// once.
    pub(super) fn warn_of_uplinks(&mut self, plan: &UplinkPlan) {
        let Ok(actual) = self.kernel.observe() else {
            return;
        };
        let foreign = plan.uplinks.iter().filter_map(|uplink| {
            let program = foreign_xdp(uplink, actual).filter(|_| plan.condemns)?;
            Some(format!(
                "{} has an XDP program already, number {program}: it stays, and denied senders are \
                 dropped later, by tc",
                uplink.interface
            ))
        });
        let warnings: Vec<_> = foreign.chain(plan.problems()).collect();
        for warning in &warnings {
            if !self.uplink_warnings.contains(warning) {
                log::warn!("{warning}");
            }
        }
        self.uplink_warnings = warnings;
    }

    /// For `status`.
    pub(super) fn uplink_statuses(&self, actual: &Actual) -> Vec<UplinkStatus> {
        let plan = &self.uplinks;
        let mode = self.config.uplinks.xdp;
        plan.uplinks
            .iter()
            .map(|uplink| {
                let attached = actual.attachments.get(&uplink.ifindex);
                let xdp = actual.xdp.get(&uplink.ifindex);
                let (xdp, why) = match (xdp, foreign_xdp(uplink, actual)) {
                    (Some(xdp), _) if xdp.generic => {
                        let why = self.kernel.xdp_obstacle(uplink.ifindex);
                        (XdpState::Generic, why.map(str::to_owned))
                    }
                    (Some(_), _) => (XdpState::Native, None),
                    (None, _) if mode == Xdp::Off => (
                        XdpState::Off,
                        Some("switched off in bridgewall.toml".to_owned()),
                    ),
                    (None, _) if !uplink.ethernet => (
                        XdpState::Off,
                        Some("it carries no Ethernet frames".to_owned()),
                    ),
                    (None, Some(program)) => (
                        XdpState::Foreign,
                        Some(format!(
                            "program {program} is there, which is not bridgewall's: tc does all of \
                             the work"
                        )),
                    ),
                    (None, None) if !plan.condemns => (
                        XdpState::Off,
                        Some("no rule denies a sender everything".to_owned()),
                    ),
                    (None, None) => {
                        let why = self.kernel.xdp_obstacle(uplink.ifindex);
                        let why = why.unwrap_or("not attached yet");
                        (XdpState::Off, Some(why.to_owned()))
                    }
                };
                UplinkStatus {
                    interface: uplink.interface.clone(),
                    attached: attached
                        .filter(|attached| attached.sound)
                        .map(|attached| attached.mechanism.to_string()),
                    judges: plan.judges,
                    xdp,
                    xdp_reason: why,
                }
            })
            .collect()
    }
}

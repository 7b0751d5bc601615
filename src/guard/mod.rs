//! The guard: at a port of a managed bridge that is not armed nothing passes, whether or not a daemon
//! runs.
//!
//! ```text
//! configuration + interfaces -> ruleset (what the table should say) -> nft -> the kernel
//! interfaces + attachments   -> marks (who gets or loses the mark)  -> rtnetlink -> the kernel
//! ```
//!
//! It is static nftables tables; the one of the bridge family drops every frame from or to a guarded
//! port, unless that port carries a mark: the interface's *group* (`ip link set ... group`). A port
//! gets the mark when its programs are attached in both directions. The mark belongs to the interface
//! itself and ends with it, so that no other interface can inherit it by name or index, and nothing has
//! to be kept in step while no daemon runs. From an armed port a frame has to prove, by the packet mark
//! that `from_endpoint` leaves on everything it lets through, that the program did see it.

mod glob;
mod marks;
mod nft;
mod ruleset;
pub mod watch;

use std::collections::BTreeSet;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use crate::config::{Bridges, Config};
use crate::inventory::netlink::Link;
use crate::netlink::{Netlink, NetlinkError};
use crate::policy::model::Pattern;

use marks::Marks;
pub use nft::NftError;
pub use ruleset::Sight;
use ruleset::{FAMILIES, Scope, TABLE};

/// Something about the guard that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The table.
    #[error(
        "what is not armed is not closed off: {0}; enforcement on armed endpoints is not affected"
    )]
    Table(#[from] NftError),
    /// The mark of an interface.
    #[error("{0}")]
    Mark(#[from] NetlinkError),
}

/// How the guard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its table is in the kernel.
    Closed(Sight),
    /// It should be, and is not.
    Open,
    /// The configuration does not want it.
    Off,
}

/// The table as it was put into the kernel.
#[derive(Debug)]
struct Installed {
    script: String,
    /// As `nft` shows it: what a later look is compared with.
    listing: String,
    sight: Sight,
}

/// The guard, in the hand of the one writer.
pub struct Guard {
    enabled: bool,
    bridges: Bridges,
    interfaces: Vec<String>,
    ports: Vec<Pattern>,
    group: u32,
    mark: u32,
    netlink: Netlink,
    sight: Option<Sight>,
    installed: Option<Installed>,
    doubted: bool,
    /// Whether it is certain that no table is left, where none should be.
    cleared: bool,
}

impl Guard {
    /// Opens the way to the kernel, in the network namespace of the calling thread. Changes nothing.
    ///
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn open(config: &Config) -> Result<Self, NetlinkError> {
        let interfaces = config.interfaces.iter();
        Ok(Self {
            enabled: config.guard.enabled,
            bridges: config.bridges.clone(),
            interfaces: interfaces.map(|interface| interface.name.clone()).collect(),
            ports: config.guard.ports.clone(),
            group: config.guard.group,
            mark: 0xffff << config.mark_shift.bits(),
            netlink: Netlink::open()?,
            sight: None,
            installed: None,
            doubted: false,
            cleared: false,
        })
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.installed {
            _ if !self.enabled => State::Off,
            Some(installed) => State::Closed(installed.sight),
            None => State::Open,
        }
    }

    /// The table may have been changed by somebody: the next [`Self::close`] looks.
    pub fn doubt(&mut self) {
        self.doubted = true;
    }

    /// Has the kernel hold the table. It is replaced as a whole, without a moment in between.
    ///
    /// # Errors
    /// nftables cannot be used. Then the guard is open, but for what is armed.
    pub fn close(&mut self, links: &[Link]) -> Result<(), GuardError> {
        if !self.enabled {
            return self.clear_away();
        }
        let sight = match self.sight {
            Some(sight) => sight,
            None => *self.sight.insert(ruleset::probe()?),
        };
        let scope = Scope {
            bridges: &self.bridges,
            interfaces: &self.interfaces,
            ports: &self.ports,
            group: self.group,
            mark: self.mark,
        };
        let script = scope.script(sight, links);
        if let Some(installed) = &self.installed {
            let changed =
                self.doubted && nft::list(&FAMILIES, TABLE)?.as_ref() != Some(&installed.listing);
            if changed {
                log::warn!(
                    "somebody has changed or removed the nftables tables `{TABLE}`, which close off \
                     what is not armed: they are put back"
                );
            } else if installed.script == script {
                self.doubted = false;
                return Ok(());
            }
        }
        self.installed = None;
        nft::run(&script)?;
        // What is compared with later must be ours, not what somebody else made of it meanwhile.
        let listing = nft::list(&FAMILIES, TABLE)?.unwrap_or_default();
        if ruleset::verdicts(&listing) != ruleset::verdicts(&script) {
            return Err(NftError::Contested.into());
        }
        self.installed = Some(Installed {
            listing,
            script,
            sight,
        });
        self.doubted = false;
        Ok(())
    }

    /// What another configuration has left.
    fn clear_away(&mut self) -> Result<(), GuardError> {
        if self.cleared {
            return Ok(());
        }
        match nft::run(&ruleset::removal()) {
            Ok(()) | Err(NftError::Missing) => self.cleared = true,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Takes the mark from every interface that has it but must not. To be done before programs go.
    /// What was done is noted in `links`, and so with [`Self::arm`].
    pub fn disarm_all_but(
        &mut self,
        wanted: &BTreeSet<u32>,
        links: &mut [Link],
    ) -> Vec<GuardError> {
        let marks = Marks::plan(links, self.group, |ifindex| wanted.contains(&ifindex));
        self.mark(&marks.disarm, 0, links)
    }

    /// Marks the interfaces whose programs are attached in both directions, and no others.
    pub fn arm(&mut self, armed: &BTreeSet<u32>, links: &mut [Link]) -> Vec<GuardError> {
        if !self.enabled {
            return self.disarm_all_but(&BTreeSet::new(), links);
        }
        let marks = Marks::plan(links, self.group, |ifindex| armed.contains(&ifindex));
        let mut errors = self.mark(&marks.disarm, 0, links);
        errors.extend(self.mark(&marks.arm, self.group, links));
        errors
    }

    /// The interfaces that lack the mark. Of one that is thought to be armed, that means: it was
    /// made anew under the index of one that is gone, or somebody has tampered with it.
    #[must_use]
    pub fn unmarked(&self, links: &[Link]) -> BTreeSet<u32> {
        if !self.enabled {
            return BTreeSet::new();
        }
        let links = links.iter().filter(|link| link.group != self.group);
        links.map(|link| link.ifindex).collect()
    }

    fn mark(&mut self, interfaces: &[u32], group: u32, links: &mut [Link]) -> Vec<GuardError> {
        let mut errors = Vec::new();
        for &ifindex in interfaces {
            let mut message = LinkMessage::default();
            message.header.index = ifindex;
            message.attributes = vec![LinkAttribute::Group(group)];
            let action = format!("cannot set the group of interface {ifindex}");
            match self
                .netlink
                .change(&action, &RouteNetlinkMessage::SetLink(message))
            {
                // Gone, and its mark with it.
                Err(error) if error.errno() == Some(nix::libc::ENODEV) => {}
                Err(error) => errors.push(error.into()),
                Ok(()) => links
                    .iter_mut()
                    .filter(|link| link.ifindex == ifindex)
                    .for_each(|link| link.group = group),
            }
        }
        errors
    }

    /// Opens the guard for good: the table goes first, then the marks. Goes on past errors.
    pub fn remove(&mut self) -> Vec<GuardError> {
        let mut errors = Vec::new();
        let mut links = match self.netlink.links() {
            Ok(links) => links,
            Err(error) => {
                errors.push(error.into());
                Vec::new()
            }
        };
        match nft::run(&ruleset::removal()) {
            Ok(()) => self.installed = None,
            // Without the tool no table was ever made, unless there are marks that say otherwise.
            Err(NftError::Missing) if links.iter().all(|link| link.group != self.group) => {}
            Err(error) => errors.push(error.into()),
        }
        errors.extend(self.disarm_all_but(&BTreeSet::new(), &mut links));
        errors
    }

    /// Closes the guard where no daemon runs: before Docker starts its first container.
    ///
    /// # Errors
    /// nftables cannot be used, or the interfaces cannot be listed.
    pub fn close_alone(&mut self) -> Result<State, GuardError> {
        let links = self.netlink.links()?;
        self.close(&links)?;
        Ok(self.state())
    }
}

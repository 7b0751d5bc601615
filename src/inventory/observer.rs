//! One look at what the kernel shows, for the reconcile loop.

use std::collections::{BTreeMap, BTreeSet};

use super::docker::{DockerView, Sandbox};
use super::endpoints::{HostView, Ledger, Settings, wants_peer};
use super::netlink::Nsid;
use crate::netlink::{Netlink, NetlinkError};

/// Looks at the kernel. Two dumps, one question for each running container, and three for each
/// interface that is not settled yet: a few milliseconds for hundreds of containers.
pub struct Observer {
    netlink: Netlink,
}

impl Observer {
    /// Opens the way to the kernel, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            netlink: Netlink::open()?,
        })
    }

    /// Looks once.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood.
    pub fn collect(
        &mut self,
        docker: &DockerView,
        settings: &Settings,
        ledger: &Ledger,
    ) -> Result<HostView, NetlinkError> {
        let links = self.netlink.links()?;
        let addresses = self.netlink.addresses()?;
        let mut namespaces = BTreeMap::new();
        for (container, sandbox) in &docker.sandboxes {
            // Never remembered: a number may be another namespace's as soon as its own is gone.
            if let Some(namespace) = self.namespace(sandbox)? {
                namespaces.insert(container.clone(), namespace);
            }
        }
        let wanted = wants_peer(&links, settings, ledger);
        let mut peers = BTreeMap::new();
        for link in links.iter().filter(|link| wanted.contains(&link.ifindex)) {
            if let Some(peer) = self.netlink.peer(link)? {
                peers.insert(link.ifindex, peer);
            }
        }
        // Named uplinks need no routes to be found.
        let default_routes = if settings.uplinks.is_empty() {
            self.netlink.default_routes()?
        } else {
            BTreeSet::new()
        };
        Ok(HostView {
            default_routes,
            links,
            addresses,
            peers,
            namespaces,
        })
    }

    /// Docker's own file for a namespace is that sandbox's alone; a process number may be another
    /// process's by now, so it only counts where the file leads nowhere.
    fn namespace(&mut self, sandbox: &Sandbox) -> Result<Option<Nsid>, NetlinkError> {
        if let Some(file) = &sandbox.file
            && let Some(namespace) = self.netlink.namespace_of_file(file)?
        {
            return Ok(Some(namespace));
        }
        match sandbox.pid {
            Some(pid) => self.netlink.namespace_of_process(pid),
            None => Ok(None),
        }
    }
}

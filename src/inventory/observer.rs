//! What the kernel shows, for the reconcile loop: read once, and then only where something has changed.

use std::collections::{BTreeMap, BTreeSet};

use super::Trigger;
use super::docker::{DockerView, Sandbox};
use super::endpoints::{HostView, Ledger, Settings, wants_peer};
use super::netlink::{Link, Nsid};
use crate::netlink::{Netlink, NetlinkError};

/// What may have changed since the last look: all that triggers are good for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Notices were lost.
    everything: bool,
    /// Interfaces of this host.
    links: BTreeSet<u32>,
    /// Interfaces of this host, as to their addresses.
    addresses: BTreeSet<u32>,
    /// Namespaces that interfaces of this host lead to.
    namespaces: BTreeSet<Nsid>,
    /// Where default routes lead to.
    routes: bool,
    /// Interfaces that went. Others may have their indexes by now, which is for the reconcile loop to find
    /// out.
    pub gone: BTreeSet<u32>,
    /// Interfaces that lost filters. Not for [`Observer`], but for who attaches them.
    pub filters: BTreeSet<u32>,
}

impl Changes {
    /// Adds what a trigger tells of.
    pub fn note(&mut self, trigger: &Trigger) {
        match trigger {
            Trigger::LinkChanged { ifindex } => {
                self.links.insert(*ifindex);
            }
            Trigger::LinkGone { ifindex } => {
                self.links.insert(*ifindex);
                self.gone.insert(*ifindex);
            }
            Trigger::HostAddresses { ifindex } => {
                self.addresses.insert(*ifindex);
            }
            Trigger::Peer { namespace } => {
                self.namespaces.insert(*namespace);
            }
            Trigger::FiltersGone { ifindex } => {
                self.filters.insert(*ifindex);
            }
            Trigger::DefaultRoute => self.routes = true,
            Trigger::Relist { .. } => self.everything = true,
            // What Docker says is at hand.
            Trigger::Docker => {}
        }
    }

    /// These interfaces of this host.
    #[must_use]
    pub fn of_links(links: BTreeSet<u32>) -> Self {
        Self {
            links,
            ..Self::default()
        }
    }

    /// All of it.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Whether notices were lost, so that anything may have changed.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.everything
    }

    /// Both.
    pub fn add(&mut self, mut other: Self) {
        self.everything |= other.everything;
        self.routes |= other.routes;
        self.links.append(&mut other.links);
        self.addresses.append(&mut other.addresses);
        self.namespaces.append(&mut other.namespaces);
        self.gone.append(&mut other.gone);
        self.filters.append(&mut other.filters);
    }
}

/// What a look has found changed: of this, nothing that was remembered counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fresh {
    /// Interfaces that are new, changed, or others than they were.
    pub links: BTreeSet<u32>,
    namespaces: BTreeSet<Nsid>,
}

/// Looks at the kernel. The first look takes two dumps, one question for each running container, and
/// three for each interface that is not settled yet: a few milliseconds for hundreds of containers. A
/// later one asks about what has changed, and about nothing else.
pub struct Observer {
    netlink: Netlink,
    view: HostView,
    /// Where a container's namespace was looked for, for those in the view.
    sandboxes: BTreeMap<String, Sandbox>,
    changes: Changes,
    questions: u64,
}

impl Observer {
    /// Opens the way to the kernel, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            netlink: Netlink::open()?,
            view: HostView::default(),
            sandboxes: BTreeMap::new(),
            changes: Changes::everything(),
            questions: 0,
        })
    }

    /// The next look is at this too.
    pub fn note(&mut self, changes: Changes) {
        self.changes.add(changes);
    }

    /// What was seen at the last look.
    #[must_use]
    pub fn view(&self) -> &HostView {
        &self.view
    }

    /// How many times the kernel was asked something since this was opened.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.questions
    }

    /// The interfaces as they were seen, for whoever changes one and knows what it is now.
    pub fn links_mut(&mut self) -> &mut [Link] {
        &mut self.view.links
    }

    /// Looks at the interfaces of this host, and nothing else. The look is over with [`Self::collect`];
    /// where it never comes to that, the next one is at everything.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood.
    pub fn look(&mut self) -> Result<Fresh, NetlinkError> {
        let changes = std::mem::replace(&mut self.changes, Changes::everything());
        if changes.everything {
            self.read_everything()?;
            return Ok(Fresh {
                links: self.view.links.iter().map(|link| link.ifindex).collect(),
                namespaces: changes.namespaces,
            });
        }
        // The kernel does not tell of routes that go with an interface or an address.
        let mut touched = changes.links.union(&changes.addresses);
        let routes = touched.any(|ifindex| self.view.default_routes.contains(ifindex));
        self.read_links(&changes.links)?;
        self.read_addresses(&changes.addresses)?;
        if changes.routes || routes {
            self.read_routes()?;
        }
        Ok(Fresh {
            links: changes.links,
            namespaces: changes.namespaces,
        })
    }

    /// Looks at all else, anew where interfaces and namespaces are.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood. The next look is at everything.
    pub fn collect(
        &mut self,
        fresh: &Fresh,
        docker: &DockerView,
        settings: &Settings,
        ledger: &Ledger,
    ) -> Result<&HostView, NetlinkError> {
        let wanted: BTreeSet<u32> = wants_peer(&self.view.links, settings, ledger)
            .into_iter()
            .collect();
        self.read_namespaces(docker, fresh, &wanted)?;
        self.read_peers(fresh, &wanted)?;
        self.changes = Changes::default();
        Ok(&self.view)
    }

    fn read_everything(&mut self) -> Result<(), NetlinkError> {
        self.view = HostView::default();
        self.sandboxes.clear();
        self.questions += 2;
        self.read_routes()?;
        self.view.links = self.netlink.links()?;
        self.view.links.sort_by_key(|link| link.ifindex);
        self.view.addresses = self.netlink.addresses()?;
        Ok(())
    }

    fn read_routes(&mut self) -> Result<(), NetlinkError> {
        self.questions += 1;
        self.view.default_routes = self.netlink.default_routes()?;
        Ok(())
    }

    fn read_links(&mut self, changed: &BTreeSet<u32>) -> Result<(), NetlinkError> {
        for &ifindex in changed {
            self.questions += 1;
            let found = self.netlink.link(ifindex)?;
            let links = &mut self.view.links;
            match (links.binary_search_by_key(&ifindex, |l| l.ifindex), found) {
                (Ok(place), Some(link)) => links[place] = link,
                (Err(place), Some(link)) => links.insert(place, link),
                (Ok(place), None) => drop(links.remove(place)),
                (Err(_), None) => {}
            }
            if self.link(ifindex).is_none() {
                self.view.peers.remove(&ifindex);
                self.view.addresses.retain(|a| a.ifindex != ifindex);
            }
        }
        Ok(())
    }

    fn read_addresses(&mut self, changed: &BTreeSet<u32>) -> Result<(), NetlinkError> {
        for &ifindex in changed {
            self.questions += 1;
            let found = self.netlink.addresses_of(ifindex)?;
            let addresses = &mut self.view.addresses;
            addresses.retain(|address| address.ifindex != ifindex);
            addresses.extend(found);
        }
        Ok(())
    }

    /// A number may be another namespace's as soon as its own is gone. So what is remembered of a
    /// container counts only as far as nobody is named by it: about the namespaces of interfaces that
    /// are new, changed or not settled, every container that might be there is asked about anew.
    fn read_namespaces(
        &mut self,
        docker: &DockerView,
        fresh: &Fresh,
        wanted: &BTreeSet<u32>,
    ) -> Result<(), NetlinkError> {
        let in_question: BTreeSet<Nsid> = fresh
            .links
            .union(wanted)
            .filter_map(|ifindex| self.link(*ifindex)?.peer_namespace)
            .chain(fresh.namespaces.iter().copied())
            .collect();
        let mut namespaces = BTreeMap::new();
        for (container, sandbox) in &docker.sandboxes {
            let known = (self.sandboxes.get(container) == Some(sandbox))
                .then(|| self.view.namespaces.get(container).copied())
                .flatten()
                .filter(|namespace| !in_question.contains(namespace));
            let namespace = match known {
                Some(namespace) => Some(namespace),
                None => self.namespace(sandbox)?,
            };
            namespaces.extend(namespace.map(|namespace| (container.clone(), namespace)));
        }
        self.view.namespaces = namespaces;
        if self.sandboxes != docker.sandboxes {
            self.sandboxes.clone_from(&docker.sandboxes);
        }
        Ok(())
    }

    fn read_peers(&mut self, fresh: &Fresh, wanted: &BTreeSet<u32>) -> Result<(), NetlinkError> {
        self.view
            .peers
            .retain(|ifindex, _| wanted.contains(ifindex));
        for &ifindex in wanted {
            let Some(link) = self.link(ifindex).cloned() else {
                continue;
            };
            let is_known = self.view.peers.contains_key(&ifindex)
                && !fresh.links.contains(&ifindex)
                && !link
                    .peer_namespace
                    .is_some_and(|n| fresh.namespaces.contains(&n));
            if is_known {
                continue;
            }
            self.questions += 2;
            match self.netlink.peer(&link)? {
                Some(peer) => self.view.peers.insert(ifindex, peer),
                None => self.view.peers.remove(&ifindex),
            };
        }
        Ok(())
    }

    fn link(&self, ifindex: u32) -> Option<&Link> {
        let links = &self.view.links;
        let place = links.binary_search_by_key(&ifindex, |link| link.ifindex);
        links.get(place.ok()?)
    }

    /// Docker's own file for a namespace is that sandbox's alone; a process number may be another
    /// process's by now, so it only counts where the file leads nowhere.
    fn namespace(&mut self, sandbox: &Sandbox) -> Result<Option<Nsid>, NetlinkError> {
        if let Some(file) = &sandbox.file {
            self.questions += 1;
            if let Some(namespace) = self.netlink.namespace_of_file(file)? {
                return Ok(Some(namespace));
            }
        }
        match sandbox.pid {
            Some(pid) => {
                self.questions += 1;
                self.netlink.namespace_of_process(pid)
            }
            None => Ok(None),
        }
    }
}

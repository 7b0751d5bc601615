//! Room for more networks, made while everything judges on: the table of search trees is replaced by a
//! larger one with the same in it. No interface's programs change; the bodies, which all share, are
//! loaded again.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use super::error::Result;
use super::settings::NETWORK_NODES;
use super::{Kernel, loader, xdp};
use crate::state::actual::Actual;
use crate::state::desired::{XdpAttachment, XdpMode};
use crate::state::networks::Placed;

impl Kernel {
    /// Has all programs look for networks in a new table with room for so many blocks.
    ///
    /// Whatever a packet meets meanwhile holds the same trees at the same places, for nothing is written
    /// to either table until all programs use the new one and its pin has replaced the old one's. A
    /// daemon that dies on the way leaves the old pin, and its successor loads all bodies for that again.
    ///
    /// # Errors
    /// There is no memory, or the kernel refuses something: before anything is written, this is done
    /// again.
    pub(super) fn grow_networks(&mut self, blocks: u32, actual: &mut Actual) -> Result<()> {
        let slots = actual.slots.each_ref().map(|slot| slot.networks.as_ref());
        let trees = Placed::trees(slots);
        let (maps, xdp) = loader::load_with_larger_networks(
            &self.settings,
            &self.maps,
            blocks,
            |larger| larger.write_trees(&trees),
            &mut self.torn,
        )?;
        self.xdp = xdp;
        for (&ifindex, attached) in &mut actual.xdp {
            let wanted = XdpAttachment {
                interface: "an uplink".to_owned(),
                mode: XdpMode::Any,
            };
            match self.xdp.attach(&self.pins, ifindex, &wanted) {
                Ok((replaced, _)) => *attached = replaced,
                Err(error) => {
                    // tc does the same; the plan attaches it again when it is looked for.
                    log::warn!("{error}");
                    if let Some(error) = xdp::detach(&self.pins, ifindex).into_iter().next() {
                        return Err(error);
                    }
                    attached.sound = false;
                }
            }
        }
        let table = maps.network_nodes.as_fd();
        self.pins.replace_map(NETWORK_NODES, table)?;
        log::info!("there is room for {blocks} blocks of networks now");
        self.maps = Arc::new(maps);
        self.torn = false;
        Ok(())
    }
}

//! Who may be reached past the bridge, by endpoint number.

use std::collections::BTreeMap;

use super::abi;
use super::error::Result;
use super::maps::{self, Maps};
use crate::inventory::model::MacAddress;
use crate::state::numbers::EndpointNumber;

/// How packets that were judged for an endpoint reach it past its bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortcut {
    /// Index of the host-side interface, a veth whose other end is in another namespace.
    pub ifindex: u32,
    /// Index of the bridge that the sender must be on, too.
    pub bridge: u32,
    /// What frames must be addressed to.
    pub mac: MacAddress,
}

/// All of them.
pub type Shortcuts = BTreeMap<EndpointNumber, Shortcut>;

/// Those that the kernel has.
pub(super) fn read(maps: &Maps) -> Result<Shortcuts> {
    let mut all = Shortcuts::new();
    maps::for_each::<u32, abi::shortcut>(&maps.shortcuts, |number, shortcut| {
        if shortcut.ifindex != 0 {
            let found = Shortcut {
                ifindex: shortcut.ifindex,
                bridge: shortcut.bridge,
                mac: MacAddress(shortcut.mac),
            };
            all.insert(EndpointNumber(number), found);
        }
    })?;
    Ok(all)
}

/// From the ones that are there to the ones that are wanted: first what goes, then what comes.
pub(super) fn change(maps: &Maps, there: &Shortcuts, wanted: &Shortcuts) -> Result<()> {
    let none = abi::shortcut::default();
    let gone = there
        .iter()
        .filter(|(number, shortcut)| wanted.get(number) != Some(shortcut))
        .map(|(number, _)| (number.0, none));
    let new = wanted
        .iter()
        .filter(|(number, shortcut)| there.get(number) != Some(shortcut))
        .map(|(number, shortcut)| {
            let value = abi::shortcut {
                ifindex: shortcut.ifindex,
                bridge: shortcut.bridge,
                mac: shortcut.mac.0,
                ..none
            };
            (number.0, value)
        });
    // A packet may find half of an entry that is overwritten: so it goes before it comes again.
    for entries in [gone.collect::<Vec<_>>(), new.collect()] {
        if !entries.is_empty() {
            maps::set(&maps.shortcuts, &entries)?;
        }
    }
    Ok(())
}

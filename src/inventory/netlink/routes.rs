//! Where default routes lead to.

use std::collections::BTreeSet;

use netlink_packet_core::DecodeError;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::{Netlink, NetlinkError, attributes, unsigned};

/// `struct rtmsg` (rtnetlink.h).
const HEADER_BYTES: usize = 12;
const HEADER_DESTINATION_LENGTH: usize = 1;
const HEADER_TABLE: usize = 4;
const HEADER_KIND: usize = 7;

// rtnetlink.h
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RT_TABLE_MAIN: u8 = 254;
const RTN_UNICAST: u8 = 1;

/// `struct rtnexthop`: length, flags, hops, interface.
const NEXT_HOP_BYTES: usize = 8;
const NEXT_HOP_INDEX: usize = 4;

/// Whether a notice about a route is about a default route.
pub(super) fn is_default(payload: &[u8]) -> bool {
    payload.get(HEADER_DESTINATION_LENGTH) == Some(&0)
}

/// The interfaces that a route leads to, if it is a default route of the main table.
fn interfaces(payload: &[u8]) -> Result<Option<BTreeSet<u32>>, DecodeError> {
    let wanted = is_default(payload)
        && payload.get(HEADER_TABLE) == Some(&RT_TABLE_MAIN)
        && payload.get(HEADER_KIND) == Some(&RTN_UNICAST);
    if !wanted {
        return Ok(None);
    }
    let mut interfaces = BTreeSet::new();
    for attribute in attributes(payload, HEADER_BYTES)? {
        let attribute = attribute?;
        match attribute.kind() {
            RTA_OIF => {
                interfaces.insert(unsigned(attribute.value(), 0)?);
            }
            RTA_MULTIPATH => interfaces.extend(next_hops(attribute.value())?),
            _ => {}
        }
    }
    Ok(Some(interfaces))
}

fn next_hops(mut hops: &[u8]) -> Result<BTreeSet<u32>, DecodeError> {
    let mut interfaces = BTreeSet::new();
    while let Some(length) = hops.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes)) {
        interfaces.insert(unsigned(hops, NEXT_HOP_INDEX)?);
        let step = usize::from(length).next_multiple_of(4).max(NEXT_HOP_BYTES);
        hops = hops.get(step..).unwrap_or_default();
    }
    Ok(interfaces)
}

impl Netlink {
    /// The interfaces that default routes of the main tables lead to, of both families.
    ///
    /// # Errors
    /// The kernel does not tell, or in a form that is not understood.
    pub fn default_routes(&mut self) -> Result<BTreeSet<u32>, NetlinkError> {
        let mut all = BTreeSet::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            question.header.table = RT_TABLE_MAIN;
            let found = self.dump(
                "cannot list the routes",
                &RouteNetlinkMessage::GetRoute(question),
                |_, payload| interfaces(payload),
            );
            match found {
                Ok(found) => all.extend(found.into_iter().flatten()),
                // A kernel without IPv6 has no such routes; nor has one whose table nobody made yet.
                Err(error)
                    if matches!(
                        error.errno(),
                        Some(nix::libc::EAFNOSUPPORT | nix::libc::EOPNOTSUPP | nix::libc::ENOENT)
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination_length: u8, table: u8, attributes: &[u8]) -> Vec<u8> {
        let header = [
            2,
            destination_length,
            0,
            0,
            table,
            3,
            0,
            RTN_UNICAST,
            0,
            0,
            0,
            0,
        ];
        [&header, attributes].concat()
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = (4 + value.len()) as u16;
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
    }

    #[test]
    fn a_default_route_names_its_interface_and_others_do_not() {
        let out = attribute(RTA_OIF, &7_u32.to_ne_bytes());
        let found = |payload: &[u8]| interfaces(payload).expect("valid");
        assert_eq!(found(&route(0, RT_TABLE_MAIN, &out)), Some([7].into()));
        assert_eq!(found(&route(24, RT_TABLE_MAIN, &out)), None);
        assert_eq!(found(&route(0, 100, &out)), None, "of another table");
    }

    #[test]
    fn a_route_with_several_next_hops_names_all_their_interfaces() {
        let hop = |index: u32, rest: &[u8]| {
            let length = (NEXT_HOP_BYTES + rest.len()) as u16;
            [
                &length.to_ne_bytes()[..],
                &[0, 0],
                &index.to_ne_bytes(),
                rest,
            ]
            .concat()
        };
        let hops = [hop(3, &[8, 0, 5, 0, 10, 0, 0, 1]), hop(9, &[])].concat();
        let payload = route(0, RT_TABLE_MAIN, &attribute(RTA_MULTIPATH, &hops));
        assert_eq!(interfaces(&payload).expect("valid"), Some([3, 9].into()));
    }

    #[test]
    fn what_is_cut_short_is_an_error_and_never_a_panic() {
        let hop = [255, 255, 0, 0, 1, 0];
        let payload = route(0, RT_TABLE_MAIN, &attribute(RTA_MULTIPATH, &hop));
        assert!(interfaces(&payload).is_err());
        assert_eq!(interfaces(&[]).expect("no route"), None);
    }
}

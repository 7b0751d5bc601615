//! Messages that keep a link running: where they go, and for whom they speak.

use std::net::IpAddr;

use super::super::frame::Headers;
use super::super::peers::Party;
use super::super::{Reason, link, neighbour};
use super::Firewall;

/// What says who speaks: the interface a packet came in by (0: none), and its mark.
pub struct Claims {
    pub link: u32,
    pub mark: u16,
    pub ingress: u32,
}

impl Firewall {
    /// "Neighbour discovery that would leave the link": between an endpoint and the host, or in
    /// addresses that no router passes on.
    pub(super) fn check_discovery(&self, headers: &Headers, link: u32) -> Result<(), Reason> {
        let destination = headers.destination;
        if !link::is_neighbour_discovery(headers) || link::stays_on_the_link(destination) {
            return Ok(());
        }
        match self.who(destination, link) {
            Ok(Party::Endpoint(..) | Party::Host) => Ok(()),
            _ => Err(Reason::DROP_NEIGHBOUR_DISCOVERY),
        }
    }

    /// Neighbour discovery that reaches an endpoint: from its sender, and about nobody else.
    pub(super) fn check_claims(
        &self,
        claims: &Claims,
        headers: &Headers,
        frame: &[u8],
    ) -> Result<(), Reason> {
        let source = headers.source;
        if !source.is_unspecified() && !self.may_speak_for(claims, source) {
            return Err(Reason::DROP_SOURCE_UNPROVEN);
        }
        match neighbour::claimed(headers, frame)? {
            Some(target) if !self.may_speak_for(claims, target.into()) => {
                Err(Reason::DROP_NEIGHBOUR_DISCOVERY)
            }
            _ => Ok(()),
        }
    }

    /// "A machine on the same link that is not watched may speak for itself, and for nobody who is
    /// watched; the host may speak for anybody (as a proxy does)."
    pub(super) fn may_speak_for(&self, claims: &Claims, address: IpAddr) -> bool {
        claims.ingress == 0
            || match self.who(address, claims.link) {
                Ok(Party::World(_)) => true,
                Ok(Party::Endpoint(number, _)) => number == u32::from(claims.mark),
                Ok(Party::Host) | Err(_) => false,
            }
    }
}

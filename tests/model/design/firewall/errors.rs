//! "ICMP errors that quote a live flow (destination-unreachable, packet-too-big, time-exceeded,
//! parameter-problem, also from routers on the way) pass without a rule."

use super::super::connections::End;
use super::super::frame::{Headers, REACH};
use super::super::sides::Verdict;
use super::super::transport::{self, is_error};
use super::super::{Reason, ipv4, ipv6};
use super::{Case, Firewall, Hook, by_policy};

impl Firewall {
    /// "ICMP errors that quote a live flow (also from routers on the way) pass without a rule."
    /// Everything else about an error is easily forged, so nothing else counts.
    pub(super) fn quotes_live_flow(
        &mut self,
        case: &Case<'_>,
        frame: &[u8],
    ) -> Result<bool, Reason> {
        let quoted = read_quotation(case.headers, frame).map_err(|_| Reason::DROP_ICMP_ERROR)?;
        let Some((found, replying)) = self.connections.find(&quoted, case.link) else {
            return Ok(false);
        };
        let found = found.clone();
        let (opener, target) = (found.opening.opener, found.opening.target);
        let (receiver, other) = match replying {
            true => (target, opener),
            false => (opener, target),
        };
        let entitled = match case.hook {
            Hook::To => receiver.endpoint == case.endpoint && case.may_have_seen(other),
            Hook::From => [opener, target]
                .iter()
                .any(|end| end.endpoint == case.endpoint),
        };
        if !entitled || found.has_expired(&self.timeouts, quoted.protocol, self.now) {
            return Ok(false);
        }
        if found.allowed_by == Some(self.generation) {
            return Ok(true);
        }
        let judged = self.judge_again(&quoted, case.link, &found.opening, replying);
        let Ok(judged) = judged else {
            return Ok(false);
        };
        if by_policy(judged.verdict).is_err() {
            return Ok(false);
        }
        // What would have been dropped is still to be reported, with the connection's next packet.
        if judged.verdict == Verdict::Allow
            && let Some((connection, _)) = self.connections.find(&quoted, case.link)
        {
            connection.allowed_by = Some(self.generation);
        }
        Ok(true)
    }
}

impl Case<'_> {
    /// "Its sender can have seen that packet: of a connection between two ends on this host the other
    /// end or the host, of one with the outside anybody there, for any router may be on the way."
    fn may_have_seen(&self, other: End) -> bool {
        match self.ingress {
            0 => true,
            _ if other.endpoint != 0 => u32::from(self.mark) == other.endpoint,
            _ => !other.is_host,
        }
    }
}

/// What an error is about. "Errors go to who sent the packet, and never speak of later fragments"
/// (RFC 1122, 3.2.2), nor of errors. What pads the frame is no part of it.
fn read_quotation(error: &Headers, frame: &[u8]) -> Result<Headers, Reason> {
    let offset = error.transport + 8;
    let frame = &frame[..error.transport + error.length];
    if offset > REACH {
        return Err(Reason::DROP_PULL_FAILED);
    }
    let mut quoted = match error.is_v6() {
        true => ipv6::read(frame, offset, true)?,
        false => ipv4::read(frame, offset, true)?,
    };
    if quoted.source != error.destination || quoted.is_later_fragment() {
        return Err(Reason::DROP_ICMP_ERROR);
    }
    transport::read_quoted(frame, &mut quoted)?;
    if is_error(&quoted) {
        return Err(Reason::DROP_ICMP_ERROR);
    }
    Ok(quoted)
}

//! What the programs tell: bytes from a ring buffer, read into values. The bytes come from the
//! kernel, but a newer or older program may have written them: nothing about them is taken for
//! granted.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use libbpf_rs::{RingBuffer, RingBufferBuilder};

use super::abi;
use super::bytes::from_bytes;
use super::encode::{ip, side_back, verdict_back};
use super::error::{Error, Result};
use super::maps::Maps;
use crate::policy::model::Side;
use crate::state::numbers::{EndpointNumber, IdentityNumber, RuleNumber};
use crate::state::steps::Verdict;

/// A value of an enum of the kernel's, or the number of one that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coded<T> {
    /// Known.
    Known(T),
    /// Not known.
    Unknown(u8),
}

impl<T> Coded<T> {
    fn new(number: u8, known: impl FnOnce(u8) -> Option<T>) -> Self {
        known(number).map_or(Self::Unknown(number), Self::Known)
    }

    /// The value, if it is known.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

/// The hook that an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// What an endpoint sends.
    FromEndpoint,
    /// What an endpoint receives.
    ToEndpoint,
}

/// One side of what an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventEnd {
    /// Its address; `None` where the packet is not IP.
    pub address: Option<IpAddr>,
    /// Its port, 0 where there is none.
    pub port: u16,
    /// What it is, as far as that was known.
    pub identity: Option<IdentityNumber>,
    /// The endpoint, if it is one.
    pub endpoint: Option<EndpointNumber>,
}

/// One packet that was dropped, would have been, or was let through and is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since boot, on the monotonic clock.
    pub time: Duration,
    /// The policy that judged.
    pub generation: u64,
    /// Who sent the packet.
    pub source: EventEnd,
    /// To whom.
    pub destination: EventEnd,
    /// What the sender's egress says.
    pub egress_rule: RuleNumber,
    /// What the receiver's ingress says.
    pub ingress_rule: RuleNumber,
    /// The interface whose hook this is.
    pub ifindex: u32,
    /// The endpoint whose hook this is.
    pub endpoint: EndpointNumber,
    /// Whole length of the packet.
    pub packet_length: u32,
    /// What became of it.
    pub verdict: Coded<Verdict>,
    /// Why it was dropped; one of `enum drop_reason`, and any other number if this version does not
    /// know it.
    pub reason: abi::drop_reason,
    /// The side that decided, for verdicts of the policy.
    pub side: Coded<Side>,
    /// Where.
    pub hook: Coded<Hook>,
    /// IP protocol number; 0 where the packet is not IP.
    pub protocol: u8,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// Whether it is a new connection that was allowed.
    pub allowed_new: bool,
    /// The beginning of the packet, from its Ethernet header.
    pub bytes: Vec<u8>,
}

/// Bytes that are no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoEvent {
    /// How many there were.
    pub length: usize,
}

impl fmt::Display for NoEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes from the ring buffer are no event, which has {}",
            self.length,
            size_of::<abi::event>()
        )
    }
}

impl std::error::Error for NoEvent {}

impl Event {
    /// Reads what a program wrote. The ring buffer rounds lengths up: bytes beyond an event's are
    /// left aside.
    ///
    /// # Errors
    /// There are too few bytes.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, NoEvent> {
        let raw: abi::event = bytes
            .get(..size_of::<abi::event>())
            .and_then(from_bytes)
            .ok_or(NoEvent {
                length: bytes.len(),
            })?;
        let address = |address| matches!(raw.family, 4 | 6).then(|| ip(address));
        let end = |address, port: u16, identity: u32, endpoint: u32| EventEnd {
            address,
            port: u16::from_be(port),
            identity: (identity != IdentityNumber::NONE.0).then_some(IdentityNumber(identity)),
            endpoint: (endpoint != 0).then_some(EndpointNumber(endpoint)),
        };
        let count = usize::from(raw.byte_count).min(raw.bytes.len());
        Ok(Self {
            time: Duration::from_nanos(raw.time),
            generation: raw.generation,
            source: end(
                address(&raw.source),
                raw.source_port,
                raw.source_identity,
                raw.source_endpoint,
            ),
            destination: end(
                address(&raw.destination),
                raw.destination_port,
                raw.destination_identity,
                raw.destination_endpoint,
            ),
            egress_rule: RuleNumber(raw.egress_rule),
            ingress_rule: RuleNumber(raw.ingress_rule),
            ifindex: raw.ifindex,
            endpoint: EndpointNumber(raw.endpoint),
            packet_length: raw.packet_length,
            verdict: Coded::new(raw.verdict, verdict_back),
            reason: abi::drop_reason(raw.reason.into()),
            side: Coded::new(raw.side, side_back),
            hook: Coded::new(raw.hook, |number| match abi::hook(number.into()) {
                abi::hook::HOOK_FROM_ENDPOINT => Some(Hook::FromEndpoint),
                abi::hook::HOOK_TO_ENDPOINT => Some(Hook::ToEndpoint),
                _ => None,
            }),
            protocol: raw.protocol,
            icmp_type: raw.icmp_type,
            icmp_code: raw.icmp_code,
            allowed_new: u32::from(raw.flags) & abi::event_flag::EVENT_ALLOWED_NEW.0 != 0,
            bytes: raw.bytes[..count].to_vec(),
        })
    }
}

/// The reading end of the ring buffer. There may be only one at a time; it may live in any thread.
#[derive(Debug)]
pub struct EventReader {
    // Before the map: it is dropped first.
    ring: RingBuffer<'static>,
    _maps: Arc<Maps>,
}

impl EventReader {
    /// Reads from a map, and hands each event on. What is no event is logged once, and left aside.
    pub(super) fn new(
        maps: Arc<Maps>,
        mut each: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self> {
        let error = |error| Error::bpf("read the ring buffer", &error);
        let mut complained = false;
        let mut builder = RingBufferBuilder::new();
        builder
            .add(&maps.events, move |bytes: &[u8]| {
                match Event::parse(bytes) {
                    Ok(event) => each(event),
                    Err(no_event) if !complained => {
                        complained = true;
                        log::warn!("{no_event}");
                    }
                    Err(_) => {}
                }
                0
            })
            .map_err(error)?;
        let ring = builder.build().map_err(error)?;
        Ok(Self { ring, _maps: maps })
    }

    /// Waits for events, at most this long, and hands on those that are there.
    ///
    /// # Errors
    /// The ring buffer cannot be read. A signal is no error.
    pub fn poll(&self, timeout: Duration) -> Result<()> {
        match self.ring.poll(timeout) {
            Err(error) if error.kind() != libbpf_rs::ErrorKind::Interrupted => {
                Err(Error::bpf("read the ring buffer", &error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::bytes::bytes_of;
    use crate::kernel::encode::address;

    fn raw() -> abi::event {
        abi::event {
            time: 5_000_000_000,
            generation: 3,
            source: address("10.0.0.2".parse().unwrap()),
            destination: address("10.0.0.3".parse().unwrap()),
            source_identity: 2,
            source_endpoint: 7,
            source_port: 40_000_u16.to_be(),
            destination_port: 80_u16.to_be(),
            verdict: 2,
            reason: 1,
            side: 1,
            family: 4,
            protocol: 6,
            byte_count: 4,
            ..Default::default()
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let event = Event::parse(bytes_of(&raw())).unwrap();
        assert_eq!(event.time, Duration::from_secs(5));
        assert_eq!(event.source.address, Some("10.0.0.2".parse().unwrap()));
        assert_eq!(event.source.port, 40_000);
        assert_eq!(event.source.identity, Some(IdentityNumber(2)));
        assert_eq!(event.source.endpoint, Some(EndpointNumber(7)));
        assert_eq!(event.destination.identity, None);
        assert_eq!(event.verdict, Coded::Known(Verdict::Drop));
        assert_eq!(event.reason, abi::drop_reason::DROP_POLICY_DEFAULT);
        assert_eq!(event.side, Coded::Known(Side::Ingress));
        assert_eq!(event.bytes.len(), 4);
    }

    #[test]
    fn numbers_that_are_not_known_survive() {
        let event = Event::parse(bytes_of(&abi::event {
            verdict: 9,
            reason: 200,
            side: 8,
            hook: 7,
            ..raw()
        }))
        .unwrap();
        assert_eq!(event.verdict, Coded::Unknown(9));
        assert_eq!(event.reason, abi::drop_reason(200));
        assert_eq!(event.side, Coded::Unknown(8));
        assert_eq!(event.hook, Coded::Unknown(7));
    }

    #[test]
    fn a_packet_that_is_not_ip_has_no_addresses() {
        let event = Event::parse(bytes_of(&abi::event { family: 0, ..raw() })).unwrap();
        assert_eq!(event.source.address, None);
    }

    #[test]
    fn a_byte_count_beyond_the_bytes_is_cut() {
        let event = Event::parse(bytes_of(&abi::event {
            byte_count: u16::MAX,
            ..raw()
        }))
        .unwrap();
        assert_eq!(event.bytes.len(), abi::limit::EVENT_BYTES.0 as usize);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let long_enough = bytes.len() >= size_of::<abi::event>();
            prop_assert_eq!(Event::parse(&bytes).is_ok(), long_enough);
        }
    }
}

//! What the programs tell: bytes from a ring buffer, as values of the contract. The bytes come from
//! the kernel, but a newer or older program may have written them: their length is checked, and
//! numbers that this version does not know stay numbers.

use std::fmt;
use std::time::Duration;

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};

use super::abi;
use super::bytes::from_bytes;
use super::error::{Error, Result};

/// Too few bytes for an event.
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

/// Reads what a program wrote. Bytes beyond an event's are left aside: a later version may have put
/// something there.
///
/// # Errors
/// There are too few bytes.
pub fn parse_event(bytes: &[u8]) -> std::result::Result<abi::event, NoEvent> {
    bytes
        .get(..size_of::<abi::event>())
        .and_then(from_bytes)
        .ok_or(NoEvent {
            length: bytes.len(),
        })
}

/// The reading end of the ring buffer. There may be only one at a time; it may live in any thread.
#[derive(Debug)]
pub struct EventReader {
    // Before the map: it is dropped first.
    ring: RingBuffer<'static>,
    _map: MapHandle,
}

impl EventReader {
    /// Hands each event on. What is no event is logged once, and left aside.
    pub(super) fn new(
        map: &MapHandle,
        mut each: impl FnMut(&abi::event) + Send + 'static,
    ) -> Result<Self> {
        let error = |error| Error::bpf("read the ring buffer", &error);
        let mut complained = false;
        // Nothing else is kept: a reader outlives maps that are replaced.
        let map = MapHandle::try_from(map).map_err(error)?;
        let mut builder = RingBufferBuilder::new();
        builder
            .add(&map, move |bytes: &[u8]| {
                match parse_event(bytes) {
                    Ok(event) => each(&event),
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
        Ok(Self { ring, _map: map })
    }

    /// Waits for events, at most this long (`Duration::MAX`: until there are some), and hands on those
    /// that are there.
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

    #[test]
    fn an_event_is_read_as_it_was_written_with_numbers_that_are_not_known() {
        let raw = abi::event {
            time: 5,
            generation: 3,
            destination_port: 80_u16.to_be(),
            verdict: 9,
            reason: 200,
            ..Default::default()
        };
        let event = parse_event(bytes_of(&raw)).unwrap();
        assert_eq!((event.time, event.generation), (5, 3));
        assert_eq!(u16::from_be(event.destination_port), 80);
        assert_eq!((event.verdict, event.reason), (9, 200));
    }

    #[test]
    fn what_a_later_version_adds_is_left_aside() {
        let mut bytes = bytes_of(&abi::event {
            time: 5,
            ..Default::default()
        })
        .to_vec();
        bytes.extend([1; 8]);
        assert_eq!(parse_event(&bytes).unwrap().time, 5);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let long_enough = bytes.len() >= size_of::<abi::event>();
            prop_assert_eq!(parse_event(&bytes).is_ok(), long_enough);
        }
    }
}

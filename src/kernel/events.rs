//! What the programs tell: bytes from a ring buffer. What they mean is for `src/observe` to say.

use std::sync::Arc;
use std::time::Duration;

use libbpf_rs::{RingBuffer, RingBufferBuilder};

use super::abi;
use super::bytes::from_bytes;
use super::error::{Error, Result};
use super::maps::Maps;

/// The event at the beginning of these bytes; `None` if there are too few. The ring buffer rounds
/// lengths up: bytes beyond an event's are left aside.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<abi::event> {
    bytes.get(..size_of::<abi::event>()).and_then(from_bytes)
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
        mut each: impl FnMut(&abi::event) + Send + 'static,
    ) -> Result<Self> {
        let error = |error| Error::bpf("read the ring buffer", &error);
        let mut complained = false;
        let mut builder = RingBufferBuilder::new();
        builder
            .add(&maps.events, move |bytes: &[u8]| {
                match parse(bytes) {
                    Some(event) => each(&event),
                    None if !complained => {
                        complained = true;
                        log::warn!("{} bytes from the ring buffer are no event", bytes.len());
                    }
                    None => {}
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
    use super::*;
    use crate::kernel::bytes::bytes_of;

    fn event() -> abi::event {
        abi::event {
            generation: 3,
            packet_length: 70,
            ..Default::default()
        }
    }

    #[test]
    fn the_ring_buffers_rounding_is_left_aside() {
        let mut bytes = bytes_of(&event()).to_vec();
        bytes.extend([0xff; 8]);
        let parsed = parse(&bytes).expect("an event");
        assert_eq!((parsed.generation, parsed.packet_length), (3, 70));
    }

    #[test]
    fn too_few_bytes_are_no_event() {
        let raw = event();
        let bytes = bytes_of(&raw);
        assert!(parse(&bytes[..bytes.len() - 1]).is_none());
        assert!(parse(&[]).is_none());
    }
}

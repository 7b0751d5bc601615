//! Bytes from the ring buffer: an event that says what stands in them, and can be shown; or none.
#![no_main]

use std::ffi::c_void;
use std::mem::offset_of;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use bridgewall::control::time::UnixTime;
use bridgewall::kernel::{abi, parse_event};
use bridgewall::observe::event::Event;
use bridgewall::observe::line::LineFormat;
use bridgewall::observe::names::Names;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

fuzz_target!(|bytes: &[u8]| {
    let brink = Brink::new(bytes);
    let Ok(raw) = parse_event(brink.bytes()) else {
        assert!(bytes.len() < size_of::<abi::event>());
        return;
    };
    let event = Event::new(&raw, UnixTime::new(1_795_000_000, 0), &Names::default());
    check_contents(bytes, &event);
    let json = serde_json::to_string(&event).expect("an event is plain data");
    let back: Event = serde_json::from_str(&json).expect("its own text");
    assert_eq!(back, event);
    let format = LineFormat {
        color: false,
        zone: TimeZone::UTC,
    };
    let line = format.line(&event);
    assert!(!line.contains(char::is_control), "{line:?}");
});

/// What is shown is what stands there: read once more, by offsets alone.
fn check_contents(bytes: &[u8], event: &Event) {
    let count = offset_of!(abi::event, byte_count);
    let count = u16::from_ne_bytes([bytes[count], bytes[count + 1]]).into();
    let first = &bytes[offset_of!(abi::event, bytes)..][..abi::event::default().bytes.len()];
    let shown: String = first[..first.len().min(count)]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(event.bytes, shown);
    for (offset, peer) in [
        (offset_of!(abi::event, source), &event.source),
        (offset_of!(abi::event, destination), &event.destination),
    ] {
        let octets: [u8; 16] = bytes[offset..offset + 16].try_into().expect("16 bytes");
        match peer.address {
            Some(IpAddr::V4(v4)) => assert_eq!(v4.octets(), octets[12..]),
            Some(IpAddr::V6(v6)) => assert_eq!(v6.octets(), octets),
            None => {}
        }
    }
}

/// Bytes that end where a page ends, before one that nobody may read: to read on is to crash.
struct Brink {
    pages: NonNull<c_void>,
    length: usize,
    size: usize,
}

impl Brink {
    const PAGE: usize = 4096;

    fn new(bytes: &[u8]) -> Self {
        let size = bytes.len().next_multiple_of(Self::PAGE);
        let all = NonZeroUsize::new(size + Self::PAGE).expect("at least a page");
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new pages, of which nobody else knows; `bytes` fit into all but the last of them.
        let pages = unsafe {
            let pages = mmap_anonymous(None, all, prot, MapFlags::MAP_PRIVATE).expect("pages");
            let start = pages.byte_add(size - bytes.len()).cast::<u8>();
            start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            mprotect(pages.byte_add(size), Self::PAGE, ProtFlags::PROT_NONE).expect("a border");
            pages
        };
        Self {
            pages,
            length: bytes.len(),
            size,
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: they were written by `new`, and live as long as `self`.
        unsafe {
            let start = self.pages.byte_add(self.size - self.length).cast::<u8>();
            std::slice::from_raw_parts(start.as_ptr(), self.length)
        }
    }
}

impl Drop for Brink {
    fn drop(&mut self) {
        // SAFETY: the pages of `new`; `bytes` cannot outlive them.
        unsafe { munmap(self.pages, self.size + Self::PAGE).expect("our own pages") };
    }
}

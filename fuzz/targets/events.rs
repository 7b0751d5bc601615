//! Bytes from the ring buffer: an event, which can be shown, or none.
#![no_main]

use bridgewall::control::time::UnixTime;
use bridgewall::kernel::parse_event;
use bridgewall::observe::event::Event;
use bridgewall::observe::line::LineFormat;
use bridgewall::observe::names::Names;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(raw) = parse_event(bytes) else { return };
    let event = Event::new(&raw, UnixTime::new(1_795_000_000, 0), &Names::default());
    let json = serde_json::to_string(&event).expect("an event is plain data");
    let back: Event = serde_json::from_str(&json).expect("its own text");
    assert_eq!(back, event);
    let format = LineFormat {
        color: false,
        zone: TimeZone::UTC,
    };
    let line = format.line(&event);
    assert!(!line.chars().any(char::is_control), "{line:?}");
});

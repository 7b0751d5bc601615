//! The engine's answers: whatever they say, in whatever order, a view follows from them.
#![no_main]

use bridgewall::inventory::docker::view_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answers: &[u8]| {
    let view = view_of(answers);
    for attachment in &view.attachments {
        assert!(attachment.mac.is_usable(), "{attachment:?}");
        assert!(!attachment.bridge.is_empty() && attachment.bridge.len() <= 15);
    }
    for network in &view.networks {
        assert!(!network.name.chars().any(char::is_control), "{network:?}");
    }
    // The same answers, the same view.
    assert_eq!(view_of(answers), view);
});

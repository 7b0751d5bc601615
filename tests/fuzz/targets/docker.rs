//! The engine's answers: whatever they say, in whatever order, what follows from them is fit to be used.
#![no_main]

use std::net::IpAddr;

use bridgewall::inventory::docker::{Attachment, DockerView, view_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answers: &[u8]| {
    let (view, asked) = view_of(answers);
    view.attachments.iter().for_each(check_attachment);
    check_names(&view);
    // What is asked for next becomes part of a path.
    for id in &asked {
        assert!(is_id(id), "{id:?}");
    }
    // The same answers, the same view.
    assert_eq!(view_of(answers), (view, asked));
});

/// One interface, with a MAC address and addresses that one interface may have.
fn check_attachment(attachment: &Attachment) {
    let mac = attachment.mac.0;
    assert!(mac != [0; 6] && mac[0] & 1 == 0, "{attachment:?}");
    assert!(is_id(&attachment.endpoint), "{attachment:?}");
    assert!(is_id(&attachment.container.id), "{attachment:?}");
    for address in &attachment.addresses {
        let usable = match address {
            IpAddr::V4(v4) => {
                let first = v4.octets()[0];
                first != 0 && first != 127 && !(224..240).contains(&first) && !v4.is_broadcast()
            }
            IpAddr::V6(v6) => {
                let segments = v6.segments();
                segments[..7] != [0; 7]
                    && segments[..6] != [0, 0, 0, 0, 0, 0xffff]
                    && segments[0] & 0xff00 != 0xff00
            }
        };
        assert!(usable, "{attachment:?}");
    }
}

fn check_names(view: &DockerView) {
    let bridges = view.networks.iter().filter_map(|n| n.bridge.as_deref());
    for bridge in bridges.chain(view.attachments.iter().map(|a| a.bridge.as_str())) {
        // As Linux has them (dev_valid_name).
        let valid = (1..16).contains(&bridge.len())
            && bridge != "."
            && bridge != ".."
            && !bridge.contains(['/', ':'])
            && !bridge.contains(|c: char| c.is_whitespace() || c.is_control());
        assert!(valid, "{bridge:?}");
    }
    let names = view.networks.iter().map(|n| &n.name);
    for text in names.chain(&view.warnings) {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64
        && text
            .chars()
            .all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())
}

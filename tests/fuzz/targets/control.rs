//! The control protocol, as both sides read it: a line is a call or an answer, and said again it is the
//! same; or it is refused, with an answer that can be sent.
#![no_main]

use bridgewall::control::protocol::{Call, ErrorKind, Response, Streamed, VERSION};
use bridgewall::control::read_request;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|bytes: &[u8]| {
    match read_request(bytes) {
        Ok(request) => {
            assert!(!request.name().is_empty());
            assert_eq!(said_again(&Call::new(request.clone())).request, request);
            let call: Call = serde_json::from_slice(bytes).expect("it was read as one");
            assert_eq!((call.version, call.request), (VERSION, request));
        }
        Err(refusal) => {
            let Response::Error(error) = said_again(&refusal) else {
                panic!("a refusal is an error: {refusal:?}");
            };
            assert!(matches!(
                error.kind,
                ErrorKind::Malformed | ErrorKind::Version
            ));
            assert!(!error.message.is_empty() && error.message.len() < 1_000);
        }
    }
    if let Ok(response) = serde_json::from_slice::<Response>(bytes) {
        said_again(&response);
    }
    if let Ok(streamed) = serde_json::from_slice::<Streamed>(bytes) {
        said_again(&streamed);
    }
});

/// Sent and received, it is one line, and still the same.
fn said_again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> T {
    let text = serde_json::to_string(value).expect("plain data");
    assert!(!text.contains('\n'), "{text:?}");
    let back = serde_json::from_str(&text).expect("its own text");
    assert_eq!(&back, value, "{text}");
    back
}

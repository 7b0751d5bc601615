//! The control protocol, as both sides read it: any line is a call or an answer, or an error.
#![no_main]

use bridgewall::control::protocol::{Call, Response, Streamed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(call) = serde_json::from_slice::<Call>(bytes) {
        assert!(!call.request.name().is_empty());
        let text = serde_json::to_vec(&call).expect("a call is plain data");
        assert_eq!(
            serde_json::from_slice::<Call>(&text).expect("its own text"),
            call
        );
    }
    if let Ok(response) = serde_json::from_slice::<Response>(bytes) {
        serde_json::to_vec(&response).expect("an answer is plain data");
    }
    if let Ok(streamed) = serde_json::from_slice::<Streamed>(bytes) {
        serde_json::to_vec(&streamed).expect("an event is plain data");
    }
});

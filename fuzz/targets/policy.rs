//! The policy loader: any bytes are a policy, or get a report that can be shown and read.
#![no_main]

use std::path::Path;

use bridgewall::policy::{Source, parse};
use libfuzzer_sys::fuzz_target;

// The input is the policy file; what follows a line `--- next` is the next file, or, for the policy's
// networks, the text of each of their files.
fuzz_target!(|bytes: &[u8]| {
    let mut parts: Vec<Vec<u8>> = vec![Vec::new()];
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        match parts.last_mut() {
            Some(last) if line != b"--- next\n" => last.extend(line),
            _ => parts.push(Vec::new()),
        }
    }
    let lists = parts.split_off(parts.len().div_ceil(2));
    let sources = parts
        .into_iter()
        .enumerate()
        .map(|(number, bytes)| Source::from_bytes(format!("{number}.toml"), bytes))
        .collect();
    let mut lists = lists.into_iter().cycle();
    let mut read = |path: &Path| Ok(Source::from_bytes(path, lists.next().unwrap_or_default()));
    if let Err(report) = parse(sources, &mut read) {
        assert!(!report.diagnostics().is_empty());
        let text = report.render(false);
        assert!(
            !text.chars().any(|c| c.is_control() && c != '\n'),
            "{text:?}"
        );
        serde_json::to_string(&report).expect("a report is plain data");
    }
});

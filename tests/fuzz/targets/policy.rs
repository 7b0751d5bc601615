//! The policy loader: any bytes are a policy that can be compiled, or get errors that say where they are.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use bridgewall::compile::compile;
use bridgewall::compile::limits::Limits;
use bridgewall::compile::numbering::Numbering;
use bridgewall::inventory::model::Inventory;
use bridgewall::policy::diagnostic::{Place, Position};
use bridgewall::policy::{Report, Source, parse};
use libfuzzer_sys::fuzz_target;

/// Texts by the name that they were read by: a network's file may be called like a policy's.
type Texts = BTreeMap<String, Vec<String>>;

fuzz_target!(|bytes: &[u8]| {
    let mut texts = Texts::new();
    let (policies, lists) = parts(bytes);
    let sources = policies
        .into_iter()
        .enumerate()
        .map(|(number, part)| source(format!("{number}.toml"), part, &mut texts))
        .collect();
    let mut lists = lists.into_iter().cycle();
    let mut read = |path: &Path| {
        let name = path.display().to_string();
        Ok(source(name, lists.next().unwrap_or_default(), &mut texts))
    };
    match parse(sources, &mut read) {
        Ok(policy) => {
            assert!(!policy.files.is_empty());
            let empty = Inventory::default();
            // It may be too large, and says so then.
            drop(compile(
                &policy,
                &empty,
                &mut Numbering::default(),
                &Limits::default(),
            ));
        }
        Err(report) => check(&report, &texts),
    }
});

/// The input is the policy file. What follows a line `--- next` is the next file, or, in the second half,
/// the text of the networks' files.
fn parts(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut parts: Vec<Vec<u8>> = vec![Vec::new()];
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        match parts.last_mut() {
            Some(last) if line != b"--- next\n" => last.extend(line),
            _ => parts.push(Vec::new()),
        }
    }
    let lists = parts.split_off(parts.len().div_ceil(2));
    (parts, lists)
}

fn source(name: String, bytes: Vec<u8>, texts: &mut Texts) -> Source {
    let source = Source::from_bytes(&name, bytes);
    texts
        .entry(name)
        .or_default()
        .push(source.text().to_owned());
    source
}

/// There is an error; each is somewhere in what was read, and can be shown.
fn check(report: &Report, texts: &Texts) {
    assert!(!report.diagnostics().is_empty());
    for diagnostic in report.diagnostics() {
        assert!(!diagnostic.message.is_empty() && !diagnostic.help.is_empty());
        check_place(&diagnostic.place, texts);
        for related in &diagnostic.related {
            check_place(&related.place, texts);
        }
    }
    let text = report.render(false);
    let strange = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(strange), "{text:?}");
    assert!(!report.summary().contains(char::is_control));
    serde_json::to_string(report).expect("a report is plain data");
}

fn check_place(place: &Place, texts: &Texts) {
    let texts = texts.get(&place.file).expect("a file that was read");
    if let Some(position) = &place.position {
        let found = texts.iter().any(|text| is_in(text, position));
        assert!(found, "{place:?} of {texts:?}");
    }
}

fn is_in(text: &str, position: &Position) -> bool {
    let Some(line) = text.split('\n').nth(position.line - 1) else {
        return false;
    };
    // One beyond the last is where something is missing.
    let end = position.column - 1 + position.width;
    line.contains(&position.source) && end <= line.chars().count() + 1
}

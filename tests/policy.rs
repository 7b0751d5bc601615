//! The policy language from outside: each `tests/policy/NAME.toml` against `NAME.expected`, which holds
//! what a person would see. `BRIDGEWALL_BLESS=1` writes the expectations anew; read the diff.
//!
//! A fixture may hold several files: `#### file: NAME` begins the next one.

#[path = "policy/files.rs"]
mod files;
#[path = "policy/robust.rs"]
mod robust;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bridgewall::policy::model::Policy;
use bridgewall::policy::{FileError, Source, parse};

const NEXT_FILE: &str = "#### file: ";

/// The files of a fixture: the policy, then those named in it.
fn split(name: &str, text: &str) -> Vec<(PathBuf, String)> {
    let mut files = vec![(PathBuf::from(name), String::new())];
    for line in text.split_inclusive('\n') {
        if let Some(name) = line.strip_prefix(NEXT_FILE) {
            files.push((PathBuf::from(name.trim()), String::new()));
        } else if let Some((_, text)) = files.last_mut() {
            text.push_str(line);
        }
    }
    files
}

fn outcome(name: &str, text: &str) -> String {
    let mut sources = Vec::new();
    let mut network_files = BTreeMap::new();
    for (path, text) in split(name, text) {
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            sources.push(Source::new(path, text));
        } else {
            network_files.insert(path, text);
        }
    }
    let parsed = parse(sources, &mut |path: &Path| {
        let text = network_files.get(path).ok_or_else(|| FileError {
            path: path.to_owned(),
            message: format!("{} does not exist", path.display()),
            help: "create it, or correct the name".to_owned(),
        })?;
        Ok(Source::new(path, text.clone()))
    });
    match parsed {
        Ok(policy) => accepted(&policy),
        Err(report) => report.render(false),
    }
}

fn accepted(policy: &Policy) -> String {
    let mut out = String::from("accepted\n");
    for identity in &policy.identities {
        let _ = writeln!(
            out,
            "identity {} {:?}",
            identity.name, identity.selector.labels
        );
    }
    for network in &policy.networks {
        let _ = writeln!(
            out,
            "network {} {:?} except {:?}",
            network.name, network.cidrs, network.except
        );
    }
    for rule in &policy.rules {
        let _ = write!(
            out,
            "{:?} {:?} -> {:?}: {}",
            rule.action, rule.from, rule.to, rule.traffic
        );
        for interval in rule.traffic.intervals() {
            let (first, last) = (interval.first().raw(), interval.last().raw());
            let _ = write!(out, " {first:06x}-{last:06x}");
        }
        let _ = writeln!(out, " {:?} log={}", rule.side, rule.log);
    }
    for test in &policy.tests {
        let _ = writeln!(
            out,
            "test {:?} -> {:?}: {} {:?}",
            test.from, test.to, test.traffic, test.expect
        );
    }
    out
}

#[test]
fn each_fixture_gives_the_messages_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy");
    let bless = std::env::var_os("BRIDGEWALL_BLESS").is_some();
    let mut failed = Vec::new();
    let mut count = 0;
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    paths.sort();
    for path in paths {
        count += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let found = outcome(name, &std::fs::read_to_string(&path).unwrap());
        let beside = path.with_extension("expected");
        if bless {
            std::fs::write(&beside, found).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            let diff = pretty_assertions::StrComparison::new(&expected, &found);
            failed.push(format!(
                "{name}: expected on the left, found on the right\n{diff}"
            ));
        }
    }
    assert!(count > 20, "only {count} fixtures in {}", folder.display());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The manual's examples are fragments: they may name what another one defines, and nothing else may be
/// wrong with them.
#[test]
fn the_examples_of_the_manual_are_good() {
    let manual = include_str!("../docs/policy.md");
    let mut count = 0;
    for block in manual.split("```toml\n").skip(1) {
        count += 1;
        let text = block.split("```").next().unwrap();
        let parsed = parse(vec![Source::new("manual", text)], &mut |path| {
            Ok(Source::new(path, "192.0.2.0/24"))
        });
        for diagnostic in parsed
            .as_ref()
            .err()
            .iter()
            .flat_map(|report| report.diagnostics())
        {
            assert!(
                diagnostic.message.starts_with("nobody is called"),
                "{diagnostic}"
            );
        }
    }
    assert!(count >= 7, "only {count} examples found");
}

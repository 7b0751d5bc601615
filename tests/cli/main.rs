//! The command line as a person meets it: the built binary, its words and its exit codes.

mod asking;
mod judging;
#[path = "../common/stand_in.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod stand_in;
mod watching;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use stand_in::StandIn;

const BINARY: &str = env!("CARGO_BIN_EXE_bridgewall");

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .output()
        .expect("run the binary")
}

fn ask(daemon: &StandIn, arguments: &[&str]) -> Output {
    let socket = daemon.socket.to_str().expect("text");
    run(&[&["--socket", socket], arguments].concat())
}

fn code(output: &Output) -> i32 {
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("ended by a signal: {output:?}"))
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary directory"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("write");
        path
    }

    fn policy(&self, text: &str) -> String {
        text_of(&self.write("policy.toml", text))
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

#[test]
fn help_is_there_for_every_verb_with_examples() {
    for verb in [
        "run", "check", "reload", "status", "list", "monitor", "explain", "stop",
    ] {
        let output = run(&[verb, "--help"]);
        assert_eq!(code(&output), 0, "{verb}");
        assert!(
            stdout(&output).contains("Examples:"),
            "{verb}: {}",
            stdout(&output)
        );
    }
    let output = run(&["--help"]);
    assert!(stdout(&output).contains("Exit codes:"));
    assert!(
        !stdout(&output).contains("completions"),
        "for packagers only"
    );
}

#[test]
fn wrong_use_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["destroy"],
        &["status", "--unknown"],
        &["list"],
        &["explain", "--from", "a", "--to", "b"],
        &[
            "explain", "--from", "a", "--to", "b", "--port", "1", "--icmp", "any",
        ],
        &["--color", "pink", "status"],
        &["list", "flows", "--limit", "-1"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_version_is_told() {
    let output = run(&["--version"]);
    assert_eq!(code(&output), 0);
    assert_eq!(
        stdout(&output).trim(),
        concat!("bridgewall ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_and_manuals_come_from_the_same_definition() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        assert!(stdout(&output).contains("detach"), "{shell}");
    }
    let output = run(&["man"]);
    assert!(
        stdout(&output).contains(".TH bridgewall 1"),
        "{}",
        stdout(&output)
    );
    let folder = Folder::new();
    let output = run(&["man", "--into", folder.0.path().to_str().expect("text")]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for page in [
        "bridgewall.1",
        "bridgewall-monitor.1",
        "bridgewall-list-flows.1",
    ] {
        assert!(folder.0.path().join(page).exists(), "{page}");
    }
    assert!(!folder.0.path().join("bridgewall-completions.1").exists());
}

//! Talking to nftables, by its own tool: the table is static and seldom written, so that a process for
//! it costs nothing, and what is written can be read by people in `nft list ruleset`.

use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Where administrators' tools are, whatever the environment says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// nftables could not be used.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// There is no such tool.
    #[error(
        "there is no `nft` on this host: install the package nftables, or write `enabled = false` under [guard] in bridgewall.toml"
    )]
    Missing,
    /// The tool could not be run.
    #[error("run nft: {0}")]
    Run(#[source] io::Error),
    /// What was written is not what is there.
    #[error("somebody else changes the nftables tables `bridgewall` at the same time")]
    Contested,
    /// It said no.
    #[error("nft refuses: {0}")]
    Refused(String),
}

/// Runs a script: all of it takes effect at once, or nothing.
pub(super) fn run(script: &str) -> Result<(), NftError> {
    nft(&["-f", "-"], script).map(drop)
}

/// Whether a script could be run; changes nothing.
pub(super) fn check(script: &str) -> Result<bool, NftError> {
    match nft(&["--check", "-f", "-"], script) {
        Ok(_) => Ok(true),
        Err(NftError::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The tables of this name without their counters; `None`: one of them is not there.
pub(super) fn list(families: &[&str], table: &str) -> Result<Option<String>, NftError> {
    let mut all = String::new();
    // One by one: of several in one script, nft 1.0.6 finds only those of the last family.
    for family in families {
        match nft(&["--stateless", "list", "table", family, table], "") {
            Ok(listing) => all.push_str(&listing),
            Err(NftError::Refused(text)) if text.contains("No such file or directory") => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(all))
}

fn nft(arguments: &[&str], input: &str) -> Result<String, NftError> {
    let mut child = Command::new("nft")
        .args(arguments)
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => NftError::Missing,
            _ => NftError::Run(error),
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // If it does not read to the end, what it says is worth more than that.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(NftError::Run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = said.lines().map(str::trim).take(3).collect();
    Err(NftError::Refused(said.join(" ")))
}

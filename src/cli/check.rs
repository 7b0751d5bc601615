//! `check`: is a policy valid, and do its tests hold? Needs no daemon, no root and no kernel.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::output::Output;
use super::progress::Progress;
use super::text::count;
use super::{Answer, Failure, Global};
use crate::compile::checks::run_tests;
use crate::compile::compile as compile_policy;
use crate::compile::compiled::Compiled;
use crate::compile::numbering::Numbering;
use crate::inventory::model::Inventory;
use crate::policy::model::Policy;
use crate::policy::{self, Trust};

const EXAMPLES: &str = "\
Reads FILE and the *.toml of the folder policy.d beside it, as the daemon would, and says
everything that is wrong with them at once. Changes nothing.

Examples:
  bridgewall check
  bridgewall check ./policy.toml
  bridgewall check ./policy.toml --json | jq -r '.error.details.diagnostics[].message'";

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// The policy [default: the one that the daemon is configured with]
    file: Option<PathBuf>,
}

impl Check {
    pub fn run(self, global: &Global, output: &mut Output) -> Result<Answer, Failure> {
        let file = match self.file {
            Some(file) => file,
            None => global.config()?.policy,
        };
        let policy = load(&file)?;
        let compiled = compile(global, &policy)?;
        let failures = run_tests(&policy, &compiled).map_err(Failure::Limits)?;
        if !failures.is_empty() {
            return Err(Failure::Tests(failures));
        }
        if output.json {
            output.value(&json!({
                "valid": true,
                "files": policy.files,
                "rules": policy.rules.len(),
                "identities": policy.identities.len(),
                "networks": policy.networks.len(),
                "tests": policy.tests.len(),
            }))?;
        } else {
            output.text(&format!(
                "{} is valid: {}, {}, {}; {}",
                file.display(),
                count(policy.rules.len(), "rule"),
                count(policy.identities.len(), "identity"),
                count(policy.networks.len(), "network"),
                match policy.tests.len() {
                    0 => "no tests".to_owned(),
                    1 => "its test holds".to_owned(),
                    tests => format!("its {tests} tests hold"),
                }
            ))?;
        }
        Ok(Answer::Fine)
    }
}

/// Reads a policy for a look at it, whoever it belongs to.
pub(super) fn load(file: &Path) -> Result<Policy, Failure> {
    let _progress = Progress::start(format!("reading {}", file.display()));
    policy::load(file, Trust::Any).map_err(Failure::Policy)
}

/// For a host on which nothing runs, within the limits that the daemon is configured with.
pub(super) fn compile(global: &Global, policy: &Policy) -> Result<Compiled, Failure> {
    let _progress = Progress::start("compiling the policy");
    let limits = global.config()?.limits.of_one_policy();
    compile_policy(
        policy,
        &Inventory::default(),
        &mut Numbering::default(),
        &limits,
    )
    .map_err(Failure::Limits)
}

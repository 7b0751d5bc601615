//! `completions` and `man`: what packages are made of, from the same definition as the command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::Output;
use super::{Answer, Arguments, Failure};

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Whose
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write bridgewall.1 and a page for each verb into this folder instead
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

impl Completions {
    pub fn run(self, output: &mut Output) -> Result<Answer, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut Arguments::command(),
            "bridgewall",
            &mut script,
        );
        output.text(&String::from_utf8_lossy(&script))?;
        Ok(Answer::Fine)
    }
}

impl Man {
    pub fn run(self, output: &mut Output) -> Result<Answer, Failure> {
        let command = Arguments::command();
        match self.into {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(command)
                    .render(&mut page)
                    .map_err(|error| Failure::Unusable(format!("make the manual: {error}")))?;
                output.text(&String::from_utf8_lossy(&page))?;
            }
            Some(folder) => clap_mangen::generate_to(command, &folder).map_err(|error| {
                Failure::Unusable(format!("write pages into {}: {error}", folder.display()))
            })?,
        }
        Ok(Answer::Fine)
    }
}

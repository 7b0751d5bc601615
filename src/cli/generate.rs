//! `completions` and `man`: what packages are made of, from the same definition as the command line.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
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
        let mut command = Arguments::command();
        command.build();
        match self.into {
            None => output.text(&page(command)?)?,
            Some(folder) => {
                write(&folder, &command)?;
                for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
                    write(&folder, verb)?;
                }
            }
        }
        Ok(Answer::Fine)
    }
}

/// `bridgewall monitor` is in `bridgewall-monitor.1`.
fn write(folder: &Path, command: &Command) -> Result<(), Failure> {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let name = name.replace(' ', "-");
    let path = folder.join(format!("{name}.1"));
    let text = page(command.clone().name(name))?;
    std::fs::write(&path, text)
        .map_err(|error| Failure::Unusable(format!("write {}: {error}", path.display())))
}

fn page(command: Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error: io::Error| Failure::Unusable(format!("make the manual: {error}")))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

//! The command line: one file a verb. Exit codes: 0 fine; 1 the answer is no; 2 wrong use or a bad
//! policy; 3 the daemon or the kernel cannot be reached or used.

mod apply;
mod check;
mod doctor;
mod explain;
mod failure;
mod generate;
mod guard;
mod list;
mod monitor;
mod output;
mod progress;
mod reload;
mod run;
mod status;
mod stop;
mod tables;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::failure::Failure;
use self::output::Output;
use crate::config::{Config, DEFAULT_SOCKET};
use crate::control::client::Client;
use crate::control::protocol::{Request, Response};
use crate::policy::Trust;

const EXAMPLES: &str = "\
Examples:
  bridgewall check                      is the policy file valid?
  bridgewall reload                     enforce it now
  bridgewall apply --confirm 60 FILE    try another one, and get back if it locks you out
  bridgewall status                     is everything enforced?
  bridgewall doctor                     what is wrong, and what to do about it
  bridgewall monitor --drops            what is dropped, as it happens, and why
  bridgewall explain --from web --to db --port 3306/tcp
  bridgewall list endpoints             which containers are watched

Exit codes:
  0  fine
  1  the answer is no: the connection would be dropped, the daemon is not healthy
  2  wrong use, or a bad policy
  3  the daemon or the kernel cannot be reached or used

Files:
  /etc/bridgewall/policy.toml           who may talk to whom
  /etc/bridgewall/bridgewall.toml       how the daemon runs";

/// Decides which containers may talk to whom, by what they are, on every path a packet can take.
#[derive(Debug, Parser)]
#[command(name = "bridgewall", version, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,

    /// The daemon's control socket [default: as configured]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// The daemon's configuration [default: /etc/bridgewall/bridgewall.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Whether to colour: auto means only on a terminal
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Enforce the policy: the daemon
    Run(run::Run),
    /// Say whether a policy file is valid, and whether its tests hold
    Check(check::Check),
    /// Have the daemon read its policy again, now
    Reload(reload::Reload),
    /// Enforce a policy for a while, unless it is confirmed
    Apply(apply::Apply),
    /// Keep the policy that was applied, or put the one before back
    Confirm(apply::Confirm),
    /// Show whether everything that should be enforced is
    Status(status::Status),
    /// List what the daemon knows
    List(list::List),
    /// Show what is dropped and allowed, as it happens
    Monitor(monitor::Monitor),
    /// Say what would become of a connection, and which rules decide
    Explain(explain::Explain),
    /// Look at everything that can be wrong, and say what to do about it
    Doctor(doctor::Doctor),
    /// End the daemon; enforcement goes on unless it is detached
    Stop(stop::Stop),
    /// Close off what is not armed, without a daemon: before containers start
    Guard(guard::Guard),
    /// Print completions for a shell
    #[command(hide = true)]
    Completions(generate::Completions),
    /// Print the manual, or write a page for each verb into a folder
    #[command(hide = true)]
    Man(generate::Man),
}

/// What a verb comes to, if it does not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Fine,
    No,
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    // Wrong use ends the process here, with exit code 2.
    let Arguments { global, verb } = Arguments::parse();
    let mut output = Output::new(global.json, global.color);
    let result = match verb {
        Verb::Run(run) => run.run(&global),
        Verb::Check(check) => check.run(&global, &mut output),
        Verb::Reload(reload) => reload.run(&global, &mut output),
        Verb::Apply(apply) => apply.run(&global, &mut output),
        Verb::Confirm(confirm) => confirm.run(&global, &mut output),
        Verb::Status(status) => status.run(&global, &mut output),
        Verb::List(list) => list.run(&global, &mut output),
        Verb::Monitor(monitor) => monitor.run(&global, &mut output),
        Verb::Explain(explain) => explain.run(&global, &mut output),
        Verb::Doctor(doctor) => doctor.run(&global, &mut output),
        Verb::Stop(stop) => stop.run(&global, &mut output),
        Verb::Guard(guard) => guard.run(&global, &mut output),
        Verb::Completions(completions) => completions.run(&mut output),
        Verb::Man(man) => man.run(&mut output),
    };
    match result {
        Ok(Answer::Fine) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            output.failure(&failure);
            failure.exit_code()
        }
    }
}

impl Global {
    fn config(&self) -> Result<Config, Failure> {
        Config::load(self.config.as_deref(), Trust::Any).map_err(Failure::Config)
    }

    /// For what changes the host: nobody but root may have a say in it.
    fn trusted_config(&self) -> Result<Config, Failure> {
        Config::load(self.config.as_deref(), Trust::RootOnly).map_err(Failure::Config)
    }

    /// As told; else as configured; else the default, so that a broken configuration file does not
    /// keep anybody from asking a daemon that still runs.
    fn socket(&self) -> Result<PathBuf, Failure> {
        match (&self.socket, &self.config) {
            (Some(socket), _) => Ok(socket.clone()),
            (None, Some(_)) => Ok(self.config()?.control.socket),
            (None, None) => Ok(Config::load(None, Trust::Any)
                .map_or(DEFAULT_SOCKET.into(), |config| config.control.socket)),
        }
    }

    fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(&self.socket()?)?)
    }

    /// Asks the daemon one thing, with a progress line if it takes its time.
    fn ask(&self, request: Request) -> Result<Response, Failure> {
        let mut client = self.connect()?;
        let _progress = progress::Progress::start("waiting for the daemon");
        Ok(client.ask(request)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn examples_fit_the_width_that_help_is_set_in() {
        for verb in Arguments::command().get_subcommands() {
            let text = verb.get_after_help().map(ToString::to_string);
            for line in text.iter().flat_map(|text| text.lines()) {
                assert!(line.chars().count() < 100, "{}: {line}", verb.get_name());
            }
        }
    }

    #[test]
    fn every_verb_and_option_is_described() {
        fn look(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(look);
        }
        look(&Arguments::command());
    }
}

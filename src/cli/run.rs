//! `run`: the daemon.

use std::path::PathBuf;

use clap::Args;
use log::LevelFilter;
use nix::unistd::geteuid;

use super::{Answer, Failure, Global};
use crate::config::Config;
use crate::control::lock::DaemonLock;
use crate::kernel::Features;
use crate::reconcile::policies::PolicyRefused;

const EXAMPLES: &str = "\
Enforcement does not end with the daemon: see `bridgewall stop --detach`. SIGHUP is `reload`;
SIGTERM and Ctrl-C are `stop`. RUST_LOG sets how much it says: error, warn, info (the default) or
debug.

Examples:
  systemctl start bridgewall
  bridgewall run --policy ./policy.toml";

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Run {
    /// The policy file [default: as configured]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl Run {
    pub fn run(self, global: &Global) -> Result<Answer, Failure> {
        start_log();
        let config = self.config(global)?;
        if !geteuid().is_root() {
            return Err(Failure::Unusable(
                "the daemon changes what the kernel does, which takes root: use sudo, \
                 or `systemctl start bridgewall`"
                    .to_owned(),
            ));
        }
        // Before anything is made: where the kernel lacks something, nothing is to stay behind.
        Features::probe().map_err(|error| Failure::Unusable(error.to_string()))?;
        let lock = DaemonLock::acquire(&config.state_directory)
            .map_err(|error| Failure::Unusable(error.to_string()))?;
        serve(config, lock)?;
        Ok(Answer::Fine)
    }

    /// What the command line says goes before what the file says.
    fn config(self, global: &Global) -> Result<Config, Failure> {
        let mut config = global.trusted_config()?;
        if let Some(policy) = self.policy {
            config.policy = absolute(policy)?;
        }
        if let Some(socket) = &global.socket {
            config.control.socket = absolute(socket.clone())?;
        }
        Ok(config)
    }
}

/// So that it still names the same file whatever becomes of the working directory.
fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(&path)
        .map_err(|error| Failure::Unusable(format!("find {}: {error}", path.display())))
}

/// To the journal with its priorities, without the time that the journal has anyway.
fn start_log() {
    use std::io::Write;

    let mut log = env_logger::Builder::new();
    log.filter_level(LevelFilter::Info);
    log.parse_default_env();
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.format(|out, record| {
            let priority = match record.level() {
                log::Level::Error => 3,
                log::Level::Warn => 4,
                log::Level::Info => 6,
                log::Level::Debug | log::Level::Trace => 7,
            };
            // A priority holds for one line (sd-daemon(3)).
            record
                .args()
                .to_string()
                .lines()
                .try_for_each(|line| writeln!(out, "<{priority}>{line}"))
        });
    } else {
        log.format_target(false);
    }
    log.init();
}

/// The daemon itself: the reconciler, until it is told to end.
fn serve(config: Config, lock: DaemonLock) -> Result<(), Failure> {
    crate::reconcile::run(config, lock).map_err(|error| match error.downcast::<PolicyRefused>() {
        Ok(refused) => Failure::NoPolicy(refused),
        Err(error) => Failure::Unusable(format!("{error:#}")),
    })
}

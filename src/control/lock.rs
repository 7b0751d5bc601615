//! One daemon at a time: a locked file. The kernel lets go of the lock when its holder ends, however
//! it ends, so that there is nothing to clean up.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Name of the lock file within the state directory.
pub const LOCK_FILE: &str = "daemon.lock";

/// The right to write kernel state, for as long as it lives.
#[derive(Debug)]
pub struct DaemonLock {
    _file: Flock<fs::File>,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "another bridgewall{} is running and holds {}: stop it first with `bridgewall stop`",
        process.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        path.display()
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, if it said so.
        process: Option<u32>,
    },
    /// The file cannot be opened or locked.
    #[error("lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DaemonLock {
    /// Takes the lock of a state directory, which is made if it does not exist.
    ///
    /// # Errors
    /// Another process holds it, or the file cannot be opened.
    pub fn acquire(state_directory: &Path) -> Result<Self, LockError> {
        let path = state_directory.join(LOCK_FILE);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(state_directory).map_err(failed)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((file, Errno::EWOULDBLOCK)) => {
                let process = holder(file);
                return Err(LockError::Held { path, process });
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Who wrote its number into the file; only for the message.
fn holder(file: fs::File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_and_told_who_runs() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let first = DaemonLock::acquire(directory.path()).expect("free");
        let refusal = DaemonLock::acquire(directory.path()).expect_err("held");
        assert!(
            matches!(&refusal, LockError::Held { process: Some(pid), .. } if *pid == std::process::id()),
            "{refusal}"
        );
        drop(first);
        DaemonLock::acquire(directory.path()).expect("free again");
    }

    #[test]
    fn the_state_directory_is_made_where_it_does_not_exist() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let below = directory.path().join("a/b");
        DaemonLock::acquire(&below).expect("made");
        assert!(below.join(LOCK_FILE).exists());
    }
}

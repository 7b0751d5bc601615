//! The control socket's file: made so that it is never there with the wrong owner or mode.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, chown};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody listens there.
    #[error("{} is in use by another daemon: stop it first with `bridgewall stop`", .0.display())]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{} is there and is not a socket: remove it, or set control.socket", .0.display())]
    NotASocket(PathBuf),
    /// The system says no.
    #[error("{step} {}: {source}", path.display())]
    Io {
        /// What was being done.
        step: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens at `path`: read and write for its owner and for `group`, where that group exists. A socket
/// that a daemon left behind is replaced.
///
/// # Errors
/// Somebody listens there, something else is there, or the system says no.
pub(super) fn listen(path: &Path, group: &str) -> Result<UnixListener, SocketError> {
    let failed = |step| {
        move |source| SocketError::Io {
            step,
            path: path.to_owned(),
            source,
        }
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("make the directory of"))?;
    }
    make_way(path)?;
    // Under another name until its owner and mode are right, then moved to its place.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("make way for")(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(failed("bind"))?;
    listener.set_nonblocking(true).map_err(failed("set up"))?;
    match Group::from_name(group) {
        Ok(Some(group)) => chown(&fresh, None, Some(group.gid))
            .map_err(|errno| failed("change the group of")(errno.into()))?,
        Ok(None) => log::info!(
            "there is no group `{group}`: only root can use {}",
            path.display()
        ),
        Err(errno) => log::warn!("look up the group `{group}`: {errno}"),
    }
    fs::set_permissions(&fresh, Permissions::from_mode(0o660))
        .map_err(failed("change the mode of"))?;
    fs::rename(&fresh, path).map_err(failed("put into place"))?;
    Ok(listener)
}

/// Makes sure that nothing is at `path` that must not be replaced.
fn make_way(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(SocketError::Io {
            step: "look at",
            path: path.to_owned(),
            source,
        }),
        Ok(found) if !found.file_type().is_socket() => {
            Err(SocketError::NotASocket(path.to_owned()))
        }
        // Nobody listens on a socket that refuses connections: its daemon is gone.
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            _ => Err(SocketError::InUse(path.to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group that no system has.
    const NO_GROUP: &str = "bridgewall-test-no-such-group";

    #[test]
    fn the_socket_is_for_its_owner_and_group_alone() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("run/control.sock");
        let _listener = listen(&path, NO_GROUP).expect("listen");
        let mode = fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("control.sock");
        drop(listen(&path, NO_GROUP).expect("listen"));
        assert!(path.exists(), "a killed daemon leaves its socket");
        let _listener = listen(&path, NO_GROUP).expect("listen again");
        UnixStream::connect(&path).expect("the new one answers");
    }

    #[test]
    fn a_socket_in_use_is_left_alone() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("control.sock");
        let _listener = listen(&path, NO_GROUP).expect("listen");
        let refusal = listen(&path, NO_GROUP).expect_err("in use");
        assert!(matches!(refusal, SocketError::InUse(_)), "{refusal}");
        UnixStream::connect(&path).expect("the first one still answers");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("control.sock");
        fs::write(&path, "precious").expect("write");
        let refusal = listen(&path, NO_GROUP).expect_err("not a socket");
        assert!(matches!(refusal, SocketError::NotASocket(_)), "{refusal}");
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    }
}

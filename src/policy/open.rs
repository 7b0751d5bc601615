//! Opens a file that may be hostile: never blocks on what is no file, and, where it matters, trusts
//! only a way to it that nobody but root can change.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use super::problem::FileError;

/// Whose files are good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The daemon's: files, the links that lead to them and all folders above belong to root and are
    /// writable by nobody else.
    RootOnly,
    /// Any file that can be read, for a look at it.
    Any,
}

/// What should be found at the path's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
}

/// As many as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;

/// Opens for reading.
pub(crate) fn open(path: &Path, trust: Trust, kind: Kind) -> Result<OwnedFd, FileError> {
    let opened = match trust {
        Trust::Any => open_any(path, kind),
        Trust::RootOnly => open_trusted(path, kind),
    };
    opened.map_err(|Trouble { message, help }| FileError {
        path: path.to_owned(),
        message,
        help,
    })
}

struct Trouble {
    message: String,
    help: String,
}

fn open_any(path: &Path, kind: Kind) -> Result<OwnedFd, Trouble> {
    let failed = |error| failed(path, error);
    // A first look without opening: to open a device may do something.
    let look = openat(
        AT_FDCWD,
        path,
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    check_kind(path, &fstat(look.map_err(failed)?).map_err(failed)?, kind)?;
    let file = openat(AT_FDCWD, path, read_flags(), Mode::empty()).map_err(failed)?;
    check_kind(path, &fstat(&file).map_err(failed)?, kind)?;
    Ok(file)
}

/// Goes from the root, one name at a time, as the kernel would, and looks at every folder and link on
/// the way. Each step starts from the descriptor of the folder that was looked at.
fn open_trusted(path: &Path, kind: Kind) -> Result<OwnedFd, Trouble> {
    let absolute = std::path::absolute(path).map_err(|error| Trouble {
        message: format!("cannot find {}: {error}", path.display()),
        help: "name the file by its full path".to_owned(),
    })?;
    let mut rest = names(&absolute);
    let mut links = 0;
    let mut at = PathBuf::from("/");
    let mut folder = open_root()?;
    let root = fstat(&folder).map_err(|error| failed(&at, error))?;
    check_trust(&at, &root)?;
    while let Some(name) = rest.pop_front() {
        let here = at.join(&name);
        let failed = |error| failed(&here, error);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let entry = openat(&folder, name.as_os_str(), flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&entry).map_err(failed)?;
        let is_link = file_type(&stat) == SFlag::S_IFLNK;
        if rest.is_empty() && !is_link {
            check_kind(&here, &stat, kind)?;
        }
        check_trust(&here, &stat)?;
        if is_link {
            links += 1;
            if links > LINKS {
                return Err(failed(Errno::ELOOP));
            }
            let target = PathBuf::from(readlinkat(&entry, "").map_err(failed)?);
            if target.is_absolute() {
                at = PathBuf::from("/");
                folder = open_root()?;
            }
            for name in names(&target).into_iter().rev() {
                rest.push_front(name);
            }
        } else if rest.is_empty() {
            let flags = read_flags() | OFlag::O_NOFOLLOW;
            let file = openat(&folder, name.as_os_str(), flags, Mode::empty()).map_err(failed)?;
            let stat = fstat(&file).map_err(failed)?;
            check_kind(&here, &stat, kind)?;
            check_trust(&here, &stat)?;
            return Ok(file);
        } else {
            folder = entry;
            if name == ".." {
                at.pop();
            } else {
                at = here;
            }
        }
    }
    // The path's end is the root, or a link to it.
    check_kind(&at, &root, kind)?;
    Ok(folder)
}

fn open_root() -> Result<OwnedFd, Trouble> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, "/", flags, Mode::empty()).map_err(|error| failed(Path::new("/"), error))
}

/// What is left to walk of a path, without the root.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::from_bytes(b"..").to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Never waits for a writer of a FIFO, and takes no terminal.
fn read_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC
}

fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn check_kind(path: &Path, stat: &FileStat, kind: Kind) -> Result<(), Trouble> {
    let wanted = match kind {
        Kind::File => SFlag::S_IFREG,
        Kind::Folder => SFlag::S_IFDIR,
    };
    let found = file_type(stat);
    if found == wanted {
        return Ok(());
    }
    let is = match found {
        SFlag::S_IFREG => "a file",
        SFlag::S_IFDIR => "a folder",
        SFlag::S_IFIFO => "a pipe",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFCHR | SFlag::S_IFBLK => "a device",
        _ => "something else",
    };
    let (wanted, help) = match kind {
        Kind::File => ("a regular file", "name a regular file"),
        Kind::Folder => ("a folder", "make it a folder, or remove it"),
    };
    Err(Trouble {
        message: format!("{} is {is}, not {wanted}", path.display()),
        help: help.to_owned(),
    })
}

/// Belongs to root, and nobody else may write. Where there are ACLs, the group's bits of the mode are
/// their mask, so that this covers them as well.
fn check_trust(path: &Path, stat: &FileStat) -> Result<(), Trouble> {
    if stat.st_uid != 0 {
        return Err(Trouble {
            message: format!(
                "{} belongs to user {}, not to root",
                path.display(),
                stat.st_uid
            ),
            help: format!(
                "whoever can change it can open the firewall: chown root:root {}",
                path.display()
            ),
        });
    }
    let others = Mode::S_IWGRP | Mode::S_IWOTH;
    let mode = Mode::from_bits_truncate(stat.st_mode);
    // A link's mode means nothing; it can be changed only by whoever may write its folder.
    if file_type(stat) != SFlag::S_IFLNK && mode.intersects(others) {
        let what = if file_type(stat) == SFlag::S_IFDIR {
            "keep it in folders that only root can write"
        } else {
            "whoever can change it can open the firewall"
        };
        return Err(Trouble {
            message: format!(
                "{} may be written by others than root (mode {:04o})",
                path.display(),
                stat.st_mode & 0o7777
            ),
            help: format!("{what}: chmod go-w {}", path.display()),
        });
    }
    Ok(())
}

fn failed(path: &Path, error: Errno) -> Trouble {
    let path = path.display();
    let (message, help) = match error {
        Errno::ENOENT => (
            format!("{path} does not exist"),
            "create it, or correct the name",
        ),
        Errno::EACCES | Errno::EPERM => (
            format!("{path} may not be read"),
            "run as root, or make it readable",
        ),
        Errno::ELOOP => (
            format!("too many links lead on from {path}"),
            "let the link point at the file itself",
        ),
        Errno::ENOTDIR => (
            format!("something on the way to {path} is not a folder"),
            "correct the name",
        ),
        error => (
            format!("cannot open {path}: {}", error.desc()),
            "name a regular file that can be read",
        ),
    };
    Trouble {
        message,
        help: help.to_owned(),
    }
}

//! What went wrong with which object, and what can be done about it.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// What this room's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is, where the caller may want to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The interface is not there any more: nothing is left to protect, and nothing to do.
    InterfaceGone,
    /// A capability is missing.
    NotPermitted,
    /// Anything else.
    Other,
}

/// A failure, with the object that it befell: `attach tcx ingress to veth3a1 (ifindex 12): ...`.
#[derive(Debug)]
pub struct Error {
    what: String,
    cause: String,
    kind: ErrorKind,
}

impl Error {
    /// Of a system call.
    pub(super) fn io(what: impl Into<String>, cause: &io::Error) -> Self {
        let kind = match cause.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENODEV | Errno::ENXIO | Errno::ENOLINK) => ErrorKind::InterfaceGone,
            Some(Errno::EPERM | Errno::EACCES) => ErrorKind::NotPermitted,
            _ => ErrorKind::Other,
        };
        Self {
            what: what.into(),
            cause: cause.to_string(),
            kind,
        }
    }

    /// Of libbpf.
    pub(super) fn bpf(what: impl Into<String>, cause: &libbpf_rs::Error) -> Self {
        let kind = match cause.kind() {
            libbpf_rs::ErrorKind::PermissionDenied => ErrorKind::NotPermitted,
            _ => ErrorKind::Other,
        };
        Self {
            what: what.into(),
            // The alternate form has the whole chain.
            cause: format!("{cause:#}"),
            kind,
        }
    }

    /// Of what was found, not of what was done.
    pub(super) fn found(what: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cause: cause.into(),
            kind: ErrorKind::Other,
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cause)?;
        f.write_str(match self.kind {
            ErrorKind::InterfaceGone => " (the interface is gone)",
            ErrorKind::NotPermitted => {
                " (needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and a writable bpffs)"
            }
            ErrorKind::Other => "",
        })
    }
}

impl std::error::Error for Error {}

/// All that went wrong in something that goes on past errors. Never empty.
#[derive(Debug)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// `Ok` if nothing went wrong.
    pub(super) fn check(errors: Vec<Error>) -> std::result::Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }

    /// Each of them, in the order in which they happened.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.0.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

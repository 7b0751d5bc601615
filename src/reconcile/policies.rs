//! Which policy is in force, which one was refused last, and the one to begin with.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};

use super::store::Store;
use crate::control::protocol::{ErrorKind, Response};
use crate::policy::model::Policy;
use crate::policy::{Report, Snapshot, Trust, drop_in_folder, load_with_snapshot};

/// Name of the last good policy in the [`Store`].
const LAST_GOOD: &str = "last-good-policy";

/// Name of the texts in the [`Store`] that the files hold, but that are not to be taken: see
/// [`Policies::set_aside`].
const SET_ASIDE: &str = "set-aside-policy";

/// There is no policy to enforce: the files are refused, and no good one was kept. The daemon cannot
/// start until somebody mends the files.
#[derive(Debug, thiserror::Error)]
#[error("{0}\nthere is no good policy to fall back on")]
pub struct PolicyRefused(pub Rejection);

/// Why a policy is not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Rejection {
    /// The files are wrong.
    #[error("{}", .0.render(false).trim_end())]
    Files(Report),
    /// The files are right, but it does not fit, fails a test of its own, or the kernel did not take it.
    #[error("{0}")]
    Policy(String),
}

impl Rejection {
    /// What whoever asked for a reload is told.
    pub(super) fn answer(&self) -> Response {
        match self {
            Self::Files(report) => Response::refused(report),
            Self::Policy(reason) => Response::error(ErrorKind::Refused, reason),
        }
    }
}

/// A policy that was read and is valid in itself, but not in force yet.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What it says.
    pub policy: Arc<Policy>,
    snapshot: Snapshot,
    /// Whether it is what the files say, and not what was kept of them or stands elsewhere.
    from_files: bool,
}

/// The policy in force and what is known of the files.
#[derive(Debug)]
pub struct Policies {
    path: PathBuf,
    policy: Arc<Policy>,
    revision: u64,
    error: Option<String>,
    /// How many were refused.
    refusals: u64,
    /// What the last load read or missed.
    files: Vec<PathBuf>,
    /// The state of all those at the last load, good or bad.
    seen: Vec<FileState>,
}

impl Policies {
    /// Reads the policy to begin with: the files, or, if they are refused, the last good one.
    ///
    /// # Errors
    /// The files are refused, and no good policy was kept.
    pub fn open(path: &Path, store: &Store) -> Result<(Self, Candidate)> {
        let before = states(watched(path, &[]));
        let (snapshot, read) = load_with_snapshot(path, Trust::RootOnly);
        let (candidate, files, error) = match read {
            Ok(policy) => {
                let files = policy.files.clone();
                match instead_of(&snapshot, store) {
                    Some(kept) => {
                        log::warn!("{SET_ASIDE_NOTE}");
                        (kept, files, Some(SET_ASIDE_NOTE.to_owned()))
                    }
                    None => {
                        let policy = Arc::new(policy);
                        let candidate = Candidate {
                            policy,
                            snapshot,
                            from_files: true,
                        };
                        (candidate, files, None)
                    }
                }
            }
            Err(report) => {
                let files = report.files().to_vec();
                let refusal = Rejection::Files(report);
                let Some(candidate) = last_good(store)? else {
                    bail!(PolicyRefused(refusal));
                };
                log::error!("policy refused, the last good one is in force:\n{refusal}");
                (candidate, files, Some(refusal.to_string()))
            }
        };
        let policies = Self {
            path: path.to_owned(),
            policy: Arc::clone(&candidate.policy),
            revision: 0,
            refusals: u64::from(error.is_some()),
            error,
            seen: seen(before, watched(path, &files)),
            files,
        };
        Ok((policies, candidate))
    }

    /// Reads the files again; `None` if nobody asked for it (`forced`) and none of them was touched.
    ///
    /// # Errors
    /// They are refused: all the reasons. The policy in force stays.
    pub fn read(&mut self, forced: bool) -> Option<Result<Candidate, Rejection>> {
        // Before they are read: what changes while they are is looked at again.
        let before = states(self.watched());
        if !forced && before == self.seen {
            return None;
        }
        let (snapshot, read) = load_with_snapshot(&self.path, Trust::RootOnly);
        let read = match read {
            Ok(policy) => {
                self.files.clone_from(&policy.files);
                Ok(Candidate {
                    policy: Arc::new(policy),
                    snapshot,
                    from_files: true,
                })
            }
            Err(report) => {
                self.files = report.files().to_vec();
                Err(Rejection::Files(report))
            }
        };
        self.seen = seen(before, self.watched());
        Some(read)
    }

    /// Reads the files now, whether or not they were touched.
    ///
    /// # Errors
    /// They are refused: all the reasons.
    pub fn read_now(&mut self) -> Result<Candidate, Rejection> {
        self.read(true).unwrap_or_else(|| {
            Err(Rejection::Policy(
                "the policy files were not read".to_owned(),
            ))
        })
    }

    /// Reads a policy that stands elsewhere.
    ///
    /// # Errors
    /// It is refused: all the reasons.
    pub fn read_other(&self, path: &Path) -> Result<Candidate, Rejection> {
        let (snapshot, read) = load_with_snapshot(path, Trust::RootOnly);
        let policy = Arc::new(read.map_err(Rejection::Files)?);
        Ok(Candidate {
            policy,
            snapshot,
            from_files: false,
        })
    }

    /// What the files hold is not to be taken at the next start, unless they change: they hold this
    /// candidate, which nobody has confirmed yet.
    ///
    /// # Errors
    /// That cannot be kept.
    pub fn set_aside(&mut self, candidate: &Candidate, store: &Store) -> Result<()> {
        store.save(SET_ASIDE, &Some(&candidate.snapshot))
    }

    /// Another policy is in force, and none of them is the one for the next start.
    pub fn put(&mut self, policy: Arc<Policy>) {
        self.policy = policy;
        self.revision += 1;
    }

    /// The policy that is in force is to stay: also after the next start, where the files hold another
    /// one, for as long as they do.
    pub fn confirm(&mut self, candidate: Candidate, from_files: bool, store: &Store) {
        self.error = None;
        self.keep(&candidate, store);
        let aside = if from_files {
            None
        } else {
            let (snapshot, _) = load_with_snapshot(&self.path, Trust::RootOnly);
            (snapshot != candidate.snapshot).then_some(snapshot)
        };
        if let Err(error) = store.save(SET_ASIDE, &aside) {
            log::error!("{error:#}");
        }
    }

    /// The candidate is in force. It is kept as the last good one; that this failed is reported, for
    /// the policy in force is none the worse for it.
    ///
    /// A refusal of the files is over only when it is the files' policy that is accepted.
    pub fn accept(&mut self, candidate: Candidate, store: &Store) {
        if candidate.from_files {
            self.error = None;
        }
        self.keep(&candidate, store);
        if candidate.from_files
            && store.has(SET_ASIDE)
            && let Err(error) = store.save(SET_ASIDE, &None::<Snapshot>)
        {
            log::error!("{error:#}");
        }
        self.put(candidate.policy);
    }

    /// For the next start with broken files.
    fn keep(&self, candidate: &Candidate, store: &Store) {
        if let Err(error) = store.save(LAST_GOOD, &candidate.snapshot) {
            log::error!("{error:#}");
        }
    }

    /// A policy was refused, for this reason; the one in force stays.
    pub fn refuse(&mut self, refusal: &Rejection) {
        log::error!("policy refused, the one in force stays:\n{refusal}");
        self.error = Some(refusal.to_string());
        self.refusals += 1;
    }

    /// The policy in force.
    #[must_use]
    pub fn current(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Counts every accepted load, also one without effect.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// How many policies were refused.
    #[must_use]
    pub const fn refusals(&self) -> u64 {
        self.refusals
    }

    /// The last refusal; `None` after a good load.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Everything in which a change may matter.
    #[must_use]
    pub fn watched(&self) -> Vec<PathBuf> {
        watched(&self.path, &self.files)
    }
}

/// Why the files are not what is in force, though all is well with them.
const SET_ASIDE_NOTE: &str = "the policy files hold a policy that was applied and not confirmed, or that \
    was replaced by one that was: the last confirmed one is in force; change the files, or say \
    `bridgewall reload`, to take them";

/// The policy to begin with in place of files that were set aside.
fn instead_of(files: &Snapshot, store: &Store) -> Option<Candidate> {
    let aside = store.load::<Option<Snapshot>>(SET_ASIDE);
    let aside = aside.unwrap_or_else(|error| {
        log::error!("{error:#}");
        None
    });
    if aside.flatten().as_ref() != Some(files) {
        return None;
    }
    last_good(store).unwrap_or_else(|error| {
        log::error!("{error:#}");
        None
    })
}

fn watched(path: &Path, files: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths = files.to_vec();
    paths.extend([path.to_owned(), drop_in_folder(path)]);
    paths.sort_unstable();
    paths.dedup();
    paths
}

fn states(paths: Vec<PathBuf>) -> Vec<FileState> {
    paths.into_iter().map(FileState::of).collect()
}

/// The states of these files; as they were before the load, if they were looked at then.
fn seen(before: Vec<FileState>, paths: Vec<PathBuf>) -> Vec<FileState> {
    let state = |path: PathBuf| {
        before
            .iter()
            .find(|state| state.path == path)
            .cloned()
            .unwrap_or_else(|| FileState::of(path))
    };
    paths.into_iter().map(state).collect()
}

/// The policy that was in force last, if one was kept.
///
/// # Errors
/// It was kept, and cannot be used.
pub(super) fn last_good(store: &Store) -> Result<Option<Candidate>> {
    let Some(snapshot) = store.load::<Snapshot>(LAST_GOOD)? else {
        return Ok(None);
    };
    match snapshot.parse() {
        Ok(policy) => Ok(Some(Candidate {
            policy: Arc::new(policy),
            snapshot,
            from_files: false,
        })),
        Err(report) => bail!(
            "the last good policy is refused too, by this version:\n{}",
            report.render(false)
        ),
    }
}

/// What tells that a file, or a link on its last step, was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileState {
    path: PathBuf,
    /// Of the link itself and of what it leads to: device, inode, size, and the time of the last
    /// change of any kind.
    link: Option<(u64, u64, u64, i64, i64)>,
    target: Option<(u64, u64, u64, i64, i64)>,
}

impl FileState {
    fn of(path: PathBuf) -> Self {
        let state = |metadata: std::io::Result<fs::Metadata>| {
            let metadata = metadata.ok()?;
            Some((
                metadata.dev(),
                metadata.ino(),
                metadata.size(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ))
        };
        Self {
            link: state(fs::symlink_metadata(&path)),
            target: state(fs::metadata(&path)),
            path,
        }
    }
}

//! Which policy is in force, which one was refused last, and the one to begin with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};

use super::store::Store;
use crate::policy::model::Policy;
use crate::policy::{Snapshot, Trust, drop_in_folder, load_with_snapshot};

/// Name of the last good policy in the [`Store`].
const LAST_GOOD: &str = "last-good-policy";

/// A policy that was read and is valid in itself, but not in force yet.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What it says.
    pub policy: Arc<Policy>,
    snapshot: Snapshot,
}

/// The policy in force and what is known of the files.
#[derive(Debug)]
pub struct Policies {
    path: PathBuf,
    policy: Arc<Policy>,
    revision: u64,
    error: Option<String>,
    /// Of the texts that were read last, good or bad.
    seen: u64,
    /// What the last load read or missed.
    files: Vec<PathBuf>,
}

impl Policies {
    /// Reads the policy to begin with: the files, or, if they are refused, the last good one.
    ///
    /// # Errors
    /// The files are refused, and no good policy was kept.
    pub fn open(path: &Path, store: &Store) -> Result<(Self, Candidate)> {
        let (snapshot, read) = load_with_snapshot(path, Trust::RootOnly);
        let seen = fingerprint(&snapshot);
        let (candidate, files, error) = match read {
            Ok(policy) => {
                let files = policy.files.clone();
                let policy = Arc::new(policy);
                (Candidate { policy, snapshot }, files, None)
            }
            Err(report) => {
                let refusal = report.render(false);
                let Some(candidate) = last_good(store)? else {
                    bail!("{refusal}\nthere is no good policy to fall back on");
                };
                log::error!("policy refused, the last good one is in force:\n{refusal}");
                (candidate, report.files().to_vec(), Some(refusal))
            }
        };
        let policies = Self {
            path: path.to_owned(),
            policy: Arc::clone(&candidate.policy),
            revision: 0,
            error,
            seen,
            files,
        };
        Ok((policies, candidate))
    }

    /// Reads the files again; `None` if nobody asked for it (`forced`) and nothing in them changed.
    ///
    /// # Errors
    /// They are refused: all the reasons. The policy in force stays.
    pub fn read(&mut self, forced: bool) -> Option<Result<Candidate, String>> {
        let (snapshot, read) = load_with_snapshot(&self.path, Trust::RootOnly);
        let seen = fingerprint(&snapshot);
        if !forced && seen == self.seen {
            return None;
        }
        self.seen = seen;
        Some(match read {
            Ok(policy) => {
                self.files.clone_from(&policy.files);
                Ok(Candidate {
                    policy: Arc::new(policy),
                    snapshot,
                })
            }
            Err(report) => {
                self.files = report.files().to_vec();
                Err(report.render(false))
            }
        })
    }

    /// The candidate is in force. It is kept as the last good one; that this failed is reported, for
    /// the policy in force is none the worse for it.
    ///
    /// A refusal of the files is over only when it is the files' policy that is accepted.
    pub fn accept(&mut self, candidate: Candidate, store: &Store) {
        if fingerprint(&candidate.snapshot) == self.seen {
            self.error = None;
        }
        self.policy = candidate.policy;
        self.revision += 1;
        if let Err(error) = store.save(LAST_GOOD, &candidate.snapshot) {
            log::error!("{error:#}");
        }
    }

    /// A policy was refused, for this reason; the one in force stays.
    pub fn refuse(&mut self, reason: String) {
        log::error!("policy refused, the one in force stays:\n{reason}");
        self.error = Some(reason);
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

    /// The last refusal; `None` after a good load.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Everything in which a change may matter.
    #[must_use]
    pub fn watched(&self) -> Vec<PathBuf> {
        let mut paths = self.files.clone();
        paths.push(self.path.clone());
        paths.push(drop_in_folder(&self.path));
        paths
    }
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
        })),
        Err(report) => bail!(
            "the last good policy is refused too, by this version:\n{}",
            report.render(false)
        ),
    }
}

fn fingerprint(snapshot: &Snapshot) -> u64 {
    let mut hasher = DefaultHasher::new();
    snapshot.hash(&mut hasher);
    hasher.finish()
}

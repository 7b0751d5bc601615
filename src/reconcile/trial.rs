//! `apply --confirm`: a policy is in force, but only for a while, unless somebody says that all is well.
//! The daemon alone keeps the time; whoever asked for it may be cut off by that very policy.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use super::management::Connection;
use super::pass::Pass;
use super::policies::{Candidate, Rejection};
use crate::compile::names;
use crate::control::protocol::{Apply, ErrorKind, Response};
use crate::control::report::{ApplyReport, ConfirmReport, TrialStatus};
use crate::control::time::UnixTime;
use crate::policy::model::Policy;

/// After a failure to put the old policy back, until the next try.
const RETRY: Duration = Duration::from_secs(1);

/// A policy on trial.
pub(super) struct Trial {
    /// The one before it.
    before: Arc<Policy>,
    candidate: Candidate,
    /// Where it was read, if not where the policy is.
    file: Option<PathBuf>,
    revision: u64,
    deadline: Instant,
    ends_at: UnixTime,
    /// The policy files were touched meanwhile.
    pub touched: bool,
}

impl Trial {
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    pub const fn status(&self) -> TrialStatus {
        TrialStatus {
            revision: self.revision,
            ends_at: self.ends_at,
        }
    }
}

/// What is told to whoever wants another policy meanwhile.
pub(super) fn occupied() -> Response {
    Response::error(
        ErrorKind::Failed,
        "a policy waits for its confirmation: say `bridgewall confirm`, or `bridgewall confirm \
         --revert`, first",
    )
}

impl Daemon {
    /// Takes a policy for a while.
    pub(super) fn apply(&mut self, apply: &Apply) -> Response {
        if self.trial.is_some() {
            return occupied();
        }
        let read = match &apply.file {
            Some(file) => self.policies.read_other(file),
            None => self.policies.read_now(),
        };
        let candidate = match read {
            Ok(candidate) => candidate,
            Err(refusal) => return refusal.answer(),
        };
        let caller = apply.ssh.as_deref().and_then(Connection::of_ssh);
        match self.begin_trial(candidate, apply, caller.as_ref()) {
            Ok(report) => Response::Applied(report),
            Err(refusal) => refusal.answer(),
        }
    }

    fn begin_trial(
        &mut self,
        candidate: Candidate,
        apply: &Apply,
        caller: Option<&Connection>,
    ) -> Result<ApplyReport, Rejection> {
        let failed = |error: anyhow::Error| Rejection::Policy(format!("{error:#}"));
        let before = Arc::clone(self.policies.current());
        let managers = self.meet_managers(caller);
        let taken = self.try_out(&candidate, apply.file.is_none());
        if let Err(refusal) = taken.map_err(failed) {
            self.managers = managers;
            return Err(refusal);
        }
        let seconds = Duration::from_secs(apply.seconds.into());
        let (added, removed) = difference(&before, &candidate.policy);
        let revision = self.policies.revision();
        log::info!(
            "policy revision {revision} in force for {} s unless it is confirmed",
            apply.seconds
        );
        self.trial = Some(Trial {
            before,
            candidate,
            file: apply.file.clone(),
            revision,
            deadline: Instant::now() + seconds,
            ends_at: UnixTime::now().after(seconds),
            touched: false,
        });
        Ok(ApplyReport {
            revision,
            generation: self.generation(),
            seconds: apply.seconds,
            added,
            removed,
        })
    }

    /// Has the kernel enforce it. What is kept for the next start stays the policy before: and where the
    /// files themselves hold the new one, they are set aside first.
    fn try_out(&mut self, candidate: &Candidate, from_files: bool) -> anyhow::Result<()> {
        let pass = Pass::prepare(self, &candidate.policy).map_err(anyhow::Error::msg)?;
        pass.test(&candidate.policy).map_err(anyhow::Error::msg)?;
        if from_files {
            self.policies.set_aside(candidate, &self.store)?;
        }
        self.commit(pass)?;
        self.policies.put(Arc::clone(&candidate.policy));
        self.name_everything();
        Ok(())
    }

    /// All is well with it, or nothing is.
    pub(super) fn confirm(&mut self, revision: Option<u64>, keep: bool) -> Response {
        let Some(trial) = &self.trial else {
            return Response::error(
                ErrorKind::Failed,
                "no policy waits for a confirmation: its time may be over, and the policy before it \
                 back in force; see `bridgewall status`",
            );
        };
        if let Some(asked) = revision.filter(|asked| *asked != trial.revision) {
            return Response::error(
                ErrorKind::Failed,
                format!(
                    "it is revision {} that waits for a confirmation, not {asked}",
                    trial.revision
                ),
            );
        }
        if !keep {
            return match self.put_back("it was taken back") {
                Ok(()) => Response::Confirmed(ConfirmReport {
                    revision: self.policies.revision(),
                    kept: false,
                    file: None,
                }),
                Err(error) => Response::error(ErrorKind::Failed, format!("{error:#}")),
            };
        }
        let Some(trial) = self.trial.take() else {
            return occupied();
        };
        let from_files = trial.file.is_none();
        log::info!("policy revision {} is confirmed", trial.revision);
        self.policies
            .confirm(trial.candidate, from_files, &self.store);
        if trial.touched {
            let _ = self.reload(false);
        }
        Response::Confirmed(ConfirmReport {
            revision: trial.revision,
            kept: true,
            file: trial.file,
        })
    }

    /// Nobody has confirmed it in time.
    pub(super) fn end_trial(&mut self) {
        if let Err(error) = self.put_back("nobody confirmed it in time") {
            if let Some(trial) = &mut self.trial {
                trial.deadline = Instant::now() + RETRY;
            }
            self.failed(vec![format!("put the policy before back: {error:#}")]);
        }
    }

    fn put_back(&mut self, why: &str) -> anyhow::Result<()> {
        let Some(trial) = &self.trial else {
            return Ok(());
        };
        let (before, touched, revision) =
            (Arc::clone(&trial.before), trial.touched, trial.revision);
        let pass = Pass::prepare(self, &before).map_err(anyhow::Error::msg)?;
        self.commit(pass)?;
        self.trial = None;
        self.policies.put(before);
        self.policies.refuse(&Rejection::Policy(format!(
            "revision {revision} is in force no longer, and the policy before it is again: {why}"
        )));
        self.name_everything();
        if touched {
            let _ = self.reload(false);
        }
        Ok(())
    }
}

/// The rules that one policy has and the other has not, by what they are called.
fn difference(before: &Policy, after: &Policy) -> (Vec<String>, Vec<String>) {
    let rules = |policy: &Policy| -> Vec<String> {
        let rules = policy.rules.iter();
        rules.map(|rule| names::rule(policy, rule)).collect()
    };
    let (before, after) = (rules(before), rules(after));
    let only = |these: &[String], others: &[String]| {
        let these = these.iter().filter(|rule| !others.contains(rule));
        these.cloned().collect()
    };
    (only(&after, &before), only(&before, &after))
}

//! The answer to `explain`, of the daemon's policy and of a file's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::question::{Asked, Question};
use crate::compile::compiled::Compiled;
use crate::compile::explain::{Explanation, UnknownPeer, Who, explain};
use crate::compile::limits::LimitErrors;
use crate::inventory::model::Inventory;
use crate::policy::Refusal;
use crate::policy::model::Policy;
use crate::policy::question::Kind;

/// What would become of a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainReport {
    /// Whether all of it passes, be it because of audit mode.
    pub allowed: bool,
    /// For people, in several lines.
    pub text: String,
    /// For programs: an [`Explanation`].
    pub explanation: Value,
}

impl From<&Explanation> for ExplainReport {
    fn from(explanation: &Explanation) -> Self {
        Self {
            allowed: explanation.passes(),
            text: explanation.to_string(),
            // Plain data always goes into JSON.
            explanation: serde_json::to_value(explanation).unwrap_or_default(),
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// Nobody is called that.
    #[error(transparent)]
    Who(#[from] UnknownPeer),
    /// It is no port, type or protocol.
    #[error("`{text}`: {refusal}")]
    Traffic {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// The policy cannot be asked.
    #[error(transparent)]
    Limits(#[from] LimitErrors),
}

/// Answers a question. With an inventory, containers that run can be asked about too.
///
/// # Errors
/// The question makes no sense with this policy.
pub fn answer(
    policy: &Policy,
    compiled: &Compiled,
    inventory: Option<&Inventory>,
    question: &Question,
) -> Result<ExplainReport, QuestionError> {
    let (kind, text) = match &question.traffic {
        Asked::Port(text) => (Kind::Port, text),
        Asked::Icmp(text) => (Kind::Icmp, text),
        Asked::Protocol(text) => (Kind::Protocol, text),
    };
    let traffic = kind.parse(text).map_err(|refusal| QuestionError::Traffic {
        text: text.clone(),
        refusal,
    })?;
    let from = Who::find(&question.from, policy, inventory)?;
    let to = Who::find(&question.to, policy, inventory)?;
    let explanation = explain(policy, compiled, &from, &to, &traffic)?;
    Ok(ExplainReport::from(&explanation))
}

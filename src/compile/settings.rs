//! What a subject does when no rule speaks, and whether it drops or only reports.

use super::membership::EndpointSet;
use crate::policy::model::{Action, Identity, IdentityId, Mode, Policy, Side};

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectKind<'a> {
    /// The host.
    Host,
    /// An endpoint.
    Endpoint(&'a EndpointSet),
}

/// Which statement of the policy file a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `[defaults]`, written or not.
    Defaults,
    /// `[defaults.host]`, written or not.
    DefaultsHost,
    /// `unidentified` in `[defaults]`.
    Unidentified,
    /// `[identities.NAME]`.
    Identity(IdentityId),
}

/// One side of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// What becomes of what no rule speaks of.
    pub default: Action,
    /// Who says so.
    pub default_source: Source,
    /// Whether drops are carried out.
    pub mode: Mode,
    /// Who says so.
    pub mode_source: Source,
}

impl Settings {
    /// What holds for one side of a subject.
    ///
    /// An endpoint with several identities takes the strictest of their settings. An identity that
    /// leaves a setting out has the one of `[defaults]`, and that counts too: so one identity more
    /// never loosens what holds for an endpoint. The host has no mode of its own and follows
    /// `[defaults]`.
    #[must_use]
    pub fn of(policy: &Policy, subject: SubjectKind<'_>, side: Side) -> Self {
        let defaults = &policy.defaults;
        let (by_default, of_host, of_identity): (_, _, fn(&Identity) -> Option<Action>) = match side
        {
            Side::Egress => (defaults.egress, defaults.host_egress, |identity| {
                identity.egress
            }),
            Side::Ingress => (defaults.ingress, defaults.host_ingress, |identity| {
                identity.ingress
            }),
        };
        let mut mode = (defaults.mode, Source::Defaults);
        let default = match subject {
            SubjectKind::Host => (of_host, Source::DefaultsHost),
            SubjectKind::Endpoint(set) if set.identities.is_empty() => {
                match defaults.unidentified {
                    Action::Allow => (Action::Allow, Source::Unidentified),
                    Action::Deny => (by_default, Source::Defaults),
                }
            }
            SubjectKind::Endpoint(set) => {
                mode = strictest(policy, set, defaults.mode, |identity| identity.mode);
                strictest(policy, set, by_default, of_identity)
            }
        };
        Self {
            default: default.0,
            default_source: default.1,
            mode: mode.0,
            mode_source: mode.1,
        }
    }
}

/// The greatest setting of an endpoint's identities: both [`Action`] and [`Mode`] are ordered from
/// lax to strict. Of equals, the first identity that says so itself is named.
fn strictest<T: Copy + Ord>(
    policy: &Policy,
    set: &EndpointSet,
    default: T,
    setting: impl Fn(&Identity) -> Option<T>,
) -> (T, Source) {
    let mut strictest: Option<(T, Source)> = None;
    for &id in &set.identities {
        let candidate = match setting(&policy.identities[id.0]) {
            Some(value) => (value, Source::Identity(id)),
            None => (default, Source::Defaults),
        };
        let better = strictest.is_none_or(|(value, source)| {
            candidate.0 > value
                || candidate.0 == value
                    && source == Source::Defaults
                    && candidate.1 != Source::Defaults
        });
        if better {
            strictest = Some(candidate);
        }
    }
    strictest.unwrap_or((default, Source::Defaults))
}

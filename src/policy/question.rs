//! What people ask about a policy on the command line, in the policy's own words.

use super::model::{Policy, TestPeer};
use super::names::Names;
use super::problem::Refusal;

/// Whom a text means: an identity, entity, network or address.
///
/// # Errors
/// Nobody is called that.
pub fn peer(policy: &Policy, text: &str) -> Result<TestPeer, Refusal> {
    let names = Names::of(policy);
    let unknown = || Refusal::new(format!("nobody is called `{text}`"), "", "correct the name");
    names.test_peer(text)?.ok_or_else(unknown)
}

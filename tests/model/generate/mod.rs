//! Cases that nobody thought of.
//!
//! - [`policy`] and [`host`] are proptest strategies: text of a policy file, and who is on the host.
//! - [`script`] is what happens: a list of [`recipe`]s, each a few random bytes that are read as choices,
//!   zero being the plainest. So a million packets cost little to make, and still shrink.
//! - [`talk`] reads a recipe as packets of a conversation: a connection opened, answered, quoted by an
//!   error, mutated; [`bytes`] builds the frames.

pub mod bytes;
pub mod host;
pub mod link;
pub mod policy;
pub mod recipe;
pub mod script;
pub mod talk;

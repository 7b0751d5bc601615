//! How much of everything a policy may hold. The limits are far beyond what people write and well
//! within what the kernel's maps and a small host can carry; what is beyond them is refused whole.

/// Bytes in one policy file.
pub const POLICY_FILE_BYTES: usize = 1 << 20;
/// Policy files in one set, `policy.d` included.
pub const POLICY_FILES: usize = 256;
/// Bytes in one network file: room for [`PREFIXES`] lines.
pub const NETWORK_FILE_BYTES: usize = 64 << 20;
/// Identities in one set.
pub const IDENTITIES: usize = 4_096;
/// Networks in one set.
pub const NETWORKS: usize = 4_096;
/// CIDRs of all networks together.
pub const PREFIXES: usize = 1_000_000;
/// Rules in one set.
pub const RULES: usize = 16_384;
/// Tests in one set.
pub const TESTS: usize = 16_384;
/// Entries in one list of a rule or an identity.
pub const LIST_ENTRIES: usize = 1_024;
/// Characters in the name of an identity or network: as in a host name.
pub const NAME_CHARACTERS: usize = 63;
/// Characters in a rule's `name`.
pub const RULE_NAME_CHARACTERS: usize = 128;
/// Characters in a glob. What a glob compiles to grows with it, and must never be too large.
pub const GLOB_CHARACTERS: usize = 256;
/// Characters in a label's key or value.
pub const LABEL_CHARACTERS: usize = 4_096;
/// Tables and arrays within each other. The language needs six.
pub const NESTING: usize = 16;
/// Errors that one report shows; the rest are only counted.
pub const DIAGNOSTICS: usize = 100;

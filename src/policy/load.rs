//! Finds and reads the policy's files.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;

use super::assemble::assemble;
use super::diagnostic::Report;
use super::limits;
use super::model::Policy;
use super::open::{Kind, Trust, open};
use super::problem::FileError;
use super::snapshot::Snapshot;
use super::source::Source;

/// Reads `path` and the `*.toml` of the folder `policy.d` beside it, in lexical order, and makes a
/// policy of them. Each file is opened once.
///
/// # Errors
/// Everything that is wrong with the set.
pub fn load(path: &Path, trust: Trust) -> Result<Policy, Report> {
    load_with_snapshot(path, trust).1
}

/// The same, and the texts that were read.
pub fn load_with_snapshot(path: &Path, trust: Trust) -> (Snapshot, Result<Policy, Report>) {
    let mut snapshot = Snapshot::default();
    let mut inputs = Vec::new();
    let mut add = |path: &Path| {
        let input = read(path, trust, limits::POLICY_FILE_BYTES);
        snapshot.add_policy(path, &input);
        inputs.push(input);
    };
    add(path);
    match list(&drop_in_folder(path), trust) {
        Ok(paths) => paths.iter().for_each(|path| add(path)),
        Err(error) => inputs.push(Err(error)),
    }
    let policy = assemble(inputs, &mut |path| {
        let input = read(path, trust, limits::NETWORK_FILE_BYTES);
        snapshot.add_network(path, &input);
        input
    });
    (snapshot, policy)
}

/// The folder of further policy files that belongs to a policy file.
#[must_use]
pub fn drop_in_folder(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join("policy.d")
}

fn read(path: &Path, trust: Trust, limit: usize) -> Result<Source, FileError> {
    let file = open(path, trust, Kind::File)?;
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| FileError {
            path: path.to_owned(),
            message: format!("cannot read {}: {error}", path.display()),
            help: "make it readable".to_owned(),
        })?;
    if bytes.len() > limit {
        return Err(FileError {
            path: path.to_owned(),
            message: format!("{} has more than {} KiB", path.display(), limit >> 10),
            help: "split it, or keep long lists of addresses in the `file` of a network".to_owned(),
        });
    }
    Ok(Source::from_bytes(path, bytes))
}

/// The `*.toml` of a folder in lexical order; none if there is no such folder. Hidden files are left
/// out, as in the shell's `*.toml`: editors put their own there.
fn list(folder: &Path, trust: Trust) -> Result<Vec<PathBuf>, FileError> {
    if std::fs::symlink_metadata(folder)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        return Ok(Vec::new());
    }
    let failed = |error: nix::Error| FileError {
        path: folder.to_owned(),
        message: format!("cannot list {}: {}", folder.display(), error.desc()),
        help: "make it a folder that can be read, or remove it".to_owned(),
    };
    let mut dir = Dir::from_fd(open(folder, trust, Kind::Folder)?).map_err(failed)?;
    let mut paths = Vec::new();
    for entry in dir.iter() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if name.ends_with(b".toml") && !name.starts_with(b".") {
            paths.push(folder.join(std::ffi::OsStr::from_bytes(name)));
        }
    }
    if paths.len() >= limits::POLICY_FILES {
        return Err(FileError {
            path: folder.to_owned(),
            message: format!("{} has {} files", folder.display(), paths.len()),
            help: format!(
                "a policy may have {} files: join some",
                limits::POLICY_FILES
            ),
        });
    }
    paths.sort_unstable();
    Ok(paths)
}

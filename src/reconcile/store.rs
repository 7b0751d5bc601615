//! What survives a restart beside the kernel's own state: the numbers that things were given, and the
//! last good policy. Every file is replaced atomically: a full disk or a crash leaves the old one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault;

/// The state directory, `/var/lib/bridgewall` unless configured otherwise.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    failures: AtomicU64,
}

impl Store {
    /// Opens the directory, and makes it (0700) if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(directory: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("make the state directory {}", directory.display()))?;
        Ok(Self {
            directory: directory.to_path_buf(),
            failures: AtomicU64::new(0),
        })
    }

    /// Reads a value back; `None` if it was never saved.
    ///
    /// # Errors
    /// The file cannot be read, or is not what this version writes.
    pub fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path(name);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("read {}", path.display()))?,
        };
        serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{} is damaged: remove it", path.display()))
    }

    /// Whether a value was ever saved.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Saves a value: written beside, synced, renamed.
    ///
    /// # Errors
    /// Any of the three failed; what was saved before is still there.
    pub fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let path = self.path(name);
        let beside = self.path(&format!("{name}.new"));
        let save = || -> Result<()> {
            fault::step("open a state file")?;
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            fault::step("write a state file")?;
            // Not as one text first: it may hold lists of a million lines.
            let mut writer = BufWriter::new(&mut file);
            serde_json::to_writer(&mut writer, value)?;
            writer.flush()?;
            drop(writer);
            fault::step("sync a state file")?;
            file.sync_all()?;
            fault::step("rename a state file")?;
            fs::rename(&beside, &path)?;
            // The rename itself is only safe once the directory is.
            fault::step("sync the state directory")?;
            File::open(&self.directory)?.sync_all()?;
            Ok(())
        };
        let saved = save();
        if saved.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        saved.with_context(|| {
            format!(
                "save {}: the version saved before is kept; is the disk full or read-only?",
                path.display()
            )
        })
    }

    /// How often a value could not be saved.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state")).unwrap();
        assert_eq!(store.load::<Vec<u32>>("numbers").unwrap(), None);
        store.save("numbers", &vec![1, 2, 3]).unwrap();
        assert_eq!(store.load("numbers").unwrap(), Some(vec![1, 2, 3]));
    }

    #[test]
    fn a_failed_save_keeps_the_old_value() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.save("numbers", &vec![1]).unwrap();
        let beside = folder.path().join("numbers.new.json");
        fs::create_dir(&beside).unwrap();
        let error = store.save("numbers", &vec![2]).unwrap_err();
        assert!(format!("{error:#}").contains("numbers.json"), "{error:#}");
        assert_eq!(store.load("numbers").unwrap(), Some(vec![1]));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        fs::write(folder.path().join("numbers.json"), "{").unwrap();
        let error = store.load::<Vec<u32>>("numbers").unwrap_err();
        assert!(
            format!("{error:#}").contains("numbers.json is damaged"),
            "{error:#}"
        );
    }
}

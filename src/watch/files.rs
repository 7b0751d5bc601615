//! Tells when a policy file may have changed.
//!
//! Files are watched by their folders: an editor that renames, an atomic replace and the swap of a
//! symbolic link (anywhere on the way to the file) all show there, and only there. A file that is
//! written in place counts when it is closed, so that no half-written one is read.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Watches a set of files that may change with what is in them.
#[derive(Debug)]
pub struct FileWatch {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

impl FileWatch {
    /// Calls `on_change`, from a thread of its own, whenever something in the watched folders has
    /// changed.
    ///
    /// # Errors
    /// The system gives no more inotify instances (`fs.inotify.max_user_instances`).
    pub fn new(on_change: impl Fn() + Send + 'static) -> notify::Result<Self> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error (a full queue, say) may hide a change, so it counts as one.
            if event.map_or(true, |event| {
                event.need_rescan() || concerns_content(event.kind)
            }) {
                on_change();
            }
        })?;
        Ok(Self {
            watcher,
            folders: BTreeSet::new(),
        })
    }

    /// Watches just these files and folders from now on, with all folders that links on the way to
    /// them lie in. Those that do not exist (yet) are watched by their nearest existing ancestor.
    ///
    /// # Errors
    /// A folder could not be watched; the others are.
    pub fn set(&mut self, paths: &[PathBuf]) -> notify::Result<()> {
        let mut wanted = BTreeSet::new();
        for path in paths {
            collect_folders(path, &mut wanted);
        }
        for gone in self.folders.difference(&wanted) {
            // A folder that was deleted has ended its watch itself.
            let _ = self.watcher.unwatch(gone);
        }
        let mut result = Ok(());
        let mut watched = BTreeSet::new();
        for folder in wanted {
            // Even those that are watched: a folder deleted and made again is another one.
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(folder);
                }
                Err(error) => result = Err(error),
            }
        }
        self.folders = watched;
        result
    }
}

fn concerns_content(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        // Written in place: the close that follows counts.
        EventKind::Modify(ModifyKind::Data(_)) => false,
        // Folders, names, links, permissions: all may change what is read, or whether it may be.
        _ => true,
    }
}

/// How many links a path may lead through: the kernel's own bound (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// The folder of `path` and of every link on the way to it.
fn collect_folders(path: &Path, folders: &mut BTreeSet<PathBuf>) {
    let mut pending = vec![path.to_path_buf()];
    let mut links = 0;
    while let Some(path) = pending.pop() {
        let mut walked = PathBuf::new();
        for component in path.components() {
            walked.push(component);
            if component == Component::RootDir || component == Component::CurDir {
                continue;
            }
            if let Ok(target) = std::fs::read_link(&walked) {
                let folder = parent(&walked);
                folders.insert(folder.clone());
                links += 1;
                if links <= LINKS_MAX {
                    pending.push(folder.join(target));
                }
            }
        }
        if path.is_dir() {
            folders.insert(path.clone());
        }
        let mut folder = parent(&path);
        while !folder.is_dir() && folder != parent(&folder) {
            folder = parent(&folder);
        }
        folders.insert(folder);
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ if path.is_absolute() => PathBuf::from("/"),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    /// Long enough that only a missing event runs into it.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn watching(paths: &[PathBuf]) -> (FileWatch, Receiver<()>) {
        let (sender, receiver) = channel();
        let mut watch = FileWatch::new(move || {
            // The test may be over already.
            let _ = sender.send(());
        })
        .expect("inotify works");
        watch.set(paths).expect("the folders exist");
        (watch, receiver)
    }

    fn assert_told(receiver: &Receiver<()>) {
        receiver
            .recv_timeout(PATIENCE)
            .expect("a change must be told");
    }

    #[test]
    fn a_file_written_in_place_is_told() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("policy.toml");
        fs::write(&file, "a").unwrap();
        let (_watch, receiver) = watching(std::slice::from_ref(&file));
        fs::write(&file, "b").unwrap();
        assert_told(&receiver);
    }

    #[test]
    fn a_file_that_another_is_renamed_onto_is_told() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("policy.toml");
        fs::write(&file, "a").unwrap();
        fs::write(folder.path().join("new"), "b").unwrap();
        let (_watch, receiver) = watching(std::slice::from_ref(&file));
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert_told(&receiver);
    }

    #[test]
    fn a_swapped_link_in_the_middle_of_the_path_is_told() {
        let folder = TempDir::new().unwrap();
        for version in ["one", "two"] {
            fs::create_dir_all(folder.path().join(version).join("deep")).unwrap();
            fs::write(
                folder.path().join(version).join("deep/policy.toml"),
                version,
            )
            .unwrap();
        }
        let current = folder.path().join("current");
        symlink("one", &current).unwrap();
        let file = current.join("deep/policy.toml");
        let (_watch, receiver) = watching(&[file]);
        symlink("two", folder.path().join("next")).unwrap();
        // The new link's own appearance is a change in the same folder already; swallow it.
        assert_told(&receiver);
        fs::rename(folder.path().join("next"), &current).unwrap();
        assert_told(&receiver);
    }

    #[test]
    fn a_change_behind_a_link_is_told() {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        let real = folder.path().join("real/policy.toml");
        fs::write(&real, "a").unwrap();
        let link = folder.path().join("etc/policy.toml");
        symlink("../real/policy.toml", &link).unwrap();
        let (_watch, receiver) = watching(&[link]);
        fs::write(&real, "b").unwrap();
        assert_told(&receiver);
    }

    #[test]
    fn a_folder_that_appears_later_is_told() {
        let folder = TempDir::new().unwrap();
        let late = folder.path().join("policy.d");
        let (mut watch, receiver) = watching(std::slice::from_ref(&late));
        fs::create_dir(&late).unwrap();
        assert_told(&receiver);
        watch.set(std::slice::from_ref(&late)).unwrap();
        while receiver.try_recv().is_ok() {}
        fs::write(late.join("extra.toml"), "a").unwrap();
        assert_told(&receiver);
    }

    #[test]
    fn a_loop_of_links_ends() {
        let folder = TempDir::new().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        let mut folders = BTreeSet::new();
        collect_folders(&folder.path().join("a"), &mut folders);
        assert!(folders.contains(folder.path()));
    }
}

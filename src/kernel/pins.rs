//! What outlives the daemon, below one folder of a bpffs:
//!
//! ```text
//! maps-<n>/<map>                  one set of maps; `layout`, written last, says that it is complete
//! links/<ifindex>-<direction>     tcx links
//! programs/<ifindex>-<direction>  what is attached there, whatever attaches it
//! constants/<ifindex>             what those programs know about the interface
//! disciplines/<ifindex>           the same once more, where we made the clsact discipline
//! ```
//!
//! The pinned programs are how a filter of ours is told from another one's. Whatever is about to be
//! attached is pinned first, with `-new` at its name's end, so that it is known even when the daemon
//! dies in between. (A dot would be more usual; bpffs has none.)

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::error::{Error, Result};
use super::sys::{self, Direction};
use crate::fault;

const LINKS: &str = "links";
const PROGRAMS: &str = "programs";
const CONSTANTS: &str = "constants";
const DISCIPLINES: &str = "disciplines";
/// The folders that have a pin for each interface.
const OF_INTERFACES: [&str; 4] = [LINKS, PROGRAMS, CONSTANTS, DISCIPLINES];
const MAPS: &str = "maps-";
const NEW: &str = "-new";
/// The pin that completes a set of maps.
pub(super) const LAYOUT: &str = "layout";

/// What the pins of one of an interface's hooks are called after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HookName(&'static str);

impl HookName {
    /// Before all others.
    pub(super) const XDP: Self = Self("xdp");
}

impl From<Direction> for HookName {
    fn from(direction: Direction) -> Self {
        Self(direction.name())
    }
}

/// The folder of pins, locked: one process at a time.
#[derive(Debug)]
pub(super) struct Pins {
    root: PathBuf,
    /// Whether a bpffs had to be mounted for it.
    pub(super) mounted: bool,
    _lock: Flock<File>,
}

impl Pins {
    /// Makes the folder if it is not there, and a bpffs for it if there is none.
    pub(super) fn create(root: &Path) -> Result<Self> {
        let parent = root
            .parent()
            .ok_or_else(|| Error::found(root.display().to_string(), "no place for pins"))?;
        let mounted = !is_bpffs(parent)?;
        if mounted {
            mount_bpffs(parent)?;
        }
        make_folder(root)?;
        for folder in OF_INTERFACES {
            make_folder(&root.join(folder))?;
        }
        Self::lock(root, mounted)
    }

    /// The folder, if it is there.
    pub(super) fn find(root: &Path) -> Result<Option<Self>> {
        if !root.exists() {
            return Ok(None);
        }
        Self::lock(root, false).map(Some)
    }

    fn lock(root: &Path, mounted: bool) -> Result<Self> {
        let what = || format!("lock {}", root.display());
        let folder = File::open(root).map_err(|error| Error::io(what(), &error))?;
        let lock = Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            if errno == nix::errno::Errno::EWOULDBLOCK {
                Error::found(
                    what(),
                    "another bridgewall process uses it; stop that one first",
                )
            } else {
                Error::io(what(), &errno.into())
            }
        })?;
        Ok(Self {
            root: root.to_owned(),
            mounted,
            _lock: lock,
        })
    }

    /// Where a map of a set is pinned.
    pub(super) fn map(&self, set: u32, name: &str) -> PathBuf {
        self.set(set).join(name)
    }

    fn set(&self, set: u32) -> PathBuf {
        self.root.join(format!("{MAPS}{set}"))
    }

    /// Makes the folder of a new set.
    pub(super) fn make_set(&self, set: u32) -> Result<()> {
        make_folder(&self.set(set))
    }

    /// Removes a set: its maps live on only where a program uses them.
    pub(super) fn remove_set(&self, set: u32) -> Result<()> {
        let folder = self.set(set);
        // The record first: what is no longer whole must not look so.
        remove_file(&folder.join(LAYOUT))?;
        remove_folder(&folder)
    }

    /// The complete sets, oldest first. What is left of others is removed.
    pub(super) fn complete_sets(&self) -> Result<Vec<u32>> {
        let mut complete = Vec::new();
        for name in names(&self.root)? {
            let Some(set) = name.strip_prefix(MAPS).and_then(|rest| rest.parse().ok()) else {
                continue;
            };
            if self.map(set, LAYOUT).exists() {
                complete.push(set);
            } else {
                self.remove_set(set)?;
            }
        }
        complete.sort_unstable();
        Ok(complete)
    }

    /// Pins a map of the newest set in the place of the one of that name.
    pub(super) fn replace_map(&self, name: &str, map: BorrowedFd<'_>) -> Result<()> {
        let Some(set) = self.complete_sets()?.pop() else {
            return Err(Error::found(
                format!("pin map {name}"),
                "there is no set of maps",
            ));
        };
        let path = self.map(set, name);
        stage(&path, map)?;
        put(&path)
    }

    fn link(&self, ifindex: u32, hook: impl Into<HookName>) -> PathBuf {
        self.root.join(LINKS).join(of(ifindex, hook))
    }

    fn program(&self, ifindex: u32, hook: impl Into<HookName>) -> PathBuf {
        self.root.join(PROGRAMS).join(of(ifindex, hook))
    }

    fn constants(&self, ifindex: u32) -> PathBuf {
        self.root.join(CONSTANTS).join(ifindex.to_string())
    }

    fn discipline(&self, ifindex: u32) -> PathBuf {
        self.root.join(DISCIPLINES).join(ifindex.to_string())
    }

    /// The interfaces that have an XDP program of ours.
    pub(super) fn xdp_interfaces(&self) -> Result<BTreeSet<u32>> {
        let mut interfaces = BTreeSet::new();
        for folder in [LINKS, PROGRAMS] {
            for name in names(&self.root.join(folder))? {
                let Some((number, hook)) = name.split_once('-') else {
                    continue;
                };
                if hook.trim_end_matches(NEW) == HookName::XDP.0 {
                    interfaces.extend(number.parse::<u32>().ok());
                }
            }
        }
        Ok(interfaces)
    }

    /// The interfaces of which anything is pinned.
    pub(super) fn interfaces(&self) -> Result<BTreeSet<u32>> {
        let mut interfaces = BTreeSet::new();
        for folder in OF_INTERFACES {
            for name in names(&self.root.join(folder))? {
                let number = name.split('-').next().unwrap_or_default();
                interfaces.extend(number.parse::<u32>().ok());
            }
        }
        Ok(interfaces)
    }

    /// The pinned link of one direction.
    pub(super) fn open_link(
        &self,
        ifindex: u32,
        hook: impl Into<HookName>,
    ) -> Result<Option<OwnedFd>> {
        open(&self.link(ifindex, hook))
    }

    /// The pinned programs of one direction: the one that is attached, and, if the daemon died while
    /// it attached another, that one.
    pub(super) fn open_programs(
        &self,
        ifindex: u32,
        hook: impl Into<HookName>,
    ) -> Result<Vec<OwnedFd>> {
        let path = self.program(ifindex, hook);
        Ok([open(&path)?, open(&new(&path))?]
            .into_iter()
            .flatten()
            .collect())
    }

    /// Where the constants are pinned, if they are.
    pub(super) fn constants_path(&self, ifindex: u32) -> Option<PathBuf> {
        Some(self.constants(ifindex)).filter(|path| path.exists())
    }

    /// Pins a link in the place of the one before.
    pub(super) fn put_link(
        &self,
        ifindex: u32,
        hook: impl Into<HookName>,
        link: BorrowedFd<'_>,
    ) -> Result<()> {
        let path = self.link(ifindex, hook);
        stage(&path, link)?;
        put(&path)
    }

    /// Removes the pin of a link.
    pub(super) fn remove_link(&self, ifindex: u32, hook: impl Into<HookName>) -> Result<()> {
        remove_file(&self.link(ifindex, hook))
    }

    /// Pins a program that is about to be attached.
    pub(super) fn stage_program(
        &self,
        ifindex: u32,
        hook: impl Into<HookName>,
        program: BorrowedFd<'_>,
    ) -> Result<()> {
        stage(&self.program(ifindex, hook), program)
    }

    /// The staged program is attached now.
    pub(super) fn put_program(&self, ifindex: u32, hook: impl Into<HookName>) -> Result<()> {
        put(&self.program(ifindex, hook))
    }

    /// Pins the constants of what is attached.
    pub(super) fn put_constants(&self, ifindex: u32, constants: BorrowedFd<'_>) -> Result<()> {
        let path = self.constants(ifindex);
        stage(&path, constants)?;
        put(&path)
    }

    /// Whether an interface's clsact discipline is one that we made.
    pub(super) fn has_discipline(&self, ifindex: u32) -> bool {
        self.discipline(ifindex).exists()
    }

    /// Remembers that an interface's clsact discipline is ours. A bpffs remembers objects only; any will
    /// do.
    pub(super) fn put_discipline(&self, ifindex: u32, object: BorrowedFd<'_>) -> Result<()> {
        let path = self.discipline(ifindex);
        stage(&path, object)?;
        put(&path)
    }

    /// Forgets that an interface's clsact discipline is ours.
    pub(super) fn remove_discipline(&self, ifindex: u32) -> Result<()> {
        remove_file(&self.discipline(ifindex))
    }

    /// Removes everything of one interface but its XDP program.
    pub(super) fn forget(&self, ifindex: u32) -> Vec<Error> {
        let hooks = Direction::BOTH.map(HookName::from);
        let mut errors = self.forget_hooks(ifindex, &hooks);
        for path in [self.constants(ifindex), self.discipline(ifindex)] {
            errors.extend(forget(&path));
        }
        errors
    }

    /// Removes the link and the program of some of an interface's hooks.
    pub(super) fn forget_hooks(&self, ifindex: u32, hooks: &[HookName]) -> Vec<Error> {
        hooks
            .iter()
            .flat_map(|&hook| [self.link(ifindex, hook), self.program(ifindex, hook)])
            .flat_map(|path| forget(&path))
            .collect()
    }

    /// Removes everything, the folder too; goes on past errors.
    pub(super) fn remove_all(self) -> Vec<Error> {
        let mut errors = Vec::new();
        match names(&self.root) {
            Ok(names) => {
                for name in names {
                    errors.extend(remove_folder(&self.root.join(name)).err());
                }
            }
            Err(error) => errors.push(error),
        }
        errors.extend(remove_folder(&self.root).err());
        errors
    }
}

fn of(ifindex: u32, hook: impl Into<HookName>) -> String {
    format!("{ifindex}-{}", hook.into().0)
}

/// The name of what is about to be put at `path`.
fn new(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(NEW);
    name.into()
}

/// Removes a pin, and the one that was about to be put there.
fn forget(path: &Path) -> Vec<Error> {
    [new(path), path.to_owned()]
        .iter()
        .filter_map(|path| remove_file(path).err())
        .collect()
}

fn stage(path: &Path, object: BorrowedFd<'_>) -> Result<()> {
    let path = new(path);
    remove_file(&path)?;
    sys::pin(object.as_fd(), &path)
        .map_err(|error| Error::io(format!("pin {}", path.display()), &error))
}

fn put(path: &Path) -> Result<()> {
    fault::step("put a pin in its place")
        .and_then(|()| fs::rename(new(path), path))
        .map_err(|error| Error::io(format!("pin {}", path.display()), &error))
}

fn open(path: &Path) -> Result<Option<OwnedFd>> {
    match sys::open_pin(path) {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("open pin {}", path.display()), &error)),
    }
}

fn is_bpffs(path: &Path) -> Result<bool> {
    statfs(path)
        .map(|fs| fs.filesystem_type() == BPF_FS_MAGIC)
        .map_err(|errno| {
            Error::io(
                format!("look for a bpffs at {}", path.display()),
                &errno.into(),
            )
        })
}

fn mount_bpffs(path: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), path, Some("bpf"), flags, Some("mode=0700"))
        .map_err(|errno| Error::io(format!("mount bpffs at {}", path.display()), &errno.into()))
}

/// A folder for root only.
fn make_folder(path: &Path) -> Result<()> {
    let what = || format!("make folder {}", path.display());
    let make = || {
        fault::step("make a folder")?;
        fs::DirBuilder::new().mode(0o700).create(path)
    };
    match make() {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io(what(), &error))
        }
        _ => fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|error| Error::io(what(), &error)),
    }
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(format!("list {}", folder.display()), &error)),
    };
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

fn remove_file(path: &Path) -> Result<()> {
    match fault::step("remove a pin").and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove pin {}", path.display()), &error))
        }
        _ => Ok(()),
    }
}

/// Removes a folder with the pins in it.
fn remove_folder(folder: &Path) -> Result<()> {
    for name in names(folder)? {
        remove_file(&folder.join(name))?;
    }
    match fault::step("remove a folder").and_then(|()| fs::remove_dir(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(
            format!("remove folder {}", folder.display()),
            &error,
        )),
        _ => Ok(()),
    }
}

//! Mounts: what the option words of a specification mean.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use serde::{Deserialize, Serialize};

use super::{absolute, no_nul};
use crate::container::error::{EngineError, Result};
use crate::container::sys::MountAttributes;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountPlan {
    /// Where, in the container.
    pub(crate) destination: PathBuf,
    /// What.
    pub(crate) kind: MountKind,
    /// `MOUNT_ATTR_*` of this mount alone: to set, to clear.
    pub(crate) attributes: (u64, u64),
    /// The same for the whole tree of a recursive bind.
    pub(crate) tree_attributes: (u64, u64),
    /// Changes of propagation, in order.
    pub(crate) propagation: Vec<Propagation>,
    /// It begins with a copy of what it is mounted over.
    pub(crate) copy_up: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MountKind {
    /// A file or folder of the guest.
    Bind {
        /// Which.
        source: PathBuf,
        /// With the mounts below it.
        recursive: bool,
    },
    /// A new instance of a file system.
    Filesystem {
        /// Its type.
        fstype: String,
        /// Its source.
        source: String,
        /// Parameters, with a value or without.
        parameters: Vec<(String, Option<String>)>,
    },
    /// The container's cgroup.
    Cgroup,
    /// Nothing new: other attributes for what is mounted there.
    Remount,
}

/// A change of how mounts below travel between mount namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Propagation {
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or `MS_UNBINDABLE`.
    pub(crate) kind: u64,
    /// For the mounts below it, too.
    pub(crate) recursive: bool,
}

impl Propagation {
    /// The change as the kernel takes it.
    pub(crate) fn attributes(self) -> MountAttributes {
        MountAttributes {
            propagation: self.kind,
            ..MountAttributes::default()
        }
    }
}

/// What an option word does.
enum Word {
    Set(u64),
    Clear(u64),
    Atime(u64),
    TreeSet(u64),
    TreeClear(u64),
    TreeAtime(u64),
    Bind(bool),
    Remount,
    Propagation(Propagation),
    CopyUp,
    /// A flag of the file system itself.
    Superblock,
    Nothing,
}

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const ATIME: u64 = libc::MOUNT_ATTR__ATIME;

/// File systems that have no device: read-only is a matter of the mount.
const WITHOUT_DEVICE: [&str; 6] = ["proc", "sysfs", "tmpfs", "devtmpfs", "devpts", "mqueue"];

pub(super) fn mounts(mounts: &[Mount]) -> Result<Vec<MountPlan>> {
    mounts.iter().map(mount).collect()
}

/// `/dev` belongs to the container unless it is a bind of somebody else's.
pub(super) fn own_dev(mounts: &[MountPlan]) -> bool {
    !mounts.iter().any(|mount| {
        mount.destination == Path::new("/dev") && matches!(mount.kind, MountKind::Bind { .. })
    })
}

pub(super) fn root_propagation(word: &str) -> Result<Propagation> {
    match propagation(word) {
        Some(propagation) => Ok(propagation),
        None => Err(EngineError::invalid(format!(
            "linux.rootfsPropagation: {word:?} is none of [r]private, [r]slave, [r]shared, \
             [r]unbindable"
        ))),
    }
}

fn mount(mount: &Mount) -> Result<MountPlan> {
    let destination = absolute("mounts", mount.destination())?;
    let refuse =
        |why: String| EngineError::invalid(format!("mounts: {}: {why}", destination.display()));
    let mut options = Options::default();
    for option in mount.options().iter().flatten() {
        no_nul("mounts", option)?;
        options.take(option).map_err(|why| refuse(why.to_owned()))?;
    }
    let fstype = mount.typ().as_deref().unwrap_or_default();
    if options.copy_up && fstype != "tmpfs" {
        return Err(refuse("tmpcopyup is an option of tmpfs alone".to_owned()));
    }
    no_nul("mounts", fstype)?;
    let source = mount
        .source()
        .as_ref()
        .and_then(|source| source.to_str())
        .unwrap_or_default();
    no_nul("mounts", source)?;
    let kind = match options.bind.or((fstype == "bind").then_some(false)) {
        _ if options.remount => MountKind::Remount,
        Some(_) if source.is_empty() => return Err(refuse("a bind needs a source".to_owned())),
        Some(recursive) => {
            if let Some((name, _)) = options.parameters.first() {
                return Err(refuse(format!("{name:?} is not an option of a bind")));
            }
            MountKind::Bind {
                source: absolute("mounts", Path::new(source))?,
                recursive,
            }
        }
        None => match fstype {
            "" | "none" => return Err(refuse("neither a type nor a bind".to_owned())),
            "cgroup" | "cgroup2" => MountKind::Cgroup,
            fstype => {
                if options.attributes.0 & RDONLY != 0 && !WITHOUT_DEVICE.contains(&fstype) {
                    options.parameters.push(("ro".to_owned(), None));
                }
                MountKind::Filesystem {
                    fstype: fstype.to_owned(),
                    source: if source.is_empty() { fstype } else { source }.to_owned(),
                    parameters: options.parameters,
                }
            }
        },
    };
    Ok(MountPlan {
        destination,
        kind,
        attributes: options.attributes,
        tree_attributes: options.tree_attributes,
        propagation: options.propagation,
        copy_up: options.copy_up,
    })
}

#[derive(Default)]
struct Options {
    attributes: (u64, u64),
    tree_attributes: (u64, u64),
    bind: Option<bool>,
    remount: bool,
    propagation: Vec<Propagation>,
    copy_up: bool,
    parameters: Vec<(String, Option<String>)>,
}

impl Options {
    fn take(&mut self, option: &str) -> std::result::Result<(), &'static str> {
        let Some(word) = word(option) else {
            if option.is_empty() {
                return Err("an option is empty");
            }
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            if matches!(name, "idmap" | "ridmap") {
                return Err("mapped ids are not supported");
            }
            self.parameters.push((name.to_owned(), value));
            return Ok(());
        };
        match word {
            Word::Set(flag) => change(&mut self.attributes, flag, flag),
            Word::Clear(flag) => change(&mut self.attributes, 0, flag),
            Word::Atime(value) => change(&mut self.attributes, value, ATIME),
            Word::TreeSet(flag) => change(&mut self.tree_attributes, flag, flag),
            Word::TreeClear(flag) => change(&mut self.tree_attributes, 0, flag),
            Word::TreeAtime(value) => change(&mut self.tree_attributes, value, ATIME),
            Word::Bind(recursive) => self.bind = Some(recursive || self.bind == Some(true)),
            Word::Remount => self.remount = true,
            Word::Propagation(propagation) => self.propagation.push(propagation),
            Word::CopyUp => self.copy_up = true,
            Word::Superblock => self.parameters.push((option.to_owned(), None)),
            Word::Nothing => {}
        }
        Ok(())
    }
}

/// Gives the attributes under `mask` the value `value`; later words win.
fn change(attributes: &mut (u64, u64), value: u64, mask: u64) {
    attributes.0 = attributes.0 & !mask | value;
    // The kernel wants the whole field of access times cleared before a value is set.
    attributes.1 = attributes.1 & !mask | if mask == ATIME { ATIME } else { mask & !value };
}

fn word(option: &str) -> Option<Word> {
    use Word::{Atime, Clear, Set, TreeAtime, TreeClear, TreeSet};
    let word = match option {
        "ro" => Set(RDONLY),
        "rw" => Clear(RDONLY),
        "nosuid" => Set(libc::MOUNT_ATTR_NOSUID),
        "suid" => Clear(libc::MOUNT_ATTR_NOSUID),
        "nodev" => Set(libc::MOUNT_ATTR_NODEV),
        "dev" => Clear(libc::MOUNT_ATTR_NODEV),
        "noexec" => Set(libc::MOUNT_ATTR_NOEXEC),
        "exec" => Clear(libc::MOUNT_ATTR_NOEXEC),
        "nodiratime" => Set(libc::MOUNT_ATTR_NODIRATIME),
        "diratime" => Clear(libc::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => Set(libc::MOUNT_ATTR_NOSYMFOLLOW),
        "symfollow" => Clear(libc::MOUNT_ATTR_NOSYMFOLLOW),
        "noatime" => Atime(libc::MOUNT_ATTR_NOATIME),
        "strictatime" => Atime(libc::MOUNT_ATTR_STRICTATIME),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => Atime(libc::MOUNT_ATTR_RELATIME),
        "rro" => TreeSet(RDONLY),
        "rrw" => TreeClear(RDONLY),
        "rnosuid" => TreeSet(libc::MOUNT_ATTR_NOSUID),
        "rsuid" => TreeClear(libc::MOUNT_ATTR_NOSUID),
        "rnodev" => TreeSet(libc::MOUNT_ATTR_NODEV),
        "rdev" => TreeClear(libc::MOUNT_ATTR_NODEV),
        "rnoexec" => TreeSet(libc::MOUNT_ATTR_NOEXEC),
        "rexec" => TreeClear(libc::MOUNT_ATTR_NOEXEC),
        "rnodiratime" => TreeSet(libc::MOUNT_ATTR_NODIRATIME),
        "rdiratime" => TreeClear(libc::MOUNT_ATTR_NODIRATIME),
        "rnosymfollow" => TreeSet(libc::MOUNT_ATTR_NOSYMFOLLOW),
        "rsymfollow" => TreeClear(libc::MOUNT_ATTR_NOSYMFOLLOW),
        "rnoatime" => TreeAtime(libc::MOUNT_ATTR_NOATIME),
        "rstrictatime" => TreeAtime(libc::MOUNT_ATTR_STRICTATIME),
        "rrelatime" | "ratime" | "rnorelatime" | "rnostrictatime" => {
            TreeAtime(libc::MOUNT_ATTR_RELATIME)
        }
        "bind" => Word::Bind(false),
        "rbind" => Word::Bind(true),
        "remount" => Word::Remount,
        "tmpcopyup" => Word::CopyUp,
        "sync" | "dirsync" | "mand" | "lazytime" => Word::Superblock,
        "defaults" | "async" | "nomand" | "nolazytime" | "silent" | "loud" => Word::Nothing,
        other => return propagation(other).map(Word::Propagation),
    };
    Some(word)
}

fn propagation(word: &str) -> Option<Propagation> {
    let (recursive, kind) = match word {
        "private" | "rprivate" => (word == "rprivate", libc::MS_PRIVATE),
        "slave" | "rslave" => (word == "rslave", libc::MS_SLAVE),
        "shared" | "rshared" => (word == "rshared", libc::MS_SHARED),
        "unbindable" | "runbindable" => (word == "runbindable", libc::MS_UNBINDABLE),
        _ => return None,
    };
    Some(Propagation { kind, recursive })
}

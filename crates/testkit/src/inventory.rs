//! What there is on the host that bears a test's ids or lies below its state root: to be the same
//! after a test as before it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The first word of a descriptor's item.
const DESCRIPTOR: &str = "descriptor";

/// Processes, mounts, network namespaces, cgroups, files of every kind, and descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    items: BTreeSet<String>,
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The state root; all below it counts, but the empty folders that are made once for all
    /// sandboxes.
    pub root: PathBuf,
    /// What is in the name of everything else, unique on the host.
    pub prefix: String,
    /// Whether our own open descriptors count. Only when nothing else happens in this process.
    pub descriptors: bool,
}

impl Inventory {
    /// Looks everywhere.
    ///
    /// Errors: `/proc` or the state root cannot be read.
    pub fn take(scope: &Scope) -> io::Result<Self> {
        let mut items = BTreeSet::new();
        processes(scope, &mut items)?;
        mounts(scope, &mut items)?;
        namespaces(scope, &mut items);
        cgroups(Path::new("/sys/fs/cgroup"), &scope.prefix, &mut items);
        files(&scope.root, 0, &mut items)?;
        if scope.descriptors {
            descriptors(&mut items)?;
        }
        Ok(Self { items })
    }

    /// What is here and was not there, and what was there and is not here, a line each. Descriptors
    /// that were closed meanwhile do not count.
    pub fn compared_with(&self, before: &Self) -> Vec<String> {
        let new = self.items.difference(&before.items);
        let lost = before.items.difference(&self.items);
        let lost = lost.filter(|item| !item.starts_with(DESCRIPTOR));
        new.map(|item| format!("left behind: {item}"))
            .chain(lost.map(|item| format!("gone: {item}")))
            .collect()
    }
}

/// Whether a thread of a process, given by its folder in `/proc`, works in a folder. The first thread of
/// a supervisor has left the host's files.
pub fn works_in(process: &Path, folder: &Path) -> bool {
    let threads = fs::read_dir(process.join("task"));
    let mut places = threads.into_iter().flatten().flatten().map(|thread| {
        let place = fs::read_link(thread.path().join("cwd"));
        place.unwrap_or_default()
    });
    places.any(|place| place.starts_with(folder))
}

fn processes(scope: &Scope, items: &mut BTreeSet<String>) -> io::Result<()> {
    let root = scope.root.display().to_string();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        // A process may end while it is looked at.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if works_in(&entry.path(), &scope.root)
            || line.contains(&root)
            || line.contains(&scope.prefix)
        {
            items.insert(format!("process {pid}: {line}"));
        }
    }
    Ok(())
}

fn mounts(scope: &Scope, items: &mut BTreeSet<String>) -> io::Result<()> {
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        let place = line.split(' ').nth(4).unwrap_or_default();
        if Path::new(place).starts_with(&scope.root) || place.contains(&scope.prefix) {
            let number = line.split(' ').next().unwrap_or_default();
            items.insert(format!("mount {number} at {place}"));
        }
    }
    Ok(())
}

/// Links and queueing disciplines live in a namespace and go with it.
fn namespaces(scope: &Scope, items: &mut BTreeSet<String>) {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(&scope.prefix) {
            items.insert(format!("network namespace {name}"));
        }
    }
}

fn cgroups(directory: &Path, prefix: &str, items: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(prefix) {
            items.insert(format!("cgroup {}", entry.path().display()));
        }
        cgroups(&entry.path(), prefix, items);
    }
}

fn files(directory: &Path, depth: usize, items: &mut BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if !(kind.is_dir() && depth == 0) {
            items.insert(format!("{kind:?} {}", path.display()));
        }
        if kind.is_dir() {
            files(&path, depth + 1, items)?;
        }
    }
    Ok(())
}

/// Descriptors have no names that last, so they are counted by what they are.
fn descriptors(items: &mut BTreeSet<String>) -> io::Result<()> {
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        // The one with which the folder is read is closed by the time it is looked at.
        let Ok(target) = fs::read_link(entry?.path()) else {
            continue;
        };
        let target = target.display().to_string();
        // Sockets and pipes have numbers; an anonymous inode's word says what it is.
        let kind = match target.split_once(":[") {
            Some((kind, _)) if kind != "anon_inode" => kind.to_owned(),
            _ => target,
        };
        let count = kinds.entry(kind.clone()).or_default();
        *count += 1;
        items.insert(format!("{DESCRIPTOR} {count} of {kind}"));
    }
    Ok(())
}

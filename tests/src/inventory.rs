//! What there is on the host that bears a test's ids or its state root.

use std::collections::BTreeSet;
use std::path::Path;

pub use virtcontainers_testkit::inventory::works_in;

use anyhow::Result;

/// Processes, mounts, namespaces, cgroups and files of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    items: BTreeSet<String>,
}

impl Inventory {
    /// Looks for everything that bears `prefix` or lies below `root`. Locks are not counted: their
    /// files outlive what they lock.
    pub fn take(prefix: &str, root: &Path) -> Result<Self> {
        let mut items = BTreeSet::new();
        let root_text = root.display().to_string();
        processes(prefix, &root_text, &mut items)?;
        mounts(prefix, &root_text, &mut items)?;
        names_in(Path::new("/run/netns"), "namespace", prefix, &mut items);
        cgroups(Path::new("/sys/fs/cgroup"), prefix, 0, &mut items);
        files(root, &mut items);
        Ok(Self { items })
    }

    /// All of them, each as what it is and its name.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(String::as_str)
    }

    /// What is here and was not there.
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.items.difference(&before.items).cloned().collect()
    }
}

fn processes(prefix: &str, root: &str, items: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        // A process may end while it is looked at.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let nonce = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let marked = nonce
            .split(|byte| *byte == 0)
            .any(|entry| entry.starts_with(b"VC_NONCE="));
        let ours = line.contains(prefix)
            || line.contains(root)
            || works_in(&entry.path(), Path::new(root));
        if ours && (marked || !line.is_empty()) {
            items.insert(format!("process {pid}: {line}"));
        }
    }
    Ok(())
}

fn mounts(prefix: &str, root: &str, items: &mut BTreeSet<String>) -> Result<()> {
    for line in std::fs::read_to_string("/proc/self/mountinfo")?.lines() {
        let place = line.split(' ').nth(4).unwrap_or_default();
        if place.contains(prefix) || place.starts_with(root) {
            items.insert(format!("mount {place}"));
        }
    }
    Ok(())
}

fn names_in(directory: &Path, what: &str, prefix: &str, items: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(prefix) {
            items.insert(format!("{what} {name}"));
        }
    }
}

fn cgroups(directory: &Path, prefix: &str, depth: usize, items: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || depth > 4 {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(prefix) {
            items.insert(format!("cgroup {}", entry.path().display()));
        }
        cgroups(&entry.path(), prefix, depth + 1, items);
    }
}

fn files(directory: &Path, items: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory {
            files(&path, items);
        } else if path.parent().and_then(Path::file_name) != Some("locks".as_ref()) {
            items.insert(format!("file {}", path.display()));
        }
    }
}

//! What a manager and its runtime leave on the host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use virtcontainers_tests::{Inventory, Place};

/// How long a process may take to end after the command that ended its work, in seconds.
const PATIENCE_S: i64 = 20;

/// Where cgroup hierarchies are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// What there was at first.
#[derive(Debug)]
pub(crate) struct Left {
    before: BTreeSet<String>,
}

impl Left {
    pub(crate) fn look(place: &Place) -> Result<Self> {
        Ok(Self {
            before: items(place)?,
        })
    }

    /// Waits for all processes that bear the test's name, each for a while.
    pub(crate) fn await_ends(&self, place: &Place) -> Result<()> {
        for pid in processes(&self.now(place)?) {
            await_end(pid)?;
        }
        Ok(())
    }

    /// Fails if there is anything that was not there at first. Processes may still be about to end, and
    /// are waited for.
    pub(crate) fn assert_nothing(&self, place: &Place) -> Result<()> {
        self.await_ends(place)?;
        remove_cgroups(place)?;
        let left = self.now(place)?;
        ensure!(left.is_empty(), "left behind: {left:#?}");
        Ok(())
    }

    /// Ends all processes that bear the test's name, and undoes its mounts.
    pub(crate) fn end_everything(&self, place: &Place) -> Result<()> {
        for pid in processes(&self.now(place)?) {
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(process) => pidfd_send_signal(process, Signal::KILL)?,
                Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
            await_end(pid)?;
        }
        for mount in self.now(place)?.iter().rev() {
            if let Some(path) = mount.strip_prefix("mount ") {
                unmount(path, UnmountFlags::DETACH).with_context(|| path.to_owned())?;
            }
        }
        remove_cgroups(place)
    }

    fn now(&self, place: &Place) -> Result<BTreeSet<String>> {
        Ok(items(place)?.difference(&self.before).cloned().collect())
    }
}

/// All that bears the test's name or lies in its folder, but files: they go with the folder.
fn items(place: &Place) -> Result<BTreeSet<String>> {
    let all = Inventory::take(place.prefix(), &place.path(""))?;
    let items = all.items().filter(|item| !item.starts_with("file "));
    Ok(items.map(str::to_owned).collect())
}

fn processes(items: &BTreeSet<String>) -> Vec<Pid> {
    let pids = items.iter().filter_map(|item| {
        let (pid, _) = item.strip_prefix("process ")?.split_once(':')?;
        Pid::from_raw(pid.parse().ok()?)
    });
    pids.collect()
}

/// Waits for the end of a process, for a while.
pub(crate) fn await_end(pid: Pid) -> Result<()> {
    let patience = Timespec {
        tv_sec: PATIENCE_S,
        tv_nsec: 0,
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => {
            poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience))?;
            Ok(())
        }
        Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the test's cgroup of each hierarchy, in which nothing may be but a manager's own.
fn remove_cgroups(place: &Place) -> Result<()> {
    let all = hierarchies()?;
    all.iter()
        .try_for_each(|hierarchy| remove_tree(&hierarchy.join(place.prefix())))
}

fn remove_tree(cgroup: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(cgroup) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let path = entry.path();
            let name = entry.file_name();
            ensure!(
                is_a_managers(&name.to_string_lossy()),
                "left: {}",
                path.display()
            );
            remove_tree(&path)?;
        }
    }
    remove(cgroup)
}

/// Podman leaves the cgroup of its helper, and the pod's in hierarchies without controllers, with
/// every runtime. A container's own is the runtime's to remove.
fn is_a_managers(name: &str) -> bool {
    name == "conmon" || (name.len() == 64 && name.bytes().all(|sign| sign.is_ascii_hexdigit()))
}

fn remove(cgroup: &Path) -> Result<()> {
    let result = std::fs::remove_dir(cgroup);
    result.with_context(|| format!("cannot remove the cgroup {}", cgroup.display()))
}

/// The root of each hierarchy: one with version 2, several with version 1.
pub(crate) fn hierarchies() -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from(CGROUPS)];
    for entry in std::fs::read_dir(CGROUPS)? {
        let entry = entry?;
        // Links stand for the same hierarchy under a second name.
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

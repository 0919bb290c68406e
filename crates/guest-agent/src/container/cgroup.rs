//! The cgroup of a container, in the unified hierarchy (version 2).

mod devices;
mod events;
mod limits;
mod place;
mod stats;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxDevice, LinuxResources};
use rustix::fs::{CWD, Mode, OFlags, openat};
use virtcontainers_agent_proto::agent::CgroupStats;

pub(crate) use events::OomWatch;

use super::error::{EngineError, Result, Step as _};
use super::sys;

/// Controllers that containers are given, where the kernel has them.
const CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

/// The hierarchy, and the folders in it that we have made above those of containers.
#[derive(Debug, Clone)]
pub(crate) struct Hierarchy {
    root: PathBuf,
    parents: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Hierarchy {
    /// The hierarchy mounted at `root`; nothing is touched yet.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            parents: Arc::default(),
        }
    }

    /// The folder that a specification's `cgroupsPath` means.
    ///
    /// # Errors
    /// Invalid for a path that leads out of the hierarchy, or to its root.
    pub(crate) fn locate(&self, cgroups_path: Option<&Path>, id: &str) -> Result<PathBuf> {
        Ok(self.root.join(place::place(cgroups_path, id)?))
    }

    /// Makes a cgroup with limits; nothing of it is left on failure.
    ///
    /// # Errors
    /// Already exists when something is in the folder; invalid for limits that make no sense;
    /// internal when the kernel refuses.
    pub(crate) fn create(&self, dir: &Path, resources: &LinuxResources) -> Result<Cgroup> {
        let writes = limits::writes(resources, &limits::Current::default())?;
        self.make_parents(dir)?;
        let made = fs::create_dir(dir).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => EngineError::new(
                super::ErrorKind::AlreadyExists,
                format!(
                    "make the cgroup {}: it is there; remove its container",
                    dir.display()
                ),
            ),
            _ => EngineError::internal(format!("make the cgroup {}: {error}", dir.display())),
        });
        let cgroup = made.and_then(|()| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = openat(CWD, dir, flags, Mode::empty())
                .step(|| format!("open the cgroup {}", dir.display()))?;
            Ok(Cgroup {
                dir: dir.to_owned(),
                folder,
                hierarchy: self.clone(),
                device_program: Mutex::new(None),
            })
        });
        let cgroup = cgroup.inspect_err(|_| self.forget_parents(dir))?;
        if let Err(error) = cgroup.apply(&writes) {
            if let Err(more) = cgroup.delete() {
                log::warn!("undo: {more}");
            }
            return Err(error);
        }
        Ok(cgroup)
    }

    fn make_parents(&self, dir: &Path) -> Result<()> {
        let mut above: Vec<&Path> = dir
            .ancestors()
            .skip(1)
            .take_while(|path| path.starts_with(&self.root))
            .collect();
        above.reverse();
        for parent in above {
            match fs::create_dir(parent) {
                Ok(()) => {
                    self.lock().insert(parent.to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    self.forget_parents(parent);
                    let parent = parent.display();
                    return Err(EngineError::internal(format!(
                        "make the cgroup {parent}: {error}"
                    )));
                }
            }
            hand_down(parent).inspect_err(|_| self.forget_parents(dir))?;
        }
        Ok(())
    }

    /// Removes the folders above `dir` that we have made and that nobody uses.
    fn forget_parents(&self, dir: &Path) {
        for parent in dir.ancestors().skip(1) {
            let mut parents = self.lock();
            if !parents.contains(parent) || fs::remove_dir(parent).is_err() {
                return;
            }
            parents.remove(parent);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.parents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives all our controllers to the children of a cgroup.
fn hand_down(parent: &Path) -> Result<()> {
    let what = || format!("hand controllers down from {}", parent.display());
    let there = fs::read_to_string(parent.join("cgroup.controllers")).step(what)?;
    let enabled = fs::read_to_string(parent.join("cgroup.subtree_control")).step(what)?;
    let missing: Vec<String> = there
        .split_whitespace()
        .filter(|name| CONTROLLERS.contains(name))
        .filter(|name| !enabled.split_whitespace().any(|on| on == *name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    fs::write(parent.join("cgroup.subtree_control"), missing.join(" ")).step(what)
}

/// Device rules, compiled.
#[derive(Debug)]
pub(crate) struct DeviceProgram(Vec<u64>);

impl DeviceProgram {
    /// Compiles the rules of a container that has these devices.
    ///
    /// # Errors
    /// Invalid for rules that make no sense.
    pub(crate) fn compile(resources: &LinuxResources, devices: &[LinuxDevice]) -> Result<Self> {
        let rules = resources.devices().as_deref().unwrap_or_default();
        devices::program(rules, devices).map(Self)
    }
}

/// One container's cgroup. Dropping it leaves it there; see [`Self::delete`].
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: PathBuf,
    folder: OwnedFd,
    hierarchy: Hierarchy,
    device_program: Mutex<Option<OwnedFd>>,
}

impl Cgroup {
    /// Its folder, for cloning into it.
    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Changes limits, and device rules if there are some.
    ///
    /// # Errors
    /// Invalid for limits that make no sense, before anything is changed; internal when the
    /// kernel refuses one.
    pub(crate) fn update(&self, resources: &LinuxResources) -> Result<()> {
        // What the kernel does not have is not in force.
        let text = |file: &str| fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        let current = limits::Current::read(&text("cpu.max"), &text("memory.max"));
        let writes = limits::writes(resources, &current)?;
        let rules = resources.devices().as_deref().unwrap_or_default();
        let program = if rules.is_empty() {
            None
        } else {
            Some(DeviceProgram::compile(resources, &[])?)
        };
        self.apply(&writes)?;
        program.map_or(Ok(()), |program| self.confine(&program))
    }

    fn apply(&self, writes: &[limits::Write]) -> Result<()> {
        writes.iter().try_for_each(|write| {
            let what = || format!("set {} to {}", write.file, write.value);
            match fs::OpenOptions::new()
                .write(true)
                .open(self.dir.join(write.file.as_ref()))
            {
                Ok(mut file) => io::Write::write_all(&mut file, write.value.as_bytes()).step(what),
                // No limit is what a kernel without the controller has.
                Err(error) if error.kind() == io::ErrorKind::NotFound && write.is_none() => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(
                    EngineError::internal(format!("{}: this kernel has no such limit", what())),
                ),
                Err(error) => Err(error).step(what),
            }
        })
    }

    /// Puts device rules in force, in place of those before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn confine(&self, program: &DeviceProgram) -> Result<()> {
        let what = || "set the device rules".to_owned();
        let program = sys::load_device_program(&program.0).step(what)?;
        let mut current = self
            .device_program
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sys::attach_device_program(&self.folder, &program, current.as_ref()).step(what)?;
        *current = Some(program);
        Ok(())
    }

    /// Sends SIGKILL to everything in it and below it, frozen or not. Does not wait.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn kill(&self) -> Result<()> {
        self.write("cgroup.kill", "1")
    }

    /// Freezes or thaws everything in it, and waits until that is so.
    ///
    /// # Errors
    /// When the kernel refuses, or it is not so after `patience`.
    pub(crate) async fn freeze(&self, frozen: bool, patience: Duration) -> Result<()> {
        let word = if frozen { "1" } else { "0" };
        self.write("cgroup.freeze", word)?;
        events::wait(&self.dir, "frozen", word, patience).await
    }

    /// Waits until no process is in it or below it.
    ///
    /// # Errors
    /// When that is not so after `patience`.
    pub(crate) async fn emptied(&self, patience: Duration) -> Result<()> {
        events::wait(&self.dir, "populated", "0", patience).await
    }

    /// Reads all counters.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn stats(&self) -> Result<CgroupStats> {
        stats::read(&self.dir)
    }

    /// The numbers of all processes in it and below it, as the agent sees them, at most `most`.
    /// None when it is gone.
    pub(crate) fn members(&self, most: usize) -> Vec<i32> {
        let mut members = Vec::new();
        for dir in tree(&self.dir) {
            // A threaded cgroup has no list, and one that goes has nobody.
            let list = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            // 0 stands for one that is not in the agent's pid namespace.
            let numbers = list.lines().filter_map(|line| line.parse::<i32>().ok());
            members.extend(numbers.filter(|pid| *pid > 0));
            if members.len() >= most {
                break;
            }
        }
        members.truncate(most);
        members
    }

    /// Watches for victims of the out-of-memory killer.
    ///
    /// # Errors
    /// When the kernel does not count them, or it is gone.
    pub(crate) fn oom_watch(&self) -> Result<OomWatch> {
        OomWatch::new(&self.dir)
    }

    /// Removes it with what the container has made below it, and the folders above it that only
    /// it used. That it is gone already is no error.
    ///
    /// # Errors
    /// When there are still processes in it.
    pub(crate) fn delete(&self) -> Result<()> {
        for dir in tree(&self.dir).iter().rev() {
            match fs::remove_dir(dir) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).step(|| format!("remove the cgroup {}", dir.display()));
                }
            }
        }
        self.hierarchy.forget_parents(&self.dir);
        Ok(())
    }

    /// Ends and removes all, waiting on this very thread: for when something else has failed.
    pub(crate) fn destroy(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let ended = self
            .kill()
            .and_then(|()| events::wait_here(&self.dir, deadline));
        if let Err(error) = ended.and_then(|()| self.delete()) {
            log::warn!("undo: {error}");
        }
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        fs::write(self.dir.join(file), value)
            .step(|| format!("write {value} to {}", self.dir.join(file).display()))
    }
}

/// A cgroup and all below it, each before what is below it.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = all.get(next) {
        let below = fs::read_dir(dir).into_iter().flatten().flatten();
        let below: Vec<PathBuf> = below
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        all.extend(below);
        next += 1;
    }
    all
}

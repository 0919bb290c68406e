//! Removing a cgroup: what still lives in it moves up, what is dying is waited for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::errno;
use crate::event::{Events, Woken};
use crate::tree::{PROCS, is_gone, processes, put};
use crate::{Error, ErrorKind};

/// The lists of a cgroup's threads: of v2, of v1.
const THREADS: [&str; 2] = ["cgroup.threads", "tasks"];
/// Tells of v2 whether anything is left in a cgroup, by an event.
const EVENTS: &str = "cgroup.events";

/// Removes a cgroup with all below it. Processes in it move to the nearest cgroup above that is not
/// in `ours` and takes them. A cgroup that does not exist is removed.
///
/// Errors: `Timeout` when something in it neither moves nor ends before the deadline; `Denied`,
/// `Internal`.
pub(crate) fn remove(directory: &Path, ours: &[PathBuf], deadline: Instant) -> Result<(), Error> {
    let failed = |source| Error::system("remove the cgroup", directory, source);
    for child in children(directory).map_err(failed)? {
        remove(&child, ours, deadline)?;
    }
    loop {
        move_up(directory, ours).map_err(failed)?;
        if remove_if_empty(directory).map_err(failed)? {
            return Ok(());
        }
        // Watched first and tried again then, so that no end falls between the two.
        let mut events = Events::new().map_err(failed)?;
        let someone_ended = watch(directory, &mut events).map_err(failed)?;
        if remove_if_empty(directory).map_err(failed)? {
            return Ok(());
        }
        let late = match someone_ended {
            true => Instant::now() >= deadline,
            false => events.is_empty() || events.wait(deadline).map_err(failed)? == Woken::Late,
        };
        if late {
            let left = processes(directory).map_err(failed)?;
            let message = format!(
                "the cgroup {} is not empty: end what is in it and try again (processes {left:?})",
                directory.display()
            );
            return Err(Error::new(ErrorKind::Timeout, message));
        }
    }
}

/// Moves what is in a cgroup out of it and of `ours`, as far as that is permitted.
pub(crate) fn move_up(directory: &Path, ours: &[PathBuf]) -> io::Result<()> {
    for pid in processes(directory)? {
        let above = directory.ancestors().skip(1);
        for target in above.filter(|above| !ours.iter().any(|one| one == above)) {
            if !target.join(PROCS).exists() {
                // Above the mount.
                break;
            }
            match put(target, pid) {
                Ok(()) => break,
                Err(error) if errno(&error) == Some(Errno::SRCH) => break,
                // A v2 cgroup that passes controllers on takes no processes; the root does.
                Err(error) => {
                    let target = target.display();
                    tracing::debug!(%target, pid, %error, "a process is not taken");
                }
            }
        }
    }
    Ok(())
}

/// `false` when something is in it.
pub(crate) fn remove_if_empty(directory: &Path) -> io::Result<bool> {
    match fs::remove_dir(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if errno(&error) == Some(Errno::BUSY) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Watches for a cgroup to become empty. `true` when something in it has ended meanwhile.
fn watch(directory: &Path, events: &mut Events) -> io::Result<bool> {
    if events.watch(&directory.join(EVENTS))? {
        return Ok(false);
    }
    let mut someone_ended = false;
    for id in threads(directory)? {
        someone_ended |= !events.watch_task(id)?;
    }
    Ok(someone_ended)
}

fn threads(directory: &Path) -> io::Result<Vec<Pid>> {
    for name in THREADS {
        match fs::read_to_string(directory.join(name)) {
            Ok(text) => {
                let ids = text.lines().filter_map(|line| line.parse().ok());
                return Ok(ids.filter_map(Pid::from_raw).collect());
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}

fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            children.push(entry.path());
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::Host;

    /// A cgroup in each hierarchy of the host, with one process, which may go nowhere else.
    struct Stuck {
        directories: Vec<PathBuf>,
        everything: Vec<PathBuf>,
        process: Child,
    }

    impl Stuck {
        #[expect(clippy::disallowed_methods, reason = "a test's own process")]
        fn new(name: &str) -> Self {
            let process = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let host = Host::detect().unwrap();
            let name = format!("vct{}{name}", std::process::id());
            let mounts = host.hierarchies().iter().filter(|one| !one.has("cpuset"));
            let directories: Vec<PathBuf> = mounts.map(|one| one.mount.join(&name)).collect();
            for directory in &directories {
                fs::create_dir(directory).unwrap();
                put(directory, process.id()).unwrap();
            }
            let above = |path: &PathBuf| path.ancestors().map(Path::to_owned).collect::<Vec<_>>();
            Self {
                everything: directories.iter().flat_map(above).collect(),
                directories,
                process,
            }
        }

        fn end(&mut self) {
            self.process.kill().unwrap();
            self.process.wait().unwrap();
        }
    }

    impl Drop for Stuck {
        fn drop(&mut self) {
            self.end();
            for directory in &self.directories {
                remove_if_empty(directory).unwrap();
            }
        }
    }

    #[test]
    fn the_end_of_what_is_in_it_is_waited_for() {
        let mut stuck = Stuck::new("wait");
        let deadline = Instant::now() + Duration::from_secs(30);
        let (directories, ours) = (stuck.directories.clone(), stuck.everything.clone());
        std::thread::scope(|scope| {
            let waiting: Vec<_> = directories
                .iter()
                .map(|directory| scope.spawn(|| remove(directory, &ours, deadline)))
                .collect();
            stuck.end();
            for one in waiting {
                one.join().unwrap().unwrap();
            }
        });
        assert!(!stuck.directories.iter().any(|path| path.exists()));
    }

    #[test]
    fn what_does_not_end_is_named() {
        let stuck = Stuck::new("late");
        for directory in &stuck.directories {
            let error = remove(directory, &stuck.everything, Instant::now()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            let named = format!("(processes [{}])", stuck.process.id());
            assert!(error.to_string().contains(&named), "{error}");
        }
    }
}

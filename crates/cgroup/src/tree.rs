//! Directories of cgroups: which are missing, how they are made so that processes can live in them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use virtcontainers_types::{ContainerId, UndoSink};

use crate::error::errno;
use crate::mountinfo::{Hierarchy, Kind};
use crate::undo::{Undo, record};
use crate::{Error, ErrorKind};

/// The file of a cgroup that lists its processes, and takes one.
pub(crate) const PROCS: &str = "cgroup.procs";
const CPUSET: &str = "cpuset";
/// A v1 cpuset takes no process until these are filled.
const CPUSET_FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];
/// What processes are accounted by. The rest is left as the host has it: nothing here limits.
const CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];
/// How often others may remove a parent that they made just while we make its child.
const ATTEMPTS: usize = 16;

/// A cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    hierarchy: Hierarchy,
    /// Below the mount.
    path: PathBuf,
}

impl Place {
    /// `path` is absolute and valid: it names what is below the mount.
    pub(crate) fn new(hierarchy: &Hierarchy, path: &Path) -> Self {
        Self {
            hierarchy: hierarchy.clone(),
            path: path.components().skip(1).collect(),
        }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.hierarchy.mount.join(&self.path)
    }

    /// The mount, and each directory from there to the cgroup.
    pub(crate) fn chain(&self) -> Vec<PathBuf> {
        let mut at = self.hierarchy.mount.clone();
        let mut chain = vec![at.clone()];
        for part in self.path.components() {
            at.push(part);
            chain.push(at.clone());
        }
        chain
    }
}

/// Makes a cgroup in each of these hierarchies, after what is missing was entered in `undo`.
pub(crate) fn make(
    places: &[Place],
    container: &ContainerId,
    undo: &dyn UndoSink,
) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let missing = missing(places)?;
        if let Some(first) = missing.first().cloned() {
            record(undo, &first, &made(container, places, missing))?;
        }
        if make_once(places)? {
            return Ok(());
        }
    }
    let message = format!(
        "the cgroup of {container} cannot be made: somebody removes its parents again and again"
    );
    Err(Error::new(ErrorKind::Busy, message))
}

fn made(container: &ContainerId, places: &[Place], missing: Vec<PathBuf>) -> Undo {
    let is_leaf = |path: &PathBuf| places.iter().any(|place| place.directory() == *path);
    let (leaves, parents) = missing.into_iter().partition(is_leaf);
    Undo::Directories {
        container: container.clone(),
        leaves,
        parents,
    }
}

/// What does not exist, parents first.
fn missing(places: &[Place]) -> Result<Vec<PathBuf>, Error> {
    let mut missing = Vec::new();
    for path in places.iter().flat_map(Place::chain) {
        let exists = path
            .try_exists()
            .map_err(|source| Error::system("look at the cgroup", &path, source))?;
        if !exists {
            missing.push(path);
        }
    }
    Ok(missing)
}

/// `false`: a parent went away meanwhile.
fn make_once(places: &[Place]) -> Result<bool, Error> {
    for place in places {
        let chain = place.chain();
        for (parent, child) in chain.iter().zip(chain.iter().skip(1)) {
            if place.hierarchy.kind == Kind::V2 {
                enable_controllers(parent);
            }
            match DirBuilder::new().mode(0o755).create(child) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::system("make the cgroup", child, error));
                }
                Ok(()) | Err(_) => {}
            }
            if place.hierarchy.has(CPUSET) {
                match fill_cpuset(parent, child) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                    filled => filled.map_err(|source| {
                        Error::system("set the CPUs and memory nodes of", child, source)
                    })?,
                }
            }
        }
    }
    Ok(true)
}

/// Gives a v1 cpuset what its parent has, where it has nothing.
fn fill_cpuset(parent: &Path, child: &Path) -> io::Result<()> {
    for name in CPUSET_FILES {
        let file = child.join(name);
        if fs::read_to_string(&file)?.trim().is_empty() {
            fs::write(&file, fs::read_to_string(parent.join(name))?.trim())?;
        }
    }
    Ok(())
}

/// Lets the children of a v2 cgroup be accounted by what it has, as far as the kernel permits: a
/// cgroup that has processes itself passes nothing on, and one of somebody else may be closed. This
/// stays, since others may rely on it from then on.
fn enable_controllers(directory: &Path) {
    let control = directory.join("cgroup.subtree_control");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let available = read(&directory.join("cgroup.controllers"));
    for name in to_enable(&available, &read(&control)) {
        // One at a time: a write is taken whole or refused whole.
        if let Err(error) = fs::write(&control, format!("+{name}")) {
            let directory = directory.display();
            tracing::debug!(%directory, name, %error, "a controller is not passed on");
        }
    }
}

fn to_enable<'a>(available: &'a str, enabled: &'a str) -> impl Iterator<Item = &'a str> {
    let has = |list: &str, name: &str| list.split_whitespace().any(|found| found == name);
    CONTROLLERS
        .into_iter()
        .filter(move |name| has(available, name) && !has(enabled, name))
}

/// Puts a process, with all its threads, in a cgroup. Writing nothing else than a number is atomic.
pub(crate) fn put(directory: &Path, pid: u32) -> io::Result<()> {
    fs::write(directory.join(PROCS), pid.to_string())
}

/// The processes of a cgroup, without those of cgroups below. None if it does not exist.
pub(crate) fn processes(directory: &Path) -> io::Result<Vec<u32>> {
    let file = directory.join(PROCS);
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether a file of a cgroup could not be used because the cgroup is removed.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || errno(error) == Some(Errno::NODEV)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_accounts_and_is_not_on_is_enabled() {
        let enabled: Vec<&str> = to_enable("cpuset cpu io memory hugetlb", "cpu\n").collect();
        assert_eq!(enabled, ["io", "memory"]);
        assert_eq!(to_enable("", "").count(), 0);
    }

    #[test]
    fn a_chain_leads_from_the_mount_down() {
        let hierarchy = Hierarchy {
            mount: "/c".into(),
            kind: Kind::V2,
        };
        let place = Place::new(&hierarchy, Path::new("/a/b"));
        let chain = ["/c", "/c/a", "/c/a/b"].map(PathBuf::from);
        assert_eq!(place.chain(), chain);
        assert_eq!(place.directory(), chain[2]);
    }

    #[test]
    fn controllers_are_enabled_on_the_way_down() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        for directory in ["", "a/"] {
            write(&format!("{directory}cgroup.controllers"), "memory\n");
        }
        write("cgroup.subtree_control", "memory");
        write("a/cgroup.subtree_control", "");
        let hierarchy = Hierarchy {
            mount: root.path().into(),
            kind: Kind::V2,
        };
        let place = Place::new(&hierarchy, Path::new("/a/b"));
        assert!(make_once(&[place]).unwrap());
        assert_eq!(read("cgroup.subtree_control"), "memory");
        assert_eq!(read("a/cgroup.subtree_control"), "+memory");
        // Nothing is below it, so nothing is passed on.
        assert_eq!(fs::read_dir(root.path().join("a/b")).unwrap().count(), 0);
    }

    #[test]
    fn an_empty_cpuset_gets_what_its_parent_has() {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str| root.path().join(path);
        fs::create_dir(file("a")).unwrap();
        fs::write(file("cpuset.cpus"), "0-3\n").unwrap();
        fs::write(file("cpuset.mems"), "0\n").unwrap();
        fs::write(file("a/cpuset.cpus"), "2\n").unwrap();
        fs::write(file("a/cpuset.mems"), "\n").unwrap();
        fill_cpuset(root.path(), &file("a")).unwrap();
        assert_eq!(fs::read_to_string(file("a/cpuset.cpus")).unwrap(), "2\n");
        assert_eq!(fs::read_to_string(file("a/cpuset.mems")).unwrap(), "0");
    }
}

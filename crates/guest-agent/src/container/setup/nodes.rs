//! Device nodes and links of `/dev`.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;

use super::mounts;
use super::resolve::{self, Make};
use crate::container::error::{EngineError, Result, Step as _};
use crate::container::plan::{ContainerPlan, MountKind, NodeKind, NodePlan};

/// Links that programs expect: name, target.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Nodes that every container has: path, numbers.
const USUAL: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Fills `/dev`, makes the nodes that the plan names, and only then lets a read-only `/dev` be so.
pub(super) fn all(plan: &ContainerPlan, root: BorrowedFd<'_>) -> Result<()> {
    if plan.fill_dev {
        for (path, major, minor) in USUAL {
            if !plan.nodes.iter().any(|node| node.path == Path::new(path)) {
                make(root, &NodePlan::public(path, major, minor))?;
            }
        }
        links(root)?;
    }
    for node in &plan.nodes {
        make(root, node)?;
    }
    for mount in &plan.mounts {
        let ours = !matches!(mount.kind, MountKind::Bind { .. } | MountKind::Remount);
        if ours && mount.destination == Path::new("/dev") {
            let what = || "open /dev in the container".to_owned();
            let dev = resolve::open(root, &mount.destination, OFlags::PATH).step(what)?;
            mounts::change(dev.as_fd(), mount)?;
        }
    }
    Ok(())
}

fn make(root: BorrowedFd<'_>, node: &NodePlan) -> Result<()> {
    let what = || format!("make the device {}", node.path.display());
    let (Some(folder), Some(name)) = (node.path.parent(), node.path.file_name()) else {
        return Err(EngineError::invalid(format!("{}: no name", what())));
    };
    let folder = resolve::ensure(root, folder, Make::Folder)?;
    let (kind, number) = match node.kind {
        NodeKind::Block => (FileType::BlockDevice, makedev(node.major, node.minor)),
        NodeKind::Char => (FileType::CharacterDevice, makedev(node.major, node.minor)),
        NodeKind::Fifo => (FileType::Fifo, 0),
    };
    let mode = Mode::from_raw_mode(node.mode);
    match rustix::fs::mknodat(&folder, name, kind, mode, number) {
        Ok(()) => {}
        // The image, or a bind of a whole /dev, has it already.
        Err(Errno::EXIST) => {
            let there = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).step(what)?;
            if FileType::from_raw_mode(there.st_mode) == kind && there.st_rdev == number {
                return Ok(());
            }
            let path = node.path.display();
            return Err(EngineError::internal(format!(
                "{}: {path} is something else",
                what()
            )));
        }
        Err(errno) => return Err(errno).step(what),
    }
    if node.uid != 0 || node.gid != 0 {
        let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
        rustix::fs::chownat(
            &folder,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .step(what)?;
    }
    Ok(())
}

fn links(root: BorrowedFd<'_>) -> Result<()> {
    let dev = resolve::ensure(root, Path::new("/dev"), Make::Folder)?;
    let mut all = LINKS.to_vec();
    if Path::new("/proc/kcore").exists() {
        all.push(("core", "/proc/kcore"));
    }
    for (name, target) in all {
        match rustix::fs::symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).step(|| format!("make the link /dev/{name}")),
        }
    }
    Ok(())
}

//! Mounts in the container, made detached and then put in place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::copy_up::copy_up;
use super::resolve::{self, Make};
use crate::container::error::{EngineError, Result, Step as _};
use crate::container::plan::{ContainerPlan, MountKind, MountPlan};
use crate::container::sys::{self, MountAttributes};

/// Files of a proc file system that something else may be bound over.
const MASKABLE: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

const PROC_MAGIC: u64 = 0x9fa0;

/// Makes all mounts of a plan below `root`.
pub(super) fn all(plan: &ContainerPlan, root: BorrowedFd<'_>) -> Result<()> {
    for mount in &plan.mounts {
        one(plan, mount, root)
            .map_err(|error| error.within(format!("mount {}", mount.destination.display())))?;
    }
    Ok(())
}

fn one(plan: &ContainerPlan, mount: &MountPlan, root: BorrowedFd<'_>) -> Result<()> {
    let destination = mount.destination.as_path();
    if mount.kind == MountKind::Remount {
        let there = resolve::open(root, destination, OFlags::PATH)
            .step(|| "open the mount point".to_owned())?;
        return change(there.as_fd(), mount);
    }
    let (tree, folder) = match &mount.kind {
        MountKind::Bind { source, recursive } => bind(source, *recursive, &plan.run_dir)?,
        MountKind::Filesystem {
            fstype,
            source,
            parameters,
        } => (filesystem(fstype, source, parameters)?, true),
        MountKind::Cgroup if plan.namespaces.new_cgroup => {
            (filesystem("cgroup2", "cgroup", &[])?, true)
        }
        _ => bind(&plan.cgroup, false, &plan.run_dir)?,
    };
    let place = place(mount, root, if folder { Make::Folder } else { Make::File })?;
    guard_proc(mount, place.as_fd(), tree.as_fd())?;
    if mount.copy_up {
        copy_up(place.as_fd(), tree.as_fd(), has_mode(mount))?;
    }
    // /dev is filled first; see `nodes`.
    if destination != Path::new("/dev") || matches!(mount.kind, MountKind::Bind { .. }) {
        change(tree.as_fd(), mount)?;
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &place, "", flags).step(|| "attach".to_owned())?;
    for propagation in &mount.propagation {
        sys::mount_setattr(&tree, propagation.recursive, propagation.attributes())
            .step(|| "set the propagation".to_owned())?;
    }
    Ok(())
}

/// Where to mount. Kernel file systems must be where their name says: behind a link, the paths
/// to be masked would be elsewhere.
fn place(mount: &MountPlan, root: BorrowedFd<'_>, make: Make) -> Result<OwnedFd> {
    let destination = mount.destination.as_path();
    if is_type(mount, "proc") || is_type(mount, "sysfs") {
        match resolve::open_straight(root, destination, OFlags::PATH) {
            Ok(place) => return Ok(place),
            Err(rustix::io::Errno::LOOP) => {
                return Err(EngineError::invalid("there is a link on the way"));
            }
            // Made below.
            Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno).step(|| "open the mount point".to_owned()),
        }
    }
    resolve::ensure(root, destination, make)
}

fn is_type(mount: &MountPlan, name: &str) -> bool {
    matches!(&mount.kind, MountKind::Filesystem { fstype, .. } if fstype == name)
}

/// Keeps a mount from taking the place of what the kernel tells and is told through `/proc`.
fn guard_proc(mount: &MountPlan, place: BorrowedFd<'_>, tree: BorrowedFd<'_>) -> Result<()> {
    let in_proc = |file: BorrowedFd<'_>| {
        let answer = rustix::fs::fstatfs(file);
        answer
            .map(|answer| answer.f_type as u64 == PROC_MAGIC)
            .step(|| "ask for its type".into())
    };
    let destination = mount.destination.as_path();
    let allowed = if destination == Path::new("/proc") {
        in_proc(tree)?
    } else {
        !in_proc(place)? || MASKABLE.iter().any(|path| destination == Path::new(path))
    };
    if !allowed {
        return Err(EngineError::invalid("it would replace a part of /proc"));
    }
    Ok(())
}

/// Whether the options say what the permissions of the root of the file system are.
fn has_mode(mount: &MountPlan) -> bool {
    matches!(&mount.kind, MountKind::Filesystem { parameters, .. }
        if parameters.iter().any(|(name, _)| name == "mode"))
}

fn bind(source: &Path, recursive: bool, run_dir: &Path) -> Result<(OwnedFd, bool)> {
    let file = resolve::source(source, run_dir)?;
    let what = || format!("bind {}", source.display());
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(&file, "", flags).step(what)?;
    let folder = resolve::is_folder(&file).step(what)?;
    Ok((tree, folder))
}

/// A new, detached instance of a file system.
pub(super) fn filesystem(
    fstype: &str,
    source: &str,
    parameters: &[(String, Option<String>)],
) -> Result<OwnedFd> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)
        .step(|| format!("open the file system {fstype:?}"))?;
    let explain = |what: String| {
        let context = context.as_fd();
        move |errno: rustix::io::Errno| {
            EngineError::internal(format!("{what}: {errno}{}", kernel_says(context)))
        }
    };
    fsconfig_set_string(&context, "source", source)
        .map_err(explain(format!("set the source {source:?}")))?;
    for (name, value) in parameters {
        match value {
            Some(value) => fsconfig_set_string(&context, name.as_str(), value.as_str()),
            None => fsconfig_set_flag(&context, name.as_str()),
        }
        .map_err(explain(format!("option {name:?}")))?;
    }
    fsconfig_create(&context).map_err(explain(format!("create the file system {fstype:?}")))?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
    .map_err(explain(format!("mount the file system {fstype:?}")))
}

/// The kernel's own explanation of the last failure, where it has one.
fn kernel_says(context: BorrowedFd<'_>) -> String {
    let mut text = [0; 256];
    match rustix::io::read(context, &mut text) {
        Ok(length) if length > 2 => {
            format!(
                " ({})",
                String::from_utf8_lossy(&text[2..length]).trim_end()
            )
        }
        _ => String::new(),
    }
}

/// Gives a mount the attributes that its options ask for.
pub(super) fn change(tree: BorrowedFd<'_>, mount: &MountPlan) -> Result<()> {
    for (recursive, (set, clear)) in [(true, mount.tree_attributes), (false, mount.attributes)] {
        if set | clear != 0 {
            let attributes = MountAttributes {
                set,
                clear,
                ..MountAttributes::default()
            };
            sys::mount_setattr(tree, recursive, attributes)
                .step(|| "set the mount's attributes".to_owned())?;
        }
    }
    Ok(())
}

//! The duties of PID 1: a usable file system, the loopback link, the boot modules; at the end,
//! power off.
//!
//! Every step here runs before the host can reach the agent, often on an emulated CPU, so there
//! are few of them, and a step that fails says so and lets the rest go on: an agent that can be
//! asked is worth more than none.

use std::fs::File;
use std::path::Path;

use rustix::mount::MountFlags;

use crate::modules::{BOOT, Modules};
use crate::sys;

/// A mount made at the start.
struct Early {
    fstype: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static std::ffi::CStr,
}

const fn early(
    fstype: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static std::ffi::CStr,
) -> Early {
    Early {
        fstype,
        target,
        flags,
        data,
    }
}

const QUIET: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

const MOUNTS: [Early; 9] = [
    early("proc", "/proc", QUIET, c""),
    early("sysfs", "/sys", QUIET, c""),
    early("devtmpfs", "/dev", MountFlags::NOSUID, c"mode=0755"),
    early(
        "devpts",
        "/dev/pts",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
        c"mode=0620,gid=5,ptmxmode=0666",
    ),
    early("tmpfs", "/dev/shm", PLAIN, c"mode=1777"),
    early("mqueue", "/dev/mqueue", QUIET, c""),
    early("tmpfs", "/run", PLAIN, c"mode=0755"),
    early("tmpfs", "/tmp", PLAIN, c"mode=1777"),
    early("cgroup2", "/sys/fs/cgroup", QUIET, c"nsdelegate"),
];

/// Files that the agent may have open: three for every process that nobody has waited for yet.
const FILES: u64 = 65_536;

/// Where the initrd keeps the modules.
pub(crate) const MODULES: &str = "/lib/modules/vc";

/// Mounts the kernel's file systems. Without `/proc` not even the command line can be read, so
/// this comes first; what went wrong is returned for the log, which is not yet there.
pub(crate) fn mount_all() -> Vec<String> {
    let mut problems = Vec::new();
    for Early {
        fstype,
        target,
        flags,
        data,
    } in MOUNTS
    {
        let mut result = rustix::mount::mount(fstype, target, fstype, flags, data);
        if result == Err(rustix::io::Errno::NOENT) {
            // Quietly: should the folder stay missing, the mount says so.
            drop(std::fs::create_dir_all(target));
            result = rustix::mount::mount(fstype, target, fstype, flags, data);
        }
        // Busy: the kernel or whoever ran before us has mounted it.
        if let Err(errno) = result
            && errno != rustix::io::Errno::BUSY
        {
            problems.push(format!("mount {fstype} on {target}: {errno}"));
        }
    }
    if let Ok(console) = File::options().read(true).write(true).open("/dev/console") {
        sys::occupy_standard_fds(console.into());
    }
    problems
}

/// Makes the rest of the guest usable.
pub(crate) fn set_up(modules: &Modules) {
    let failed = |what: &str, error: std::io::Error| log::warn!("{what}: {error}");
    modules.load_group(BOOT);
    if let Err(error) = delegate_controllers(Path::new("/sys/fs/cgroup")) {
        failed("enable cgroup controllers", error);
    }
    if let Err(error) = sys::loopback_up() {
        failed("bring up lo", error);
    }
    let name = std::fs::read_to_string("/etc/hostname");
    let name = name.as_deref().map_or("localhost", str::trim);
    if let Err(errno) = rustix::system::sethostname(name.as_bytes()) {
        failed("set the host name", errno.into());
    }
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "-1000") {
        failed("protect the agent from the OOM killer", error);
    }
    let files = rustix::process::Rlimit {
        current: Some(FILES),
        maximum: Some(FILES),
    };
    if let Err(errno) = rustix::process::setrlimit(rustix::process::Resource::Nofile, files) {
        failed("raise the limit of open files", errno.into());
    }
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        // Quietly: a guest image may bring them.
        drop(std::os::unix::fs::symlink(target, link));
    }
}

/// Hands every controller of a cgroup to its children.
fn delegate_controllers(cgroup: &Path) -> std::io::Result<()> {
    let available = std::fs::read_to_string(cgroup.join("cgroup.controllers"))?;
    let wish: Vec<String> = available
        .split_ascii_whitespace()
        .map(|name| format!("+{name}"))
        .collect();
    std::fs::write(cgroup.join("cgroup.subtree_control"), wish.join(" "))
}

/// Ends the guest: what is written reaches its disks, then the power goes. Does not return when it
/// works; with QEMU's `-no-reboot` both ways end the machine.
pub(crate) fn power_off() {
    rustix::fs::sync();
    for command in [
        rustix::system::RebootCommand::PowerOff,
        rustix::system::RebootCommand::Restart,
    ] {
        if let Err(errno) = rustix::system::reboot(command) {
            log::error!("power off: {errno}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_handed_down() {
        let folder = std::env::temp_dir().join(format!("vc-init-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        delegate_controllers(&folder).unwrap();
        let written = std::fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(written, "+cpu +memory +pids");
    }
}

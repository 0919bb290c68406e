//! What the host's kernel offers beside the hypervisor.

use std::path::Path;

use virtcontainers_types::Mebibytes;

use super::{Item, Verdict, ok};

/// What a sandbox needs beside the memory of its machine, generously.
const BESIDE: Mebibytes = Mebibytes(64);
/// Modules that help, and the file that shows each to work where it is built in.
const MODULES: [(&str, &str); 4] = [
    ("kvm", "/dev/kvm"),
    ("vhost_vsock", "/dev/vhost-vsock"),
    ("vhost_net", "/dev/vhost-net"),
    ("tun", "/dev/net/tun"),
];

pub(super) fn root_privileges() -> Item {
    match rustix::process::geteuid().is_root() {
        true => ok("root", "running as root".to_owned()),
        false => Item {
            name: "root",
            verdict: Verdict::Missing,
            detail: "not running as root".to_owned(),
            remedy: Some("run as root: namespaces and mounts need it".to_owned()),
        },
    }
}

pub(super) fn device(name: &'static str, path: &Path, remedy: &str) -> Item {
    match path.exists() {
        true => ok(name, path.display().to_string()),
        false => Item {
            name,
            verdict: Verdict::Absent,
            detail: format!("there is no {}", path.display()),
            remedy: Some(remedy.to_owned()),
        },
    }
}

/// Whether a machine of this size fits into what is available now.
pub(super) fn memory(machine: Mebibytes) -> Item {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    match available(&meminfo) {
        Some(available) => fits(available, machine),
        None => Item {
            name: "memory",
            verdict: Verdict::Absent,
            detail: "the kernel does not tell how much memory is available".to_owned(),
            remedy: Some("mount proc at /proc".to_owned()),
        },
    }
}

fn fits(available: Mebibytes, machine: Mebibytes) -> Item {
    let detail = format!("{available} available, a machine has {machine}");
    if available.0 >= machine.0.saturating_add(BESIDE.0) {
        return ok("memory", detail);
    }
    Item {
        name: "memory",
        verdict: Verdict::Absent,
        detail,
        remedy: Some(
            "stop something, or give machines less: memory in [hypervisor.qemu], or --memory"
                .to_owned(),
        ),
    }
}

/// `MemAvailable` of proc(5).
fn available(meminfo: &str) -> Option<Mebibytes> {
    let mut lines = meminfo.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Mebibytes(kib / 1024))
}

/// Modules of the kernel that are not loaded although they could be.
pub(super) fn modules() -> Item {
    let release = rustix::system::uname();
    let folder = Path::new("/lib/modules").join(release.release().to_string_lossy().as_ref());
    let known = std::fs::read_to_string(folder.join("modules.dep")).unwrap_or_default();
    let is_there = |(module, device): &(&str, &str)| {
        Path::new("/sys/module").join(module).exists() || Path::new(device).exists()
    };
    let (there, lacking): (Vec<_>, Vec<_>) = MODULES.iter().partition(|one| is_there(one));
    let names = |list: &[&(&'static str, &str)]| -> Vec<&'static str> {
        list.iter().map(|(module, _)| *module).collect()
    };
    judge(&names(&there), &names(&lacking), &known)
}

fn judge(there: &[&str], lacking: &[&str], known: &str) -> Item {
    let loadable: Vec<&str> = lacking
        .iter()
        .copied()
        .filter(|module| is_listed(known, module))
        .collect();
    let list = |words: &[&str]| match words.is_empty() {
        true => "none".to_owned(),
        false => words.join(" "),
    };
    let detail = format!("there: {}; not there: {}", list(there), list(lacking));
    let remedy = match (lacking.is_empty(), loadable.is_empty()) {
        (true, _) => return ok("modules", detail),
        (false, false) => format!("`modprobe -a {}`", loadable.join(" ")),
        (false, true) => {
            "this kernel has no such modules; what they do is done in slower ways".to_owned()
        }
    };
    Item {
        name: "modules",
        verdict: Verdict::Absent,
        detail,
        remedy: Some(remedy),
    }
}

/// Whether `modules.dep` has a module; `-` and `_` are one letter in their names.
fn is_listed(known: &str, module: &str) -> bool {
    let mut files = known.lines().filter_map(|line| line.split(':').next());
    files.any(|file| {
        let name = file.rsplit('/').next().unwrap_or_default();
        let name = name.split('.').next().unwrap_or_default();
        name.replace('-', "_") == module
    })
}

/// How the control groups are mounted; `None` when they are not.
pub(crate) fn cgroup_mode() -> Option<&'static str> {
    let has = |file: &str| Path::new("/sys/fs/cgroup").join(file).exists();
    match (
        has("cgroup.controllers"),
        has("unified/cgroup.controllers"),
        has("memory"),
    ) {
        (true, _, _) => Some("version 2"),
        (false, true, _) => Some("version 1 and 2 (hybrid)"),
        (false, false, true) => Some("version 1"),
        (false, false, false) => None,
    }
}

pub(super) fn cgroups() -> Item {
    match cgroup_mode() {
        Some(mode @ "version 2") => ok("cgroups", mode.to_owned()),
        Some(mode) => Item {
            remedy: Some(
                "it works; for version 2 alone, boot with systemd.unified_cgroup_hierarchy=1"
                    .to_owned(),
            ),
            ..ok("cgroups", mode.to_owned())
        },
        None => Item {
            name: "cgroups",
            verdict: Verdict::Absent,
            detail: "no hierarchy is mounted at /sys/fs/cgroup".to_owned(),
            remedy: Some(
                "`mount -t cgroup2 none /sys/fs/cgroup`, to limit sandboxes on the host".to_owned(),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_to_hold_the_machine_and_what_is_beside_it() {
        let verdict = |available| fits(Mebibytes(available), Mebibytes(256)).verdict;
        assert_eq!(verdict(320), Verdict::Ok);
        assert_eq!(verdict(319), Verdict::Absent);
        assert_eq!(
            available("MemFree: 1 kB\nMemAvailable:    2048 kB\n"),
            Some(Mebibytes(2))
        );
        assert_eq!(available("MemAvailable: many\n"), None);
    }

    #[test]
    fn a_module_that_can_be_loaded_is_the_remedy() {
        let known =
            "kernel/drivers/vhost/vhost_vsock.ko.xz: kernel/x.ko\nkernel/net/vhost-net.ko:\n";
        let item = judge(&["kvm"], &["vhost_vsock", "vhost_net", "tun"], known);
        assert_eq!(item.verdict, Verdict::Absent);
        assert_eq!(
            item.remedy.as_deref(),
            Some("`modprobe -a vhost_vsock vhost_net`")
        );
        assert!(
            judge(&[], &["kvm"], known)
                .remedy
                .unwrap()
                .contains("slower")
        );
        assert_eq!(judge(&["kvm"], &[], known).verdict, Verdict::Ok);
    }
}

//! The Debian packages: what is probed on the machine, and what is installed when the probe fails.
//! A probe asks for the file that is used, not for the package, so that a program that somebody
//! built by hand counts too. Who only runs a machine is not given the clients that tests drive.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::cache::Cache;
use crate::cmd::is_installed;
use crate::progress::note;

/// How the machine shows that it has what a package brings.
#[derive(Debug, Clone, Copy)]
enum Probe {
    /// A program in `PATH`.
    Program(&'static str),
    /// One of these files.
    AnyFile(&'static [&'static str]),
}

impl Probe {
    fn holds(self) -> bool {
        match self {
            Self::Program(name) => is_installed(name),
            Self::AnyFile(paths) => paths.iter().any(|path| Path::new(path).exists()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Need {
    package: &'static str,
    probe: Probe,
}

const fn program(name: &'static str, package: &'static str) -> Need {
    Need {
        package,
        probe: Probe::Program(name),
    }
}

const fn file(paths: &'static [&'static str], package: &'static str) -> Need {
    Need {
        package,
        probe: Probe::AnyFile(paths),
    }
}

/// What the machine is to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building, and running virtual machines.
    Machines,
    /// Also the tests: other runtimes, and the managers that drive ours.
    Tests,
}

const QEMU: &str = "qemu-system-x86";
const VIRTIOFSD: &str = "virtiofsd";

const NEEDS: &[Need] = &[
    program("gcc", "gcc"),
    file(
        &[
            "/usr/lib/x86_64-linux-gnu/libc.a",
            "/usr/lib/aarch64-linux-gnu/libc.a",
            "/usr/lib/libc.a",
        ],
        "libc6-dev",
    ),
    program("pkg-config", "pkg-config"),
    file(&["/usr/include/seccomp.h"], "libseccomp-dev"),
    program("qemu-system-x86_64", QEMU),
    // QEMU 7 brings it as part of qemu-system-common; from QEMU 8 on it is a package of its own.
    file(
        &[
            "/usr/lib/qemu/virtiofsd",
            "/usr/libexec/virtiofsd",
            "/usr/bin/virtiofsd",
        ],
        VIRTIOFSD,
    ),
    program("depmod", "kmod"),
    program("ip", "iproute2"),
];

/// What only tests start.
const OF_TESTS: &[Need] = &[
    program("strace", "strace"),
    program("runc", "runc"),
    program("podman", "podman"),
    file(&["/usr/bin/conmon", "/usr/libexec/podman/conmon"], "conmon"),
    // The first process of a Podman pod; Podman merely recommends it.
    file(
        &["/usr/bin/catatonit", "/usr/libexec/podman/catatonit"],
        "catatonit",
    ),
    // What makes networks, for Podman and called directly.
    file(&["/usr/lib/cni/bridge"], "containernetworking-plugins"),
    program("iptables", "iptables"),
    program("ping", "iputils-ping"),
    program("nsenter", "util-linux"),
    program("containerd", "containerd"),
    program("ctr", "containerd"),
];

fn needs(purpose: Purpose) -> impl Iterator<Item = &'static Need> {
    let more: &[Need] = match purpose {
        Purpose::Machines => &[],
        Purpose::Tests => OF_TESTS,
    };
    NEEDS.iter().chain(more)
}

fn missing(purpose: Purpose) -> Vec<&'static str> {
    let mut packages: Vec<_> = needs(purpose)
        .filter(|need| !need.probe.holds())
        .map(|need| need.package)
        .collect();
    packages.dedup();
    packages
}

/// Installs what is missing.
pub(super) fn ensure(cache: &Cache, purpose: Purpose) -> Result<()> {
    if missing(purpose).is_empty() {
        return Ok(());
    }
    let _lock = cache.lock("setup")?;
    let wanted = missing(purpose);
    if !Apt::exists() {
        bail!(
            "missing, and no apt-get to install it with: {}",
            wanted.join(" ")
        );
    }
    if !is_root() {
        bail!("packages are missing: as root, run `{}`", by_hand(&wanted));
    }
    let apt = Apt::default();
    install(&apt, &at_first(&wanted))?;
    install(&apt, &missing(purpose))?;
    let still = missing(purpose);
    if !still.is_empty() {
        bail!(
            "installed, but still not found: what the packages {} bring",
            still.join(" ")
        );
    }
    Ok(())
}

/// What to install before looking again: QEMU may bring virtiofsd along, and where it does, there
/// is no package of that name.
fn at_first<'a>(wanted: &[&'a str]) -> Vec<&'a str> {
    let with_qemu = wanted.contains(&QEMU);
    wanted
        .iter()
        .copied()
        .filter(|name| !with_qemu || *name != VIRTIOFSD)
        .collect()
}

fn install(apt: &Apt, packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    note(format!("installing {}", packages.join(" ")));
    apt.install(packages).with_context(|| {
        format!(
            "cannot install {}: check the network and /etc/apt, or install them by hand",
            packages.join(" ")
        )
    })
}

fn by_hand(packages: &[&str]) -> String {
    format!("apt-get install {}", at_first(packages).join(" "))
}

/// Whether this process may install packages, by the effective user id of `/proc/self/status`.
fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_user(&status) == Some(0))
}

fn effective_user(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_is_the_second_number() {
        assert_eq!(
            effective_user("Name:\tx\nUid:\t1000\t0\t1000\t0\n"),
            Some(0)
        );
        assert_eq!(effective_user("Name:\tx\n"), None);
    }

    #[test]
    fn a_probe_needs_one_of_its_files() {
        assert!(Probe::AnyFile(&["/does-not-exist", "/proc/self/status"]).holds());
        assert!(!Probe::AnyFile(&["/does-not-exist"]).holds());
    }

    #[test]
    fn virtiofsd_is_asked_for_only_once_qemu_is_there() {
        assert_eq!(at_first(&["kmod", QEMU, VIRTIOFSD]), ["kmod", QEMU]);
        assert_eq!(at_first(&[VIRTIOFSD]), [VIRTIOFSD]);
    }

    #[test]
    fn who_only_runs_a_machine_is_not_given_the_clients_of_tests() {
        let of = |purpose| -> Vec<_> { needs(purpose).map(|need| need.package).collect() };
        let (machines, tests) = (of(Purpose::Machines), of(Purpose::Tests));
        for client in ["podman", "containerd", "runc"] {
            assert!(!machines.contains(&client), "{client}");
            assert!(tests.contains(&client), "{client}");
        }
        assert!(machines.iter().all(|package| tests.contains(package)));
    }

    #[test]
    fn the_remedy_is_a_command_line() {
        assert_eq!(by_hand(&["kmod", "strace"]), "apt-get install kmod strace");
    }
}

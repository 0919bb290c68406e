//! Hosts of each kind, by what they have mounted.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

use std::path::PathBuf;

use virtcontainers_cgroup::{Cgroup, ErrorKind, Host, Mode};
use virtcontainers_types::CgroupPath;

fn directories(text: &str) -> (Mode, Vec<PathBuf>) {
    let host = Host::from_mountinfo(text).unwrap();
    let path = CgroupPath::parse("/vc/web", false).unwrap();
    let cgroup = Cgroup::open(&host, &path).unwrap();
    (host.mode(), cgroup.directories().collect())
}

fn below(base: &str, names: &[&str]) -> Vec<PathBuf> {
    let path = |name: &&str| PathBuf::from(format!("{base}/{name}/vc/web"));
    names.iter().map(path).collect()
}

#[test]
fn version_1() {
    let (mode, found) = directories(include_str!("mountinfo/v1.txt"));
    assert_eq!(mode, Mode::V1);
    let names = ["systemd", "cpuset", "cpu,cpuacct", "memory", "pids"];
    assert_eq!(found, below("/sys/fs/cgroup", &names));
}

#[test]
fn hybrid() {
    let (mode, found) = directories(include_str!("mountinfo/hybrid.txt"));
    assert_eq!(mode, Mode::Hybrid);
    let names = ["unified", "systemd", "memory", "cpu,cpuacct"];
    assert_eq!(found, below("/sys/fs/cgroup", &names));
}

#[test]
fn version_2() {
    let (mode, found) = directories(include_str!("mountinfo/v2.txt"));
    assert_eq!(mode, Mode::V2);
    assert_eq!(found, [PathBuf::from("/sys/fs/cgroup/vc/web")]);
}

#[test]
fn no_cgroups() {
    let text = "22 27 0:21 / /proc rw,relatime - proc proc rw\n";
    let error = Host::from_mountinfo(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("mount them at"), "{error}");
}

//! The host's own hierarchies, whichever it has; needs root.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Idle, Ledger, Swept, container, holds, unique};
use virtcontainers_cgroup::{Cgroup, ErrorKind, Host, Undo, is_of_container, undo};
use virtcontainers_types::CgroupPath;

fn open(path: &str) -> Cgroup {
    open_on(&Host::detect().unwrap(), path)
}

fn open_on(host: &Host, path: &str) -> Cgroup {
    let path = CgroupPath::parse(path, false).unwrap();
    Cgroup::open(host, &path).unwrap()
}

/// This host as it is, and as if it had only one of the versions that it has.
fn hosts() -> Vec<Host> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let only = |kind: &str| {
        let lines = text.lines().filter(|line| line.contains(kind));
        Host::from_mountinfo(&lines.collect::<Vec<_>>().join("\n")).ok()
    };
    let parts = [only(" - cgroup "), only(" - cgroup2 ")];
    let whole = Host::detect().unwrap();
    std::iter::once(whole)
        .chain(parts.into_iter().flatten())
        .collect()
}

fn directories(cgroup: &Cgroup) -> Vec<PathBuf> {
    cgroup.directories().collect()
}

/// A parent that was there before, in every hierarchy.
fn parent(name: &str) -> (Vec<PathBuf>, Swept) {
    let parents = directories(&open(name));
    for path in &parents {
        fs::create_dir(path).unwrap();
    }
    (parents.clone(), Swept(parents))
}

#[test]
fn a_process_is_in_every_hierarchy_and_moves_out_at_the_end() {
    for host in hosts() {
        lives_and_moves_out(&host);
    }
}

fn lives_and_moves_out(host: &Host) {
    let name = unique("life");
    let cgroup = open_on(host, &format!("{name}/inner/web"));
    let (ledger, mut process) = (Ledger::new(), Idle::start());
    cgroup
        .create(&container("web"), process.pid(), &ledger)
        .unwrap();
    let found = directories(&cgroup);
    assert!(found.iter().all(|path| holds(path, process.pid())));
    let told = fs::read_to_string(format!("/proc/{}/cgroup", process.pid())).unwrap();
    let inside = |line: &str| line.ends_with(&format!("/{name}/inner/web"));
    assert_eq!(
        told.lines().filter(|line| inside(line)).count(),
        found.len()
    );

    ledger.undo();
    ledger.undo();
    assert!(process.lives());
    for path in found {
        let outermost = path.ancestors().nth(2).unwrap();
        assert!(!outermost.exists(), "{}", outermost.display());
        assert!(holds(outermost.parent().unwrap(), process.pid()));
    }
}

#[test]
fn one_entry_names_all_that_is_missing() {
    let cgroup = open(&unique("entry"));
    let (ledger, process) = (Ledger::new(), Idle::start());
    cgroup
        .create(&container("web"), process.pid(), &ledger)
        .unwrap();
    let expected = Undo::Directories {
        container: container("web"),
        leaves: directories(&cgroup),
        parents: Vec::new(),
    };
    assert_eq!(ledger.effects(), [expected]);
    ledger.undo();
}

#[test]
fn further_processes_and_their_children_are_in_it() {
    let cgroup = open(&unique("more"));
    let (ledger, first, second) = (Ledger::new(), Idle::start(), Idle::start());
    cgroup
        .create(&container("web"), first.pid(), &ledger)
        .unwrap();
    cgroup.add(second.pid()).unwrap();
    cgroup.add(second.pid()).unwrap();
    for path in directories(&cgroup) {
        assert!(holds(&path, first.pid()) && holds(&path, second.pid()));
    }
    ledger.undo();
}

#[test]
fn what_was_there_before_stays() {
    let name = unique("before");
    let (parents, _swept) = parent(&name);
    let cgroup = open(&format!("{name}/web"));
    let (ledger, process) = (Ledger::new(), Idle::start());
    cgroup
        .create(&container("web"), process.pid(), &ledger)
        .unwrap();
    ledger.undo();
    assert!(!directories(&cgroup).iter().any(|path| path.exists()));
    assert!(parents.iter().all(|path| path.exists()));
    assert!(parents.iter().all(|path| holds(path, process.pid())));
}

#[test]
fn a_cgroup_that_exists_is_joined_and_stays() {
    let name = unique("joined");
    let (paths, _swept) = parent(&name);
    let (ledger, process) = (Ledger::new(), Idle::start());
    let cgroup = open(&name);
    cgroup
        .create(&container("web"), process.pid(), &ledger)
        .unwrap();
    assert!(ledger.entries().is_empty());
    assert!(paths.iter().all(|path| holds(path, process.pid())));
}

#[test]
fn a_parent_that_another_container_uses_stays() {
    let name = unique("pod");
    let (first, second) = (open(&format!("{name}/a")), open(&format!("{name}/b")));
    let _swept = Swept(directories(&open(&name)));
    let (ledger, other, process) = (Ledger::new(), Ledger::new(), Idle::start());
    first
        .create(&container("a"), process.pid(), &ledger)
        .unwrap();
    second
        .create(&container("b"), process.pid(), &other)
        .unwrap();
    ledger.undo();
    assert!(!directories(&first).iter().any(|path| path.exists()));
    assert!(
        directories(&second)
            .iter()
            .all(|path| holds(path, process.pid()))
    );
    other.undo();
}

#[test]
fn cgroups_below_go_too() {
    let cgroup = open(&unique("below"));
    let (ledger, mut process) = (Ledger::new(), Idle::start());
    cgroup
        .create(&container("web"), process.pid(), &ledger)
        .unwrap();
    for path in directories(&cgroup) {
        fs::create_dir_all(path.join("x/y")).unwrap();
    }
    // In one hierarchy is enough; a v1 cpuset would want to be filled first.
    let one = directories(&cgroup)
        .into_iter()
        .find(|path| !path.join("cpuset.cpus").exists())
        .unwrap();
    fs::write(one.join("x/y/cgroup.procs"), process.pid().to_string()).unwrap();
    ledger.undo();
    assert!(process.lives());
    assert!(!directories(&cgroup).iter().any(|path| path.exists()));
}

#[test]
fn what_is_dying_is_waited_for() {
    for round in 0..10 {
        let cgroup = open(&unique(&format!("dying{round}")));
        let (ledger, mut process) = (Ledger::new(), Idle::start());
        cgroup
            .create(&container("web"), process.pid(), &ledger)
            .unwrap();
        process.kill();
        ledger.undo();
        assert!(!directories(&cgroup).iter().any(|path| path.exists()));
    }
}

#[test]
fn nothing_happens_without_an_entry() {
    let cgroup = open(&unique("full"));
    let (ledger, process) = (Ledger::with_room(0), Idle::start());
    let error = cgroup
        .create(&container("web"), process.pid(), &ledger)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(!directories(&cgroup).iter().any(|path| path.exists()));
}

#[test]
fn what_cannot_be_put_in_is_told() {
    let cgroup = open(&unique("refused"));
    let (ledger, mut process) = (Ledger::new(), Idle::start());
    let absent = cgroup.add(process.pid()).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    assert!(absent.to_string().contains("create it first"), "{absent}");
    for pid in [0, u32::MAX] {
        let error = cgroup.create(&container("web"), pid, &ledger).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert!(ledger.entries().is_empty());
    process.kill();
    process.wait();
    let error = cgroup
        .create(&container("web"), process.pid(), &ledger)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gone, "{error}");
    ledger.undo();
    assert!(!directories(&cgroup).iter().any(|path| path.exists()));
}

#[test]
fn entries_of_others_are_refused() {
    let cgroup = open(&unique("owner"));
    let (ledger, process) = (Ledger::new(), Idle::start());
    cgroup
        .create(&container("web"), process.pid(), &ledger)
        .unwrap();
    let entry = ledger.entries().remove(0);
    assert!(is_of_container(&entry, &container("web")));
    assert!(!is_of_container(&entry, &container("web-1")));
    let refused = |change: &dyn Fn(&mut virtcontainers_types::UndoEntry)| {
        let mut changed = entry.clone();
        change(&mut changed);
        assert!(!is_of_container(&changed, &container("web")));
        undo(&changed).unwrap_err().kind()
    };
    assert_eq!(refused(&|it| it.owner = "share".into()), ErrorKind::Invalid);
    assert_eq!(refused(&|it| it.version = 2), ErrorKind::Incompatible);
    assert_eq!(refused(&|it| it.payload = 7.into()), ErrorKind::Corrupt);
    assert!(directories(&cgroup).iter().all(|path| path.exists()));
    ledger.undo();
}

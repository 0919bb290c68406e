//! Scopes, with a program in the place of `busctl` that does what systemd would do; needs root.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod common;

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::{Idle, Ledger, Swept, container, holds, unique};
use rustix::fs::Mode;
use virtcontainers_cgroup::{Cgroup, Error, ErrorKind, Host, Systemd, Undo, is_of_container};
use virtcontainers_types::CgroupPath;

/// Keeps the words it is called with. Starts a scope in the hierarchies that it is told of, after
/// its reply and only when it is let; stops one at once.
const BUSCTL: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/calls"
start() {
    read -r go < "$here/gate"
    while read -r mount; do
        mkdir -p "$mount/$slice/$unit"
        echo "$pid" > "$mount/$slice/$unit/cgroup.procs"
    done < "$here/mounts"
}
case "$7" in
StartTransientUnit)
    unit=$9
    shift 14
    slice=$3
    shift 15
    pid=$1
    start > "$here/started" 2>&1 < /dev/null &
    ;;
StopUnit)
    unit=$9
    while read -r mount; do
        rmdir "$mount"/*.slice/"$unit" || exit 1
    done < "$here/mounts"
    ;;
esac
"#;

struct Rig {
    place: tempfile::TempDir,
    cgroup: Cgroup,
    unit: String,
    process: Idle,
    ledger: Ledger,
    _swept: Swept,
}

impl Rig {
    fn new(name: &str) -> Self {
        Self::with(name, BUSCTL)
    }

    fn with(name: &str, script: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let busctl = place.path().join("busctl");
        fs::write(&busctl, script).unwrap();
        fs::set_permissions(&busctl, Permissions::from_mode(0o700)).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, place.path().join("gate"), Mode::RWXU).unwrap();
        let name = unique(name);
        let cgroup = open(&name, place.path(), &busctl).unwrap();
        // As systemd does with v1: not in every hierarchy. Its own comes last, so that all is done
        // when the process is seen there.
        let mount = |path: PathBuf| path.ancestors().nth(2).unwrap().display().to_string();
        let mut mounts: Vec<String> = cgroup.directories().take(2).map(mount).collect();
        mounts.reverse();
        fs::write(place.path().join("mounts"), mounts.join("\n") + "\n").unwrap();
        let slices = cgroup
            .directories()
            .map(|path| path.parent().unwrap().to_owned());
        Self {
            _swept: Swept(slices.collect()),
            unit: format!("vc-{name}.scope"),
            process: Idle::start(),
            ledger: Ledger::new(),
            cgroup,
            place,
        }
    }

    fn create(&self) -> Result<(), Error> {
        self.cgroup
            .create(&container("web"), self.process.pid(), &self.ledger)
    }

    /// Creates, and lets systemd go on when it has replied.
    fn created(&self) {
        std::thread::scope(|scope| {
            let creating = scope.spawn(|| self.create());
            self.let_go();
            creating.join().unwrap().unwrap();
        });
    }

    fn let_go(&self) {
        let mut gate = OpenOptions::new()
            .write(true)
            .open(self.place.path().join("gate"))
            .unwrap();
        gate.write_all(b"go\n").unwrap();
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.place.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.process.kill();
        self.process.wait();
        for path in self.cgroup.directories() {
            fs::remove_dir(path).ok();
        }
    }
}

fn open(name: &str, booted: &Path, busctl: &Path) -> Result<Cgroup, Error> {
    let path = CgroupPath::parse(&format!("{name}.slice:vc:{name}"), true).unwrap();
    let host = Host::detect().unwrap().with_systemd(Systemd {
        booted: booted.to_owned(),
        busctl: busctl.to_owned(),
    });
    Cgroup::open(&host, &path)
}

#[test]
fn a_scope_holds_the_process_and_is_stopped_without_it() {
    let mut rig = Rig::new("scope");
    rig.created();
    let pid = rig.process.pid();
    assert!(rig.cgroup.directories().all(|path| holds(&path, pid)));
    let calls = rig.calls();
    let head = "--system -- call org.freedesktop.systemd1 /org/freedesktop/systemd1 \
                org.freedesktop.systemd1.Manager";
    assert!(calls[0].starts_with(head), "{calls:?}");
    assert!(calls[0].ends_with(&format!("PIDs au 1 {pid} 0")));
    let second = Idle::start();
    rig.cgroup.add(second.pid()).unwrap();
    assert!(
        rig.cgroup
            .directories()
            .all(|path| holds(&path, second.pid()))
    );

    rig.ledger.undo();
    assert!(rig.process.lives());
    assert!(!rig.cgroup.directories().any(|path| path.exists()));
    let stop = format!("{head} StopUnit ss {} replace", rig.unit);
    assert_eq!(rig.calls()[1..], [stop]);
    rig.ledger.undo();
    assert_eq!(rig.calls().len(), 2);
}

#[test]
fn the_scope_is_entered_first_and_then_what_systemd_leaves_out() {
    let rig = Rig::new("entries");
    rig.created();
    let effects = rig.ledger.effects();
    let Undo::Scope {
        unit, directories, ..
    } = &effects[0]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(*unit, rig.unit);
    assert_eq!(*directories, rig.cgroup.directories().collect::<Vec<_>>());
    if let Some(Undo::Directories { leaves, .. }) = effects.get(1) {
        assert_eq!(leaves[..], directories[2..]);
    }
    let is_of_web = |entry| is_of_container(entry, &container("web"));
    assert!(rig.ledger.entries().iter().all(is_of_web));
    rig.ledger.undo();
}

#[test]
fn a_process_that_ends_is_not_waited_for() {
    let mut rig = Rig::with("gone", "#!/bin/sh\n");
    let pid = rig.process.pid();
    rig.process.kill();
    rig.process.wait();
    let error = rig.create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gone);
    assert!(error.to_string().contains(&pid.to_string()), "{error}");
    rig.ledger.undo();
}

#[test]
fn a_unit_that_exists_is_left_alone() {
    let rig = Rig::new("exists");
    let directory = rig.cgroup.directories().next().unwrap();
    fs::create_dir_all(&directory).unwrap();
    let error = rig.create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(rig.ledger.entries().is_empty());
    assert!(directory.exists());
    assert!(rig.calls().is_empty());
}

#[test]
fn what_the_program_says_is_told() {
    let script = "#!/bin/sh\necho 'Call failed: no such slice' >&2\nexit 1\n";
    let rig = Rig::with("says", script);
    let error = rig.create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("Call failed: no such slice"), "{source}");
    rig.ledger.undo();
}

#[test]
fn where_systemd_does_not_stop_a_scope_its_cgroups_go_all_the_same() {
    let script = BUSCTL.replace("StopUnit)", "StopUnit) exit 1");
    let mut rig = Rig::with("refuses", &script);
    rig.created();
    rig.ledger.undo();
    assert!(rig.process.lives());
    assert!(!rig.cgroup.directories().any(|path| path.exists()));
}

#[test]
fn without_systemd_it_is_refused_with_the_remedy() {
    let place = tempfile::tempdir().unwrap();
    let absent = place.path().join("absent");
    let error = open("vct", &absent, Path::new("busctl")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("--cgroup-manager cgroupfs"));

    let (process, ledger) = (Idle::start(), Ledger::new());
    let cgroup = open(&unique("absent"), place.path(), &absent).unwrap();
    let error = cgroup
        .create(&container("web"), process.pid(), &ledger)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("install systemd"), "{error}");
    ledger.undo();
}

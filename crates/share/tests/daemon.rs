//! The daemon for real: the C one that Debian 12 brings, and one named by `VC_TEST_VIRTIOFSD`.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Ledger, container, isolated, mounts_of, sandbox};
use virtcontainers_process::{Mark, find_by_nonce};
use virtcontainers_share::{Cache, Daemon, DaemonConfig, ErrorKind, Exit, Tree};

const DEADLINE: Duration = Duration::from_secs(20);

/// Every daemon of this machine; at least one.
fn daemons() -> Vec<DaemonConfig> {
    let named = std::env::var_os("VC_TEST_VIRTIOFSD").map(PathBuf::from);
    let installed = DaemonConfig::default().find().unwrap();
    let all = [Some(installed), named].into_iter().flatten();
    all.map(|path| DaemonConfig {
        path: Some(path),
        ..DaemonConfig::default()
    })
    .collect()
}

fn nonce(directory: &Path) -> String {
    format!("test-{}", directory.display())
}

/// The monitor's side of the socket. Says hello as vhost-user does and waits for the answer, which
/// comes when the daemon is in its sandbox.
fn connect(directory: &Path) -> UnixStream {
    let place = fs::File::open(directory).unwrap();
    let address = format!("/proc/self/fd/{}/fs.sock", place.as_raw_fd());
    let mut stream = UnixStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // VHOST_USER_GET_FEATURES, version 1, no payload; the answer has eight bytes more.
    let request = [1_u32, 1, 0].map(u32::to_ne_bytes).concat();
    stream.write_all(&request).unwrap();
    let mut answer = [0; 20];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..4], request[..4]);
    stream
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let timed = async { tokio::time::timeout(DEADLINE, work).await };
    runtime.unwrap().block_on(timed).unwrap()
}

fn start(config: &DaemonConfig, tree: &Tree, directory: &Path, ledger: &Ledger) -> Daemon {
    Daemon::start(config, tree, directory, &nonce(directory), false, ledger).unwrap()
}

#[test]
fn what_is_bound_after_its_start_is_seen_by_the_daemon() {
    isolated(|directory| {
        let source = directory.join("source");
        fs::create_dir(&source).unwrap();
        for config in daemons() {
            let ledger = Ledger::new();
            let root = directory.join("root");
            let tree = Tree::create(&root, &sandbox(), &ledger).unwrap();
            // Longer than the address of a socket.
            let machine = directory.join("m".repeat(200));
            fs::create_dir(&machine).unwrap();
            let daemon = start(&config, &tree, &machine, &ledger);
            let monitor = connect(&machine);
            tree.add_rootfs(&container("a"), &source, false, &ledger)
                .unwrap();
            let processes = find_by_nonce(&nonce(&machine)).unwrap();
            assert_eq!(processes.len(), 2, "the daemon and the one in its sandbox");
            let sandboxed = processes
                .iter()
                .find(|process| process.pid != daemon.identity().pid)
                .unwrap();
            let seen = |wanted: &str| {
                mounts_of(&format!("/proc/{}", sandboxed.pid))
                    .iter()
                    .any(|line| line.split(' ').nth(4) == Some(wanted))
            };
            assert!(
                seen("/a/rootfs"),
                "{:?}",
                mounts_of(&format!("/proc/{}", sandboxed.pid))
            );
            // It holds descriptors of what a guest looked at; a directory of ours stands for one.
            tree.remove_container(&container("a")).unwrap();
            assert!(!seen("/a/rootfs"));

            // It ends when the monitor does.
            drop(monitor);
            let exit = run(daemon.wait()).unwrap();
            assert!(!matches!(exit, Exit::Unknown), "{exit}");
            assert_eq!(run(daemon.wait()).unwrap(), exit);
            drop(daemon);
            ledger.undo();
            fs::remove_dir(&machine).unwrap();
        }
    });
}

#[test]
fn its_death_is_noticed_and_leaves_no_process() {
    isolated(|directory| {
        for config in daemons() {
            let ledger = Ledger::new();
            let tree = Tree::create(&directory.join("root"), &sandbox(), &ledger).unwrap();
            let daemon = start(&config, &tree, directory, &ledger);
            let _monitor = connect(directory);
            let mark = Mark::new(nonce(directory), "virtiofsd");
            let processes = mark.find().unwrap();
            assert_eq!(processes.len(), 2);
            daemon.kill().unwrap();
            for process in processes {
                run(process.wait_gone(DEADLINE)).unwrap();
            }
            assert_eq!(run(daemon.wait()).unwrap(), Exit::Signal(9));
            daemon.kill().unwrap();
            ledger.undo();
            assert_eq!(mark.find().unwrap(), []);
        }
    });
}

#[test]
fn a_daemon_that_nobody_connected_to_is_undone_by_its_mark() {
    isolated(|directory| {
        for config in daemons() {
            let ledger = Ledger::new();
            let tree = Tree::create(&directory.join("root"), &sandbox(), &ledger).unwrap();
            let daemon = start(&config, &tree, directory, &ledger);
            ledger.undo();
            assert_eq!(find_by_nonce(&nonce(directory)).unwrap(), []);
            assert_eq!(run(daemon.wait()).unwrap(), Exit::Signal(9));
            ledger.undo();
            // And a drop ends it too.
            let tree = Tree::create(&directory.join("root"), &sandbox(), &ledger).unwrap();
            drop(start(&config, &tree, directory, &ledger));
            assert_eq!(find_by_nonce(&nonce(directory)).unwrap(), []);
            ledger.undo();
        }
    });
}

#[test]
fn its_last_words_are_kept() {
    isolated(|directory| {
        for config in daemons() {
            let ledger = Ledger::new();
            let tree = Tree::create(&directory.join("root"), &sandbox(), &ledger).unwrap();
            // There is nothing to serve any more.
            tree.remove().unwrap();
            let daemon = start(&config, &tree, directory, &ledger);
            let place = fs::File::open(directory).unwrap();
            let address = format!("/proc/self/fd/{}/fs.sock", place.as_raw_fd());
            // It may have ended already: then this is refused.
            drop(UnixStream::connect(address));
            let exit = run(daemon.wait()).unwrap();
            assert!(!exit.is_success(), "{exit}");
            assert!(!daemon.stderr().is_empty());
            ledger.undo();
        }
    });
}

#[test]
fn refusals_have_no_effects() {
    isolated(|directory| {
        let ledger = Ledger::new();
        let tree = Tree::create(&directory.join("root"), &sandbox(), &ledger).unwrap();
        let recorded = ledger.entries().len();
        let config = DaemonConfig {
            path: Some("/no/such/virtiofsd".into()),
            cache: Cache::Always,
            ..DaemonConfig::default()
        };
        let error = Daemon::start(&config, &tree, directory, "n", false, &ledger).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let nowhere = DaemonConfig {
            candidates: vec!["no-such-virtiofsd".into()],
            ..DaemonConfig::default()
        };
        let error = nowhere.find().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("install"), "{cause}");
        assert_eq!(ledger.entries().len(), recorded);
        ledger.undo();
    });
}

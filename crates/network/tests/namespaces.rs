//! Network namespaces for real, in mount namespaces of the tests' own. Needs root.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]
#![allow(unsafe_code, reason = "unshare(2) has no safe wrapper")]

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

use rustix::mount::MountPropagationFlags;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use virtcontainers_network::{ErrorKind, Namespace, create_namespace_in, open_namespace, undo};
use virtcontainers_types::{UndoEntry, UndoSink};

/// A ledger in memory that is full after some entries.
#[derive(Debug)]
struct Ledger {
    entries: Mutex<Vec<UndoEntry>>,
    room: usize,
}

impl Ledger {
    fn new() -> Self {
        Self::with_room(usize::MAX)
    }

    fn with_room(room: usize) -> Self {
        let entries = Mutex::default();
        Self { entries, room }
    }

    fn undo(&self) {
        for entry in self.entries.lock().unwrap().iter().rev() {
            undo(entry).unwrap();
        }
    }
}

impl UndoSink for Ledger {
    fn record(&self, entry: UndoEntry) -> io::Result<()> {
        let mut entries = self.entries.lock().unwrap();
        if entries.len() == self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        entries.push(entry);
        Ok(())
    }
}

/// The mounts at and below a directory, which nobody else knows of.
fn mounts(directory: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let directory = directory.to_str().unwrap();
    let mounts = table.lines().filter(|line| line.contains(directory));
    mounts.map(str::to_owned).collect()
}

/// Runs a test on a thread in a mount namespace of its own, in which `/` is shared or private.
fn isolated(test: fn(&Path)) {
    for propagation in [
        MountPropagationFlags::PRIVATE,
        MountPropagationFlags::SHARED,
    ] {
        let run = move || {
            // SAFETY: a mount namespace of its own changes nothing that Rust's guarantees rest on.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
            let all = MountPropagationFlags::REC;
            rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | all).unwrap();
            rustix::mount::mount_change("/", propagation | all).unwrap();
            let root = tempfile::tempdir().unwrap();
            test(&root.path().join("netns"));
            assert_eq!(mounts(root.path()), [""; 0]);
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
            root.path().to_owned()
        };
        let root = std::thread::spawn(run).join().unwrap();
        assert_eq!(mounts(&root), [""; 0]);
    }
}

fn inside<T: Send + 'static>(
    namespace: &Namespace,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let descriptor = namespace.descriptor().unwrap();
    let run = move || {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(descriptor.as_fd(), kind).unwrap();
        work()
    };
    std::thread::spawn(run).join().unwrap()
}

#[test]
fn a_namespace_is_made_named_and_undone() {
    isolated(|directory| {
        let ledger = Ledger::new();
        let namespace = create_namespace_in(directory, "vc-a", &ledger).unwrap();
        assert_eq!(namespace.path(), directory.join("vc-a"));
        let flags = inside(&namespace, || {
            let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            assert_eq!(links.lines().count(), 3, "{links}");
            fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default()
                + &fs::read_to_string("/proc/thread-self/net/fib_trie").unwrap()
        });
        // The kernel gives 127.0.0.1 to a loopback interface when it comes up.
        assert!(flags.contains("127.0.0.1"), "{flags}");
        let again = open_namespace(namespace.path()).unwrap();
        assert_eq!(inode(&again), inode(&namespace));
        // Names are seen by namespaces that are made later, hence a shared mount.
        let mount = mounts(directory)
            .into_iter()
            .find(|line| line.split(' ').nth(4) == directory.to_str() && line.contains(" shared:"));
        assert!(mount.is_some(), "{:?}", mounts(directory));
        ledger.undo();
        assert!(!directory.exists());
        ledger.undo();
    });
}

fn inode(namespace: &Namespace) -> u64 {
    File::from(namespace.descriptor().unwrap())
        .metadata()
        .unwrap()
        .ino()
}

#[test]
fn a_taken_name_is_refused_and_stays() {
    isolated(|directory| {
        let first = Ledger::new();
        let namespace = create_namespace_in(directory, "vc-a", &first).unwrap();
        let second = Ledger::new();
        let error = create_namespace_in(directory, "vc-a", &second).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        second.undo();
        assert_eq!(
            inode(&open_namespace(namespace.path()).unwrap()),
            inode(&namespace)
        );
        let other = create_namespace_in(directory, "vc-b", &second).unwrap();
        first.undo();
        // The directory stays while somebody has a name in it, though its maker is gone.
        open_namespace(other.path()).unwrap();
        second.undo();
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
        first.undo();
        assert!(!directory.exists());
    });
}

#[test]
fn nothing_happens_that_was_not_written_down() {
    isolated(|directory| {
        for room in 0..2 {
            let ledger = Ledger::with_room(room);
            create_namespace_in(directory, "vc-a", &ledger).unwrap_err();
            assert!(!directory.join("vc-a").exists());
            ledger.undo();
            assert!(!directory.exists());
        }
    });
}

#[test]
fn an_undo_of_what_never_happened_or_half_happened_succeeds() {
    isolated(|directory| {
        let ledger = Ledger::new();
        drop(create_namespace_in(directory, "vc-a", &ledger).unwrap());
        ledger.undo();
        ledger.undo();
        fs::create_dir(directory).unwrap();
        ledger.undo();
        assert!(!directory.exists());
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("vc-a"), "").unwrap();
        ledger.undo();
        assert!(!directory.exists());
    });
}

#[test]
fn what_is_not_a_namespace_is_left_alone() {
    isolated(|directory| {
        let ledger = Ledger::new();
        drop(create_namespace_in(directory, "vc-a", &ledger).unwrap());
        ledger.undo();
        fs::create_dir(directory).unwrap();
        let path = directory.join("vc-a");
        fs::write(&path, "precious").unwrap();
        let entries = ledger.entries.lock().unwrap().clone();
        let error = undo(entries.last().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        // A mount of something else.
        fs::write(&path, "").unwrap();
        let precious = directory.with_file_name("precious");
        fs::write(&precious, "").unwrap();
        rustix::mount::mount_bind(&precious, &path).unwrap();
        undo(entries.last().unwrap()).unwrap_err();
        rustix::mount::unmount(&path, rustix::mount::UnmountFlags::empty()).unwrap();
        fs::remove_dir_all(directory).unwrap();
        fs::remove_file(precious).unwrap();
    });
}

#[test]
fn a_name_in_use_goes_and_the_namespace_stays_for_its_user() {
    isolated(|directory| {
        let ledger = Ledger::new();
        let namespace = create_namespace_in(directory, "vc-a", &ledger).unwrap();
        let user = File::open(namespace.path()).unwrap();
        ledger.undo();
        assert!(!namespace.path().exists());
        move_thread(user);
    });
}

fn move_thread(user: File) {
    let enter = move || {
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    };
    std::thread::spawn(enter).join().unwrap();
}

#[test]
fn given_paths_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let fifo = directory.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let gone = directory.path().join("gone");
    let rows: [(&Path, ErrorKind); 7] = [
        (&gone, ErrorKind::NotFound),
        (&file, ErrorKind::Invalid),
        (&fifo, ErrorKind::Invalid),
        (directory.path(), ErrorKind::Invalid),
        (Path::new("/proc/self/ns/mnt"), ErrorKind::Invalid),
        (Path::new("/proc/self/ns/net"), ErrorKind::Denied),
        (Path::new("/proc/1/ns/net"), ErrorKind::Denied),
    ];
    for (path, kind) in rows {
        let error = open_namespace(path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn names_are_file_names() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::new();
    for name in ["", ".", "..", "a/b", "a\0", &"x".repeat(256)] {
        let error = create_namespace_in(directory.path(), name, &ledger).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}");
    }
    assert!(ledger.entries.lock().unwrap().is_empty());
}

#[test]
fn foreign_entries_are_refused() {
    let entry = |owner: &str, version, payload: &str| UndoEntry {
        owner: owner.to_owned(),
        version,
        payload: payload.parse().unwrap(),
    };
    let rows = [
        (entry("share", 1, "{}"), ErrorKind::Invalid),
        (entry("network", 3, "{}"), ErrorKind::Incompatible),
        (
            entry("network", 1, "{\"effect\":\"magic\"}"),
            ErrorKind::Corrupt,
        ),
    ];
    for (entry, kind) in rows {
        assert_eq!(undo(&entry).unwrap_err().kind(), kind);
    }
}

#[test]
fn descriptors_do_not_leak_into_programs() {
    isolated(|directory| {
        let ledger = Ledger::new();
        let namespace = create_namespace_in(directory, "vc-a", &ledger).unwrap();
        let descriptor = namespace.descriptor().unwrap();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd()));
        let flags = info.unwrap();
        let flags = flags
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & 0o2_000_000, 0, "O_CLOEXEC");
        ledger.undo();
    });
}

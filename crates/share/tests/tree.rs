//! Shared trees for real, where `/` is a private mount and where it is a shared one. Needs root.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod common;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use common::{Ledger, container, isolated, mounts, sandbox, unshare_mounts};
use rustix::mount::{MountFlags, UnmountFlags};
use virtcontainers_share::{Error, ErrorKind, GUEST_DIRECTORY, Tree, undo};
use virtcontainers_types::{UndoEntry, Volume};

/// A directory with something in it that must never be lost.
fn precious(directory: &Path) -> PathBuf {
    let source = directory.join("precious");
    fs::create_dir_all(source.join("below")).unwrap();
    fs::write(source.join("below/file"), "data").unwrap();
    source
}

fn assert_intact(source: &Path) {
    assert_eq!(
        fs::read_to_string(source.join("below/file")).unwrap(),
        "data"
    );
}

fn tree(directory: &Path, ledger: &Ledger) -> Tree {
    Tree::create(&directory.join("root"), &sandbox(), ledger).unwrap()
}

fn volume(source: &Path, read_only: bool) -> Volume {
    Volume {
        source: source.to_owned(),
        destination: "/v".into(),
        read_only,
    }
}

/// The path on the served side of a path in the guest.
fn served(tree: &Tree, in_guest: &Path) -> PathBuf {
    tree.served()
        .join(in_guest.strip_prefix(GUEST_DIRECTORY).unwrap())
}

fn writable(tree: &Tree, in_guest: &Path) -> PathBuf {
    let inside = in_guest.strip_prefix(GUEST_DIRECTORY).unwrap();
    tree.served().with_file_name("rw").join(inside)
}

fn is_read_only(result: io::Result<()>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
}

fn tmpfs(at: &Path) {
    rustix::mount::mount("none", at, "tmpfs", MountFlags::empty(), None).unwrap();
}

fn unmount(path: &Path) {
    rustix::mount::unmount(path, UnmountFlags::empty()).unwrap();
}

#[test]
fn the_guest_writes_into_what_is_shared_and_not_beside_it() {
    isolated(|directory| {
        let source = precious(directory);
        let ledger = Ledger::new();
        let tree = tree(directory, &ledger);
        let in_guest = tree
            .add_rootfs(&container("a"), &source, false, &ledger)
            .unwrap();
        assert_eq!(in_guest, Path::new(GUEST_DIRECTORY).join("a/rootfs"));
        let seen = served(&tree, &in_guest);
        assert_intact(&seen);
        fs::write(seen.join("new"), "").unwrap();
        assert!(source.join("new").exists());
        for beside in [tree.served(), tree.served().join("a")] {
            assert!(is_read_only(fs::create_dir(beside.join("x"))));
            assert!(is_read_only(fs::remove_dir(beside.join("rootfs"))) || beside == tree.served());
        }
        tree.remove().unwrap();
        assert_intact(&source);
        tree.remove().unwrap();
        ledger.undo();
        assert_intact(&source);
    });
}

#[test]
fn read_only_is_enforced_on_the_host_and_only_there() {
    isolated(|directory| {
        let source = precious(directory);
        fs::create_dir(source.join("mounted")).unwrap();
        tmpfs(&source.join("mounted"));
        let ledger = Ledger::new();
        let tree = tree(directory, &ledger);
        let a = container("a");
        let file = source.join("below/file");
        for (index, source) in [&source, &file].into_iter().enumerate() {
            let in_guest = tree
                .add_volume(&a, index, &volume(source, true), &ledger)
                .unwrap();
            for side in [served(&tree, &in_guest), writable(&tree, &in_guest)] {
                if source.is_dir() {
                    assert_intact(&side);
                    assert!(is_read_only(fs::write(side.join("x"), "")));
                    assert!(is_read_only(fs::write(side.join("mounted/x"), "")));
                } else {
                    assert_eq!(fs::read_to_string(&side).unwrap(), "data");
                    assert!(is_read_only(fs::write(&side, "")));
                }
            }
        }
        let in_guest = tree.add_rootfs(&a, &source, true, &ledger).unwrap();
        assert!(is_read_only(fs::write(
            served(&tree, &in_guest).join("x"),
            ""
        )));
        let in_guest = tree
            .add_volume(&a, 7, &volume(&file, false), &ledger)
            .unwrap();
        fs::write(served(&tree, &in_guest), "data").unwrap();
        // The user's own mount is as it was.
        fs::write(source.join("mounted/y"), "").unwrap();
        ledger.undo();
        assert_intact(&source);
        unmount(&source.join("mounted"));
    });
}

#[test]
fn mounts_below_a_root_file_system_come_along_and_go_with_it() {
    isolated(|directory| {
        let source = precious(directory);
        fs::create_dir(source.join("mounted")).unwrap();
        tmpfs(&source.join("mounted"));
        fs::write(source.join("mounted/file"), "deep").unwrap();
        let before = mounts(directory);
        let ledger = Ledger::new();
        let tree = tree(directory, &ledger);
        let in_guest = tree
            .add_rootfs(&container("a"), &source, false, &ledger)
            .unwrap();
        let seen = served(&tree, &in_guest).join("mounted/file");
        assert_eq!(fs::read_to_string(seen).unwrap(), "deep");
        // What is mounted into the source later is the host's own affair.
        fs::create_dir(source.join("later")).unwrap();
        tmpfs(&source.join("later"));
        fs::write(source.join("later/file"), "").unwrap();
        assert!(!served(&tree, &in_guest).join("later/file").exists());
        unmount(&source.join("later"));
        tree.remove_container(&container("a")).unwrap();
        assert!(!tree.served().join("a").exists());
        tree.remove_container(&container("a")).unwrap();
        tree.remove().unwrap();
        assert_eq!(mounts(directory), before);
        assert_eq!(
            fs::read_to_string(source.join("mounted/file")).unwrap(),
            "deep"
        );
        assert_intact(&source);
        unmount(&source.join("mounted"));
    });
}

#[test]
fn a_root_file_system_on_overlayfs_works() {
    isolated(|directory| {
        let lower = precious(directory);
        // Overlayfs does not take every file system for its upper layer.
        let layers = directory.join("layers");
        fs::create_dir(&layers).unwrap();
        tmpfs(&layers);
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| layers.join(name));
        for path in [&upper, &work, &merged] {
            fs::create_dir(path).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).unwrap();
        let flags = MountFlags::empty();
        rustix::mount::mount("overlay", &merged, "overlay", flags, &*options).unwrap();
        let ledger = Ledger::new();
        let tree = tree(directory, &ledger);
        let in_guest = tree
            .add_rootfs(&container("a"), &merged, false, &ledger)
            .unwrap();
        let seen = served(&tree, &in_guest);
        assert_intact(&seen);
        fs::remove_file(seen.join("below/file")).unwrap();
        fs::write(seen.join("new"), "").unwrap();
        ledger.undo();
        assert_intact(&lower);
        assert!(upper.join("new").exists());
        unmount(&merged);
        unmount(&layers);
    });
}

#[test]
fn sources_are_resolved_and_checked() {
    isolated(|directory| {
        let source = precious(directory);
        let link = directory.join("link");
        symlink("precious", &link).unwrap();
        let ledger = Ledger::new();
        let tree = tree(directory, &ledger);
        let a = container("a");
        let in_guest = tree.add_rootfs(&a, &link, false, &ledger).unwrap();
        assert_intact(&served(&tree, &in_guest));
        let again = tree.add_rootfs(&a, &source, false, &ledger).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        assert_intact(&served(&tree, &in_guest));

        let recorded = ledger.entries().len();
        let dangling = directory.join("dangling");
        symlink("nowhere", &dangling).unwrap();
        let socket = directory.join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        let rows = [
            (directory.join("gone"), ErrorKind::NotFound),
            (source.join("below/file/x"), ErrorKind::Internal),
            (dangling, ErrorKind::NotFound),
            (socket, ErrorKind::Unsupported),
            ("/dev/null".into(), ErrorKind::Unsupported),
        ];
        for (path, kind) in rows {
            let b = container("b");
            for error in [
                tree.add_rootfs(&b, &path, false, &ledger).unwrap_err(),
                tree.add_volume(&b, 0, &volume(&path, false), &ledger)
                    .unwrap_err(),
            ] {
                assert_eq!(error.kind(), kind, "{error}");
                assert!(
                    error.to_string().contains(path.to_str().unwrap()),
                    "{error}"
                );
            }
        }
        let file = source.join("below/file");
        let error: Error = tree
            .add_rootfs(&container("b"), &file, false, &ledger)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(ledger.entries().len(), recorded, "a refusal has no effects");
        ledger.undo();
        assert_intact(&source);
    });
}

#[test]
fn another_process_finds_the_tree() {
    isolated(|directory| {
        let source = precious(directory);
        let root = directory.join("root");
        let missing = Tree::open(&root, &sandbox()).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let ledger = Ledger::new();
        let first = tree(directory, &ledger);
        let taken = Tree::create(&root, &sandbox(), &Ledger::new()).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        let second = Tree::open(&root, &sandbox()).unwrap();
        let in_guest = second
            .add_rootfs(&container("a"), &source, false, &ledger)
            .unwrap();
        assert_intact(&served(&first, &in_guest));
        ledger.undo();
        assert_eq!(
            Tree::open(&root, &sandbox()).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}

/// The original removed the tree recursively while binds were live, and with it users' files.
#[test]
fn nothing_is_deleted_through_a_bind_that_will_not_go() {
    isolated(|directory| {
        let source = precious(directory);
        let ledger = Ledger::new();
        let tree = tree(directory, &ledger);
        let in_guest = tree
            .add_rootfs(&container("a"), &source, false, &ledger)
            .unwrap();
        let at = writable(&tree, &in_guest);
        // Busy on both sides, covered by another mount, and with a mount that we do not know of.
        let _busy = File::open(served(&tree, &in_guest).join("below/file")).unwrap();
        let _busy_too = File::open(at.join("below")).unwrap();
        tmpfs(&at);
        fs::write(at.join("on top"), "").unwrap();
        let foreign = at.with_file_name("foreign");
        fs::create_dir(&foreign).unwrap();
        rustix::mount::mount_bind(&source, &foreign).unwrap();
        let mut entries = ledger.entries();
        let whole = entries.remove(0);
        let failures = entries.iter().rev().filter(|entry| undo(entry).is_err());
        assert_eq!(
            failures.count(),
            1,
            "the container's directory is not empty"
        );
        undo(&whole).unwrap();
        assert_intact(&source);
    });
}

#[test]
fn what_was_not_made_here_is_left_alone() {
    isolated(|directory| {
        let source = precious(directory);
        let ledger = Ledger::new();
        let tree = tree(directory, &ledger);
        let a = container("a");
        let in_guest = tree.add_rootfs(&a, &source, false, &ledger).unwrap();
        let file = source.join("below/file");
        let file_in_guest = tree
            .add_volume(&a, 0, &volume(&file, false), &ledger)
            .unwrap();
        // Somebody unmounts behind our back and puts data in the places.
        let (at, file_at) = (writable(&tree, &in_guest), writable(&tree, &file_in_guest));
        unmount(&at);
        unmount(&file_at);
        fs::write(at.join("data"), "x").unwrap();
        fs::write(&file_at, "x").unwrap();
        for entry in ledger.entries().iter().rev() {
            undo(entry).unwrap_err();
        }
        tree.remove().unwrap_err();
        assert_eq!(fs::read_to_string(at.join("data")).unwrap(), "x");
        assert_eq!(fs::read_to_string(&file_at).unwrap(), "x");
        assert_intact(&source);
        fs::remove_file(at.join("data")).unwrap();
        fs::write(&file_at, "").unwrap();
        ledger.undo();
        assert_intact(&source);
    });
}

/// At each point where the ledger is full the operation fails, and what happened before is undone.
#[test]
fn nothing_happens_that_was_not_written_down() {
    isolated(|directory| {
        let source = precious(directory);
        let fill = |ledger: &Ledger| -> Result<(), Error> {
            let tree = Tree::create(&directory.join("root"), &sandbox(), ledger)?;
            tree.add_rootfs(&container("a"), &source, false, ledger)?;
            tree.add_volume(&container("a"), 0, &volume(&source, true), ledger)?;
            tree.add_volume(
                &container("b"),
                0,
                &volume(&source.join("below/file"), false),
                ledger,
            )?;
            Ok(())
        };
        let before = mounts(directory);
        let mut room = 0;
        loop {
            let ledger = Ledger::with_room(room);
            let result = fill(&ledger);
            // Every prefix of the undoing, then all of it: a dying undo is taken up again.
            let entries = ledger.entries();
            for kept in 0..entries.len() {
                for entry in entries[kept..].iter().rev() {
                    undo(entry).unwrap();
                }
                assert_intact(&source);
            }
            ledger.undo();
            assert_eq!(mounts(directory), before, "after {room} entries");
            assert_intact(&source);
            if result.is_ok() {
                break;
            }
            room += 1;
        }
        assert_eq!(room, 6);
    });
}

#[test]
fn later_binds_reach_namespaces_that_were_made_before_and_leave_them_too() {
    isolated(|directory| {
        let source = precious(directory);
        let ledger = Ledger::new();
        let tree = tree(directory, &ledger);
        let (to_other, from_us) = std::sync::mpsc::channel::<PathBuf>();
        let (to_us, from_other) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                unshare_mounts();
                to_us.send(true).unwrap();
                for path in from_us {
                    to_us.send(path.join("below/file").exists()).unwrap();
                }
            });
            from_other.recv().unwrap();
            let in_guest = tree
                .add_rootfs(&container("a"), &source, false, &ledger)
                .unwrap();
            let ask = |path: PathBuf| {
                to_other.send(path).unwrap();
                from_other.recv().unwrap()
            };
            assert!(ask(served(&tree, &in_guest)));
            tree.remove_container(&container("a")).unwrap();
            assert!(!ask(served(&tree, &in_guest)));
            drop(to_other);
        });
        ledger.undo();
        assert_intact(&source);
    });
}

#[test]
fn foreign_entries_are_refused() {
    let entry = |owner: &str, version, payload: &str| UndoEntry {
        owner: owner.to_owned(),
        version,
        payload: payload.parse().unwrap(),
    };
    let mount = |name: &str| {
        let payload = format!(
            "{{\"effect\":\"mount\",\"tree\":\"/t\",\"container\":\"a\",\"name\":\"{name}\"}}"
        );
        entry("share", 1, &payload)
    };
    let rows = [
        (entry("network", 1, "{}"), ErrorKind::Invalid),
        (entry("share", 2, "{}"), ErrorKind::Incompatible),
        (entry("share", 1, "{}"), ErrorKind::Corrupt),
        (mount(".."), ErrorKind::Corrupt),
        (mount("a/../.."), ErrorKind::Corrupt),
        (mount("/etc"), ErrorKind::Corrupt),
        (mount(""), ErrorKind::Corrupt),
    ];
    for (entry, kind) in rows {
        assert_eq!(undo(&entry).unwrap_err().kind(), kind, "{entry:?}");
    }
    undo(&mount("rootfs")).unwrap();
}

#[test]
fn an_undone_socket_was_a_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fs.sock");
    let entry = UndoEntry {
        owner: "share".to_owned(),
        version: 1,
        payload: serde_json::json!({ "effect": "socket", "path": path }),
    };
    undo(&entry).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    undo(&entry).unwrap();
    assert!(!path.exists());
    drop(listener);
    fs::write(&path, "data").unwrap();
    assert_eq!(undo(&entry).unwrap_err().kind(), ErrorKind::WrongState);
    assert_eq!(fs::metadata(&path).unwrap().size(), 4);
}

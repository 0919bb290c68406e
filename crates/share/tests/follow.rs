//! What of the mounts below a volume the guest gets: those of now, those of later, or none. Needs
//! root.
#![allow(clippy::unwrap_used, reason = "the failure is the test's")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Ledger, container, isolated, mounts, sandbox};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use virtcontainers_share::{GUEST_DIRECTORY, SharedVolume, Tree};

/// A shared mount with a mount below it: `now/file`, and an empty folder `later`.
fn source(directory: &Path) -> PathBuf {
    let source = directory.join("source");
    fs::create_dir(&source).unwrap();
    tmpfs(&source);
    rustix::mount::mount_change(&source, MountPropagationFlags::SHARED).unwrap();
    for name in ["now", "later"] {
        fs::create_dir(source.join(name)).unwrap();
    }
    tmpfs(&source.join("now"));
    fs::write(source.join("now/file"), "").unwrap();
    source
}

fn tmpfs(at: &Path) {
    rustix::mount::mount("none", at, "tmpfs", MountFlags::empty(), None).unwrap();
}

fn unmount(path: &Path) {
    rustix::mount::unmount(path, UnmountFlags::empty()).unwrap();
}

/// Recursive, following; then what is seen of the mount below and of one made later.
const CASES: [(bool, bool, bool, bool); 4] = [
    (false, false, false, false),
    (true, false, true, false),
    (true, true, true, true),
    (false, true, false, true),
];

#[test]
fn a_volume_shows_the_mounts_that_are_asked_for() {
    isolated(|directory| {
        let source = source(directory);
        let before = mounts(directory);
        for (recursive, follows, now, later) in CASES {
            let ledger = Ledger::new();
            let tree = Tree::create(&directory.join("root"), &sandbox(), &ledger).unwrap();
            let volume = SharedVolume {
                source: &source,
                read_only: false,
                recursive,
                follows,
            };
            let in_guest = tree
                .add_volume(&container("a"), 0, volume, &ledger)
                .unwrap();
            let seen = tree
                .served()
                .join(in_guest.strip_prefix(GUEST_DIRECTORY).unwrap());
            assert_eq!(seen.join("now/file").exists(), now, "{volume:?}");
            tmpfs(&source.join("later"));
            fs::write(source.join("later/file"), "").unwrap();
            assert_eq!(seen.join("later/file").exists(), later, "{volume:?}");
            // What is mounted there does not keep it from going.
            ledger.undo();
            assert!(source.join("later/file").exists());
            unmount(&source.join("later"));
            assert_eq!(mounts(directory), before, "{volume:?}");
            assert!(source.join("now/file").exists());
        }
        unmount(&source.join("now"));
        unmount(&source);
    });
}

#[test]
fn what_is_mounted_in_a_volume_stays_in_it() {
    isolated(|directory| {
        let source = source(directory);
        let ledger = Ledger::new();
        let tree = Tree::create(&directory.join("root"), &sandbox(), &ledger).unwrap();
        let volume = SharedVolume {
            source: &source,
            read_only: false,
            recursive: true,
            follows: true,
        };
        let in_guest = tree
            .add_volume(&container("a"), 0, volume, &ledger)
            .unwrap();
        let inside = in_guest.strip_prefix(GUEST_DIRECTORY).unwrap();
        let bound = tree.path().join("rw").join(inside);
        tmpfs(&bound.join("later"));
        fs::write(bound.join("later/file"), "").unwrap();
        assert!(!source.join("later/file").exists());
        ledger.undo();
        unmount(&source.join("now"));
        unmount(&source);
    });
}

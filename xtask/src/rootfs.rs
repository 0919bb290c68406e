//! `rootfs`: the small root file system that containers run in when nobody brings one. Debian's
//! static busybox, downloaded and unpacked, not installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use pico_args::Arguments;
use tempfile::TempDir;

use crate::apt::{self, Apt};
use crate::cache::Cache;
use crate::cmd::Cmd;
use crate::progress::note;
use crate::tasks::finish;

const PART: &str = "rootfs";
const PACKAGE: &str = "busybox-static";
const KEPT: usize = 2;
/// Ends every entry's name; a change of the layout changes it.
const LAYOUT: &str = "layout1";

const DIRECTORIES: &[(&str, u32)] = &[
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("home/user", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
];

const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n\
         user:x:1000:1000:user:/home/user:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];

const USER: u32 = 1000;

/// The task.
pub(crate) fn task(args: Arguments) -> Result<ExitCode> {
    finish(args)?;
    let dir = ensure(&Cache::open()?)?;
    note(format!("root file system: {}", dir.display()));
    Ok(ExitCode::SUCCESS)
}

/// The root file system in the cache. It is shared: containers get a [`copy`].
pub(crate) fn ensure(cache: &Cache) -> Result<PathBuf> {
    let _lock = cache.lock(PART)?;
    let fresh = |dir: &PathBuf| dir.to_string_lossy().ends_with(LAYOUT);
    if let Some(dir) = cache.current(PART).filter(fresh) {
        return Ok(dir);
    }
    apt::require("the containers' root file system")?;
    let apt = Apt::default();
    let package = apt.candidate(PACKAGE)?;
    let staging = cache.staging(PART)?;
    let scratch = cache.staging(PART)?;
    let deb = apt.download(&package, scratch.path())?;
    apt::unpack(&deb, &scratch.path().join("tree"))?;
    lay_out(staging.path(), &find_busybox(&scratch.path().join("tree"))?)?;
    let key = format!("{PACKAGE}_{}_{LAYOUT}", package.version.replace(':', "%"));
    let dir = cache.publish(staging, PART, &key)?;
    cache.prune(PART, KEPT)?;
    Ok(dir)
}

/// A private copy of the root file system; it goes when the guard is dropped.
pub(crate) fn copy(rootfs: &Path) -> Result<TempDir> {
    let dir = tempfile::Builder::new()
        .prefix("vc-rootfs-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .context("cannot create a directory for the container's root file system")?;
    Cmd::new("cp")
        .args(["-a", "--"])
        .arg(rootfs.join("."))
        .arg(dir.path())
        .run()?;
    Ok(dir)
}

fn find_busybox(tree: &Path) -> Result<PathBuf> {
    let places = ["bin/busybox", "usr/bin/busybox"].map(|place| tree.join(place));
    let found = places.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("the package {PACKAGE} has no busybox where it used to be"))
}

fn lay_out(root: &Path, busybox: &Path) -> Result<()> {
    for (path, mode) in DIRECTORIES {
        let path = root.join(path);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(*mode))?;
    }
    for (path, content) in FILES {
        fs::write(root.join(path), content)?;
    }
    chown(root.join("home/user"), Some(USER), Some(USER))
        .context("cannot give a directory to another user: run this task as root")?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    let applets = Cmd::new(busybox).arg("--list-full").output()?;
    let applets = String::from_utf8(applets).context("busybox lists odd names")?;
    ensure!(
        applets.lines().any(|path| path == "bin/sh"),
        "busybox has no shell"
    );
    for applet in applets.lines() {
        link(root, applet)?;
    }
    Ok(())
}

/// Links one applet to busybox, relatively: the tree works wherever it is mounted.
fn link(root: &Path, applet: &str) -> Result<()> {
    let path = root.join(applet);
    let is_known_place = applet.contains('/') && path.parent().is_some_and(Path::is_dir);
    if !is_known_place || fs::symlink_metadata(&path).is_ok() {
        return Ok(());
    }
    symlink(target(applet), &path).with_context(|| format!("cannot link {}", path.display()))
}

fn target(applet: &str) -> String {
    let depth = applet.matches('/').count();
    format!("{}bin/busybox", "../".repeat(depth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_applet_leads_to_busybox_from_its_own_folder() {
        assert_eq!(target("bin/ls"), "../bin/busybox");
        assert_eq!(target("usr/bin/env"), "../../bin/busybox");
    }

    #[test]
    fn a_copy_is_complete_and_goes_when_dropped() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("tmp")).expect("made");
        fs::set_permissions(dir.path().join("tmp"), Permissions::from_mode(0o1777)).expect("set");
        symlink("tmp", dir.path().join("link")).expect("linked");
        let copied = copy(dir.path()).expect("copied");
        let mode = fs::metadata(copied.path().join("tmp"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o1777);
        assert!(copied.path().join("link").is_symlink());
        let path = copied.path().to_owned();
        drop(copied);
        assert!(!path.exists());
    }
}

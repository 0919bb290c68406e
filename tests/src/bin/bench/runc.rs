//! runc, step by step, as a shim calls it.
#![expect(
    clippy::disallowed_methods,
    reason = "what is measured is this program"
)]

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::bundle;
use crate::setting::PATIENCE;

/// The container for execs.
const KEPT: &str = "vc-bench-kept";

/// Two bundles and a place for runc's own state. Dropped, its container for execs goes.
#[derive(Debug)]
pub(crate) struct Runc {
    root: PathBuf,
    short: PathBuf,
}

impl Runc {
    /// Works in `folder`; its container for execs runs.
    pub(crate) fn start(folder: &Path, rootfs: &Path) -> Result<Self> {
        let bundle = |name: &str, args: &[&str]| -> Result<PathBuf> {
            let bundle = folder.join(name);
            fs::create_dir(&bundle)?;
            let config = bundle::config(&rootfs.display().to_string(), args);
            fs::write(bundle.join("config.json"), config.to_string())?;
            Ok(bundle)
        };
        let runc = Self {
            root: folder.join("runc"),
            short: bundle("short", &["/bin/true"])?,
        };
        runc.create(KEPT, &bundle("long", &["/bin/sleep", "1000"])?)?;
        runc.call(["start", KEPT])?;
        Ok(runc)
    }

    /// create + start + wait + delete.
    pub(crate) fn life(&self, number: usize) -> Result<Duration> {
        let id = format!("vc-bench-{number}");
        let begin = Instant::now();
        let init = self.create(&id, &self.short)?;
        self.call(["start", &id])?;
        let mut ended = [PollFd::new(&init, PollFlags::IN)];
        let count = poll(&mut ended, Some(&Timespec::try_from(PATIENCE)?))?;
        anyhow::ensure!(count > 0, "{id} does not end");
        self.call(["delete", &id])?;
        Ok(begin.elapsed())
    }

    /// exec + wait.
    pub(crate) fn exec(&self) -> Result<Duration> {
        let begin = Instant::now();
        self.call(["exec", KEPT, "/bin/true"])?;
        Ok(begin.elapsed())
    }

    /// state of the container that runs.
    pub(crate) fn state(&self) -> Result<Duration> {
        let begin = Instant::now();
        self.call(["state", KEPT])?;
        Ok(begin.elapsed())
    }

    fn create(&self, id: &str, bundle: &Path) -> Result<OwnedFd> {
        let pid_file = bundle.join("pid");
        let (pid_path, bundle_path) = (text(&pid_file)?, text(bundle)?);
        self.call([
            "create",
            "--pid-file",
            pid_path,
            "--bundle",
            bundle_path,
            id,
        ])?;
        let pid: i32 = fs::read_to_string(&pid_file)?.parse()?;
        let pid = Pid::from_raw(pid).context("no pid")?;
        Ok(pidfd_open(pid, PidfdFlags::empty())?)
    }

    fn call<const N: usize>(&self, words: [&str; N]) -> Result<()> {
        let status = Command::new("runc")
            .arg("--root")
            .arg(&self.root)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("cannot run runc: install the Debian package runc")?;
        anyhow::ensure!(status.success(), "runc {words:?}: {status}");
        Ok(())
    }
}

impl Drop for Runc {
    fn drop(&mut self) {
        if let Err(error) = self.call(["delete", "--force", KEPT]) {
            eprintln!("bench: {error:#}");
        }
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

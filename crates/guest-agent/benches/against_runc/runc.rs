//! runc, step by step, as a shim calls it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::bundle;

/// Two bundles and a place for runc's own state.
pub(crate) struct Runc {
    root: PathBuf,
    short: PathBuf,
    long: PathBuf,
}

impl Runc {
    pub(crate) fn new(folder: &Path, rootfs: &str) -> Self {
        let bundle = |name: &str, args: &[&str]| {
            let bundle = folder.join(name);
            std::fs::create_dir(&bundle).unwrap();
            let config = bundle::config(rootfs, args).to_string();
            std::fs::write(bundle.join("config.json"), config).unwrap();
            bundle
        };
        Self {
            root: folder.join("runc"),
            short: bundle("short", &["/bin/true"]),
            long: bundle("long", &["/bin/sleep", "1000"]),
        }
    }

    fn call(&self, words: &[&str]) {
        #[expect(
            clippy::disallowed_methods,
            reason = "what is measured is this program"
        )]
        let status = Command::new("runc")
            .arg("--root")
            .arg(&self.root)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "runc {words:?}: {status}");
    }

    fn create(&self, id: &str, bundle: &Path) -> OwnedFd {
        let pid_file = bundle.join("pid");
        let words = ["create", "--pid-file"];
        let words = [words[0], words[1], pid_file.to_str().unwrap()];
        self.call(&[&words[..], &["--bundle", bundle.to_str().unwrap(), id]].concat());
        let pid: i32 = std::fs::read_to_string(pid_file).unwrap().parse().unwrap();
        pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()
    }

    /// create + start + wait + delete.
    pub(crate) fn life(&self, round: usize) -> Duration {
        let id = format!("vc-bench-{round}");
        let begin = Instant::now();
        let init = self.create(&id, &self.short);
        self.call(&["start", &id]);
        poll(
            &mut [PollFd::from_borrowed_fd(init.as_fd(), PollFlags::IN)],
            None,
        )
        .unwrap();
        self.call(&["delete", &id]);
        begin.elapsed()
    }

    /// A container for execs.
    pub(crate) fn keep(&self) {
        self.create("vc-bench-keep", &self.long);
        self.call(&["start", "vc-bench-keep"]);
    }

    /// exec + wait.
    pub(crate) fn exec(&self) -> Duration {
        let begin = Instant::now();
        self.call(&["exec", "vc-bench-keep", "/bin/true"]);
        begin.elapsed()
    }

    /// Ends the container for execs.
    pub(crate) fn end(&self) {
        self.call(&["delete", "--force", "vc-bench-keep"]);
    }
}

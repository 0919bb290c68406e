//! The host before and after: what is left of a sandbox.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use virtcontainers_testkit::inventory::{Inventory, Scope};

/// The host as it was.
pub(crate) struct Host {
    scope: Scope,
    before: Inventory,
}

impl Host {
    /// Remembers everything below a state root, and everything with this prefix in its name.
    pub(crate) fn look(root: &Path, prefix: &str) -> Result<Self> {
        let scope = Scope {
            root: root.to_owned(),
            prefix: prefix.to_owned(),
            descriptors: false,
        };
        let before = Inventory::take(&scope)?;
        Ok(Self { scope, before })
    }

    /// Fails if there is anything that there was not before.
    ///
    /// Whoever removed a sandbox on their own account may still be about to end: that is waited for.
    pub(crate) fn assert_same(&self) -> Result<()> {
        for item in Inventory::take(&self.scope)?.compared_with(&self.before) {
            if let Some((_, process)) = item.split_once("process ") {
                let (pid, _) = process.split_once(':').unwrap_or((process, ""));
                await_end(pid.parse()?)?;
            }
        }
        let other = Inventory::take(&self.scope)?.compared_with(&self.before);
        ensure!(other.is_empty(), "{other:#?}");
        Ok(())
    }
}

/// Waits for the end of a process, for a while.
fn await_end(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid).context("no pid")?;
    let patience = Timespec {
        tv_sec: 5,
        tv_nsec: 0,
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => {
            poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience))?;
            Ok(())
        }
        // It has ended.
        Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

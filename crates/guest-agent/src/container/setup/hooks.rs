//! Runs hooks, with the container's state on their stdin, and waits for them.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;

use crate::container::error::{EngineError, Result, Step as _};
use crate::container::plan::{ContainerPlan, HookPlan};

/// Seconds that a hook has which names no number.
const PATIENCE: u32 = 60;

/// What hooks are told.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    plan: &'a ContainerPlan,
    pid: i32,
}

impl<'a> Surroundings<'a> {
    /// To be called while `/proc` is the agent's.
    pub(super) fn new(plan: &'a ContainerPlan) -> Result<Self> {
        if plan.create_hooks.is_empty() && plan.start_hooks.is_empty() {
            return Ok(Self { plan, pid: 0 });
        }
        let link = std::fs::read_link("/proc/self").step(|| "read /proc/self".to_owned())?;
        let pid = link
            .to_str()
            .and_then(|pid| pid.parse().ok())
            .ok_or_else(|| {
                EngineError::internal(format!("/proc/self leads to {}", link.display()))
            })?;
        Ok(Self { plan, pid })
    }

    /// Runs hooks one after the other.
    ///
    /// # Errors
    /// The first one that cannot be run, does not end well, or not in time.
    pub(super) fn run_all(&self, hooks: &[HookPlan], kind: &str, status: &str) -> Result<()> {
        for hook in hooks {
            let name = || format!("{kind} hook {}", hook.path.display());
            self.run(hook, status)
                .map_err(|error| error.within(name()))?;
        }
        Ok(())
    }

    fn run(&self, hook: &HookPlan, status: &str) -> Result<()> {
        #[expect(
            clippy::disallowed_methods,
            reason = "hooks run where this process is, only"
        )]
        let mut command = Command::new(&hook.path);
        if let Some((name, rest)) = hook.args.split_first() {
            command.arg0(name).args(rest);
        }
        command
            .env_clear()
            .envs(hook.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().step(|| "run".to_owned())?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not want to know may close it.
            drop(stdin.write_all(self.state(status).as_bytes()));
        }
        finish(child, hook.timeout.unwrap_or(PATIENCE))
    }

    fn state(&self, status: &str) -> String {
        let annotations: serde_json::Map<_, _> = self
            .plan
            .annotations
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        json!({
            "ociVersion": "1.0.2",
            "id": self.plan.id,
            "status": status,
            "pid": self.pid,
            "bundle": self.plan.rootfs.parent().unwrap_or(&self.plan.rootfs),
            "annotations": annotations,
        })
        .to_string()
    }
}

fn finish(mut child: Child, seconds: u32) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds.into());
    if !ended_by(&child, deadline)? {
        child.kill().step(|| "end it".to_owned())?;
        child.wait().step(|| "wait for it".to_owned())?;
        return Err(EngineError::internal(format!("not done after {seconds} s")));
    }
    let status = child.wait().step(|| "wait for it".to_owned())?;
    if !status.success() {
        return Err(EngineError::internal(status.to_string()));
    }
    Ok(())
}

fn ended_by(child: &Child, deadline: Instant) -> Result<bool> {
    let what = || "wait for it".to_owned();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| EngineError::internal("no process id"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).step(what)?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or_default();
        let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).step(what),
        }
    }
}

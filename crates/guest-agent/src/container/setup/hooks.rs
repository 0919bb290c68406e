//! Runs hooks, with the container's state on their stdin, and waits for them.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;

use crate::container::error::{EngineError, Result, Step as _};
use crate::container::plan::{ContainerPlan, HookPlan};

/// Seconds that a hook has which names no number.
const PATIENCE: u32 = 60;

/// What a pipe holds, in bytes (pipe(7)).
const PIPE: usize = 64 * 1024;

/// How much of the end of a hook's output a failure tells, in bytes.
const MOST_SAID: usize = 4096;

/// The version of the state document.
const OCI_VERSION: &str = "1.2.0";

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
        let what = || "run".to_owned();
        let (output, input) = pipe_with(PipeFlags::CLOEXEC).step(what)?;
        rustix::io::ioctl_fionbio(&output, true).step(what)?;
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
            // A file, not a pipe: nobody waits for a hook that does not want to know.
            .stdin(file(&self.state(status)).step(what)?)
            .stdout(input.try_clone().step(what)?)
            .stderr(input);
        let child = command.spawn().step(what)?;
        // With it go our ends for writing, or the output would have no end.
        drop(command);
        Running::new(child, output)?.finish(hook.timeout.unwrap_or(PATIENCE))
    }

    fn state(&self, status: &str) -> String {
        let annotations: serde_json::Map<_, _> = self
            .plan
            .annotations
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        json!({
            "ociVersion": OCI_VERSION,
            "id": self.plan.id,
            "status": status,
            "pid": self.pid,
            "bundle": self.plan.rootfs.parent().unwrap_or(&self.plan.rootfs),
            "annotations": annotations,
        })
        .to_string()
    }
}

/// A file that only a descriptor leads to.
fn file(text: &str) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("state", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// A hook that was started.
struct Running {
    child: Child,
    pidfd: OwnedFd,
    /// Its output, until that ends.
    output: Option<OwnedFd>,
    /// The last of what it wrote.
    said: Vec<u8>,
}

impl Running {
    fn new(child: Child, output: OwnedFd) -> Result<Self> {
        let what = || "wait for it".to_owned();
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| EngineError::internal("no process id"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).step(what)?;
        Ok(Self {
            child,
            pidfd,
            output: Some(output),
            said: Vec::new(),
        })
    }

    fn finish(mut self, seconds: u32) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(seconds.into());
        let in_time = self.ended_by(deadline)?;
        if !in_time {
            // What it has started goes with the container, which comes to nothing now.
            self.child.kill().step(|| "end it".to_owned())?;
        }
        let status = self.child.wait().step(|| "wait for it".to_owned())?;
        if in_time && status.success() {
            return Ok(());
        }
        let why = if in_time {
            status.to_string()
        } else {
            format!("not done after {seconds} s")
        };
        let said = String::from_utf8_lossy(&self.said);
        Err(EngineError::internal(match said.trim() {
            "" => why,
            said => format!("{why}; it said: {said}"),
        }))
    }

    /// Listens until the hook has ended. What it has started may go on, and is not waited for.
    fn ended_by(&mut self, deadline: Instant) -> Result<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or_default();
            let mut fds = vec![PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
            if let Some(output) = &self.output {
                fds.push(PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN));
            }
            match poll(&mut fds, Some(&left)) {
                Ok(0) | Err(Errno::INTR) if Instant::now() >= deadline => return Ok(false),
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno).step(|| "wait for it".to_owned()),
            }
            let ended = !fds[0].revents().is_empty();
            self.listen();
            if ended {
                return Ok(true);
            }
            // One that never stops talking must not get more time for it.
            if Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }

    /// Takes what is there, at most what a pipe holds.
    fn listen(&mut self) {
        let Some(output) = &self.output else { return };
        let mut buffer = [0; PIPE];
        match rustix::io::read(output, &mut buffer) {
            Ok(0) => self.output = None,
            Ok(count) => {
                self.said.extend_from_slice(&buffer[..count]);
                let surplus = self.said.len().saturating_sub(MOST_SAID);
                self.said.drain(..surplus);
            }
            Err(_) => {}
        }
    }
}

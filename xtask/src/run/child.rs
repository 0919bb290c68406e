//! The command line that `run` starts, and the signals meant for it. A signal that a terminal
//! sends reaches the child by itself, since both are in its foreground group; one that somebody
//! sends to this process alone is passed on. No signal ends this process while the child lives.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use crate::cmd::Cmd;

const WATCHED: [i32; 5] = [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Signals that are events from now on. (Handlers, not a blocked mask: a mask is inherited by the
/// child, and the standard library does not clear it.)
#[derive(Debug)]
pub(super) struct Watch {
    signals: SignalsInfo<WithOrigin>,
}

impl Watch {
    /// Begins to catch signals.
    pub(super) fn begin() -> Result<Self> {
        Ok(Self {
            signals: SignalsInfo::new(WATCHED).context("cannot watch signals")?,
        })
    }
}

/// The running command line.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    watch: Watch,
}

impl Child {
    /// Starts `program` with our own streams, unless a signal has asked for the end before.
    pub(super) fn start(
        mut watch: Watch,
        program: &Path,
        arguments: Vec<OsString>,
        environment: &[(&'static str, OsString)],
    ) -> Result<Self> {
        if let Some(early) = watch
            .signals
            .pending()
            .find(|origin| origin.signal != SIGCHLD)
        {
            bail!(
                "ended by signal {} before the container was started",
                early.signal
            );
        }
        let process = Cmd::new(program)
            .args(arguments)
            .envs(environment)
            .spawn_attached()?;
        Ok(Self { process, watch })
    }

    /// Waits for the end, passing signals on.
    pub(super) fn wait(mut self) -> Result<ExitCode> {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        let pid = pid.context("a child without a pid")?;
        loop {
            if let Some(status) = self
                .process
                .try_wait()
                .context("cannot wait for the child")?
            {
                return Ok(exit_code(status));
            }
            for origin in self.watch.signals.wait() {
                if let Some(signal) = to_pass_on(&origin) {
                    // Not reaped yet, so the pid is still the child's.
                    kill_process(pid, signal).context("cannot pass a signal on")?;
                }
            }
        }
    }
}

/// The signal, unless the kernel sent it for a terminal's key: then the child has it too.
fn to_pass_on(origin: &Origin) -> Option<Signal> {
    let is_for_us = origin.signal == SIGCHLD || matches!(origin.cause, Cause::Kernel);
    if is_for_us {
        None
    } else {
        Signal::from_named_raw(origin.signal)
    }
}

/// A shell's way to say how a program ended: its status, or 128 and the signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;

    fn start(watch: Watch, script: &str) -> Result<Child> {
        Child::start(
            watch,
            Path::new("sh"),
            ["-c", script].map(OsString::from).to_vec(),
            &[],
        )
    }

    fn watch() -> Watch {
        Watch::begin().expect("a watch")
    }

    #[track_caller]
    fn check(script: &str, code: u8) {
        let child = start(watch(), script).expect("started");
        assert_eq!(
            child.wait().expect("ended"),
            ExitCode::from(code),
            "{script}"
        );
    }

    #[test]
    fn the_status_is_the_commands() {
        check("exit 42", 42);
        check("kill -9 $$", 137);
    }

    #[test]
    fn a_child_starts_with_no_signal_held_back() {
        check("exec grep -Eq 'SigBlk:[[:space:]]0+$' /proc/self/status", 0);
    }

    /// One test, since signals reach every watch of the process.
    #[test]
    fn a_signal_sent_to_us_ends_the_child_or_keeps_it_from_starting() {
        let child = start(watch(), "exec sleep 60").expect("started");
        raise(SIGTERM).expect("raised");
        assert_eq!(child.wait().expect("ended"), ExitCode::from(143));

        let early = watch();
        raise(SIGINT).expect("raised");
        let refused = start(early, "exit 0").expect_err("not started");
        assert!(refused.to_string().contains("signal 2"));
    }
}

//! The command line that `run` starts, and the signals meant for it. A signal that a terminal
//! sends reaches the child by itself, since both are in its foreground group; one that somebody
//! sends to this process alone is passed on. No signal ends this process while the child lives.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::cmd::Cmd;

const FORWARDED: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];
/// The `si_code` of a signal that the kernel itself sends, as it does for a terminal's keys.
const SI_KERNEL: i32 = 0x80;

/// Signals held back for this thread, to be read as events.
#[derive(Debug)]
pub(super) struct Watch {
    signals: SigSet,
}

impl Watch {
    /// Begins to hold signals back. (The standard library gives children an empty mask.)
    pub(super) fn begin() -> Result<Self> {
        let mut signals = SigSet::from_iter(FORWARDED);
        signals.add(Signal::SIGCHLD);
        signals.thread_block().context("cannot hold signals back")?;
        Ok(Self { signals })
    }

    /// A signal that came already.
    fn pending(&self) -> Result<Option<i32>> {
        let early = SignalFd::with_flags(
            &self.signals,
            SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
        )?;
        while let Some(signal) = early.read_signal().context("cannot read signals")? {
            let number = i32::try_from(signal.ssi_signo)?;
            if number != Signal::SIGCHLD as i32 {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}

/// The running command line.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    events: SignalFd,
}

impl Child {
    /// Starts `program` with our own streams, unless a signal has asked for the end before.
    pub(super) fn start(
        watch: Watch,
        program: &Path,
        arguments: Vec<OsString>,
        environment: &[(&'static str, OsString)],
    ) -> Result<Self> {
        if let Some(number) = watch.pending()? {
            bail!("ended by signal {number} before the container was started");
        }
        let events = SignalFd::with_flags(&watch.signals, SfdFlags::SFD_CLOEXEC)?;
        let command = Cmd::new(program).args(arguments).envs(environment);
        Ok(Self {
            process: command.spawn_attached()?,
            events,
        })
    }

    /// Waits for the end, passing signals on.
    pub(super) fn wait(mut self) -> Result<ExitCode> {
        let pid = Pid::from_raw(i32::try_from(self.process.id())?);
        loop {
            if let Some(status) = self.process.try_wait().context("cannot wait for vc")? {
                return Ok(exit_code(status));
            }
            let Some(event) = self.events.read_signal().context("cannot read signals")? else {
                continue;
            };
            let signal = Signal::try_from(i32::try_from(event.ssi_signo)?)?;
            if signal != Signal::SIGCHLD && event.ssi_code != SI_KERNEL {
                // Not reaped yet, so the pid is still the child's.
                kill(pid, signal).with_context(|| format!("cannot pass {signal} on"))?;
            }
        }
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

    fn run(script: &str) -> ExitCode {
        let watch = Watch::begin().expect("a watch");
        let words = ["-c", script].map(OsString::from).to_vec();
        Child::start(watch, Path::new("sh"), words, &[])
            .expect("started")
            .wait()
            .expect("ended")
    }

    #[test]
    fn the_status_is_the_commands() {
        assert_eq!(run("exit 42"), ExitCode::from(42));
        assert_eq!(run("kill -9 $$"), ExitCode::from(137));
    }

    #[test]
    fn a_child_starts_with_no_signal_held_back() {
        assert_eq!(
            run("grep -q 'SigBlk:.0000000000000000' /proc/self/status"),
            ExitCode::SUCCESS
        );
    }
}

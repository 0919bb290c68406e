//! One process of a container: init or exec, as the agent knows it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::reaper::Exit;
use crate::status::{Failure, Result};
use crate::stdio::Streams;
use crate::streams::Source;
use crate::sys;

/// A process that was started and whose status nobody has collected yet.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its id in the agent's pid namespace; free for reuse once [`Exit::status`] is known.
    pub(crate) pid: i32,
    /// Its end.
    pub(crate) exit: Exit,
    /// Its standard streams.
    pub(crate) streams: Streams,
    /// Which of its outputs were read to their end.
    drained: Drained,
}

/// The outputs of a process that were read to their end.
#[derive(Debug, Default)]
struct Drained {
    stdout: AtomicBool,
    stderr: AtomicBool,
}

/// Largest signal number of Linux.
const LAST_SIGNAL: u32 = 64;

/// Checks a signal number from a request; 0 asks only whether the process is there.
///
/// # Errors
/// INVALID_ARGUMENT beyond the last real-time signal.
pub(crate) fn signal_number(number: u32) -> Result<i32> {
    if number > LAST_SIGNAL {
        return Err(Failure::invalid(format!("signal {number} does not exist")));
    }
    Ok(number as i32)
}

impl Process {
    /// A process that was just started.
    pub(crate) fn new(pid: i32, exit: Exit, streams: Streams) -> Self {
        Self {
            pid,
            exit,
            streams,
            drained: Drained::default(),
        }
    }

    /// Notes that an output was read to its end.
    pub(crate) fn note_end(&self, source: Source) {
        match source {
            Source::Output => self.drained.stdout.store(true, Ordering::Relaxed),
            Source::Errors => self.drained.stderr.store(true, Ordering::Relaxed),
        }
    }

    /// Whether nothing is left to read. A terminal has one output.
    pub(crate) fn is_drained(&self) -> bool {
        let stderr = match self.streams {
            Streams::Pipes { .. } => self.drained.stderr.load(Ordering::Relaxed),
            Streams::Terminal(_) => true,
        };
        stderr && self.drained.stdout.load(Ordering::Relaxed)
    }

    /// Sends a signal. A process that has ended takes every signal: that is success.
    ///
    /// # Errors
    /// INTERNAL when the kernel refuses.
    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        if self.exit.status().is_some() {
            return Ok(());
        }
        match sys::kill(self.pid, signal) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(Failure::internal(
                format!("signal process {}: {error}", self.pid),
            )),
            _ => Ok(()),
        }
    }

    /// The signal that has the effect which `signal` is meant to have on a container's init.
    ///
    /// As process 1 of its pid namespace an init without a handler is immune to SIGTERM; the
    /// sender wants it gone, so it gets SIGKILL.
    pub(crate) fn effective_for_init(&self, signal: i32) -> i32 {
        if signal != libc::SIGTERM {
            return signal;
        }
        let status: io::Result<String> =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        match status {
            Ok(status) if !attends_to(&status, libc::SIGTERM) => libc::SIGKILL,
            _ => signal,
        }
    }
}

/// Whether a process whose `/proc/PID/status` is given catches, blocks or ignores a signal.
fn attends_to(status: &str, signal: i32) -> bool {
    status.lines().any(|line| {
        let Some((key, mask)) = line.split_once(':') else {
            return false;
        };
        matches!(key, "SigCgt" | "SigBlk" | "SigIgn")
            && u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask >> (signal - 1) & 1 == 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_from_the_right_lines() {
        let term = "0000000000004000";
        let none = "0000000000000000";
        for (key, attends) in [
            ("SigCgt", true),
            ("SigBlk", true),
            ("SigIgn", true),
            ("SigPnd", false),
        ] {
            let status = format!("Name:\tx\n{key}:\t{term}\nShdPnd:\t{none}\n");
            assert_eq!(attends_to(&status, libc::SIGTERM), attends, "{key}");
            assert!(!attends_to(&status, libc::SIGHUP), "{key}");
        }
        assert!(!attends_to("", libc::SIGTERM));
        assert!(!attends_to("SigCgt:\tnonsense\n", libc::SIGTERM));
    }

    #[test]
    fn signal_numbers() {
        assert_eq!(signal_number(0), Ok(0));
        assert_eq!(signal_number(64), Ok(64));
        assert!(signal_number(65).is_err());
        assert!(signal_number(u32::MAX).is_err());
    }
}

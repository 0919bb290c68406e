//! Standard streams of container processes: the agent's ends of their pipes or terminal.
//!
//! The agent stores no output. What a process writes waits in the kernel's pipe until the host
//! reads it, and a full pipe stops the writer: memory stays bounded whatever either side does.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::container;
use crate::status::{Doing as _, Failure, Result};

mod input;
mod output;
mod terminal;

pub(crate) use input::Input;
pub(crate) use output::Output;
pub(crate) use terminal::Terminal;

/// The agent's ends of a process's standard streams.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Three pipes.
    Pipes {
        /// Written by the host.
        stdin: Input,
        /// Read by the host.
        stdout: Output,
        /// Read by the host.
        stderr: Output,
    },
    /// One terminal for all three.
    Terminal(Terminal),
}

/// Pipes that wait for a process to be started with their other ends.
#[derive(Debug)]
pub(crate) struct Prepared {
    pipes: Option<(OwnedFd, OwnedFd, OwnedFd)>,
}

/// Makes what a process needs: the child's ends, and the agent's, which become [`Streams`] when
/// the process runs. `pipe_size` is a wish in bytes; 0 takes the kernel's default.
///
/// # Errors
/// INTERNAL when no pipe can be made.
pub(crate) fn prepare(
    terminal: Option<Option<(u16, u16)>>,
    pipe_size: u32,
) -> Result<(Prepared, container::Stdio)> {
    if let Some(size) = terminal {
        return Ok((
            Prepared { pipes: None },
            container::Stdio::Terminal { size },
        ));
    }
    let make = || pipe_with(PipeFlags::CLOEXEC).doing(|| "make a pipe".to_owned());
    let (child_in, stdin) = make()?;
    let (stdout, child_out) = make()?;
    let (stderr, child_err) = make()?;
    if pipe_size > 0 {
        for pipe in [&stdin, &stdout, &stderr] {
            if let Err(error) = fcntl_setpipe_size(pipe, pipe_size as usize) {
                log::warn!("set a pipe to {pipe_size} bytes: {error}");
            }
        }
    }
    let child = container::Stdio::Pipes {
        stdin: child_in,
        stdout: child_out,
        stderr: child_err,
    };
    Ok((
        Prepared {
            pipes: Some((stdin, stdout, stderr)),
        },
        child,
    ))
}

impl Prepared {
    /// The streams of the process that was started with the child's ends.
    ///
    /// # Errors
    /// INTERNAL when a descriptor cannot be made asynchronous, or a terminal is missing.
    pub(crate) fn finish(self, terminal: Option<OwnedFd>) -> Result<Streams> {
        match (self.pipes, terminal) {
            (Some((stdin, stdout, stderr)), _) => Ok(Streams::Pipes {
                stdin: Input::new(stdin)?,
                stdout: Output::new(stdout)?,
                stderr: Output::new(stderr)?,
            }),
            (None, Some(terminal)) => Ok(Streams::Terminal(Terminal::new(terminal)?)),
            (None, None) => Err(Failure::internal("the process has no terminal")),
        }
    }
}

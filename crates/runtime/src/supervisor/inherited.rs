//! The descriptors that a supervisor process is born with.
#![allow(
    unsafe_code,
    reason = "descriptors by number can only be taken over unsafely"
)]

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use crate::error::{Error, ErrorKind};
use crate::front::{self, Front};
use crate::options::ContainerIo;

/// The control stream's number.
const CONTROL: RawFd = 3;
/// A preamble longer than this is refused.
const LONGEST: u64 = 1 << 20;

/// What a supervisor process was given by its creator.
#[derive(Debug)]
pub struct SupervisorStart {
    pub(crate) control: UnixStream,
    pub(crate) io: ContainerIo,
    front: Option<Front>,
    /// What the creator sent to make an equal runtime; see
    /// [`SupervisorProgram::preamble`](crate::SupervisorProgram::preamble).
    pub preamble: serde_json::Value,
}

impl SupervisorStart {
    /// Takes over the descriptors 3 to 6 and reads the preamble. Call it once, first thing in the
    /// supervisor's `main`, before anything else opens a descriptor.
    ///
    /// Errors: `Invalid` when the process was not started as a supervisor.
    pub fn take() -> Result<Self, Error> {
        let control = UnixStream::from(take(CONTROL)?);
        let (stdin, stdout, stderr) = (take(CONTROL + 1)?, take(CONTROL + 2)?, take(CONTROL + 3)?);
        let io = ContainerIo::new(Some(stdin), Some(stdout), Some(stderr));
        let preamble = read_line(&control)?;
        let preamble = serde_json::from_slice(&preamble).map_err(|error| {
            Error::new(ErrorKind::Incompatible, "cannot understand the creator").because(error)
        })?;
        Ok(Self {
            control,
            io,
            front: None,
            preamble,
        })
    }

    /// Runs `work`, the whole of the supervisor, on a thread of its own. The calling one, which is to
    /// be the process's first, takes on the network namespace and the files of the first container
    /// meanwhile: whoever enters the namespaces of this process by its pid finds the container's.
    ///
    /// Errors: `Internal` when the thread cannot be started, or panicked.
    pub fn run<T: Send>(mut self, work: impl FnOnce(Self) -> T + Send) -> Result<T, Error> {
        front::behind(move |front| {
            self.front = Some(front);
            work(self)
        })
    }

    /// The control stream for the async runtime, the container's streams, and the first thread.
    pub(crate) fn into_parts(
        self,
    ) -> Result<(tokio::net::UnixStream, ContainerIo, Option<Front>), Error> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Internal, "cannot use the control stream").because(error)
        };
        self.control.set_nonblocking(true).map_err(failed)?;
        let control = tokio::net::UnixStream::from_std(self.control).map_err(failed)?;
        Ok((control, self.io, self.front))
    }
}

pub(crate) fn take(number: RawFd) -> Result<OwnedFd, Error> {
    let not_ours = |error: rustix::io::Errno| {
        let message = "not started by ourselves: this command is for the program itself";
        Error::new(ErrorKind::Invalid, message).because(error)
    };
    // SAFETY: only read here, by a call that fails for a number that is not open.
    let given = unsafe { rustix::fd::BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(given, rustix::io::FdFlags::CLOEXEC).map_err(not_ours)?;
    // SAFETY: the number is open, as the line above showed, and the caller promises that nobody
    // else in this process owns it: it was opened by whoever started the process.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Reads byte by byte, so that nothing after the line is lost.
fn read_line(stream: &UnixStream) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Gone, "the creator said nothing").because(error)
    };
    let mut bytes = File::from(stream.as_fd().try_clone_to_owned().map_err(failed)?).take(LONGEST);
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        bytes.read_exact(&mut byte).map_err(failed)?;
        if byte[0] == b'\n' {
            return Ok(line);
        }
        line.push(byte[0]);
    }
}

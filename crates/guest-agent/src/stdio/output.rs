//! The reading end of a process's standard output or error.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

use crate::descriptor::asynchronous;
use crate::status::{Doing as _, Failure, Result};

/// Most that one read gives, whatever was asked for: a reply must fit a frame with room to spare.
pub(super) const LONGEST_READ: usize = 1 << 20;

/// A pipe that is found full is made larger, up to this, so that a fast writer and a slow round
/// trip meet less often.
const LARGEST_PIPE: usize = 256 << 10;

/// A pipe out of a process. Readers take turns; nothing is buffered outside the kernel.
#[derive(Debug)]
pub(crate) struct Output {
    pipe: Mutex<Pipe>,
}

#[derive(Debug)]
struct Pipe {
    fd: AsyncFd<OwnedFd>,
    size: usize,
}

impl Output {
    pub(super) fn new(pipe: OwnedFd) -> Result<Self> {
        let size = fcntl_getpipe_size(&pipe).doing(|| "ask for a pipe's size".to_owned())?;
        Ok(Self {
            pipe: Mutex::new(Pipe {
                fd: asynchronous(pipe)?,
                size,
            }),
        })
    }

    /// Waits for output and gives up to `length` bytes of it; empty means that every holder of the
    /// other end is gone. Dropping the future loses nothing.
    ///
    /// # Errors
    /// INTERNAL when reading fails.
    pub(crate) async fn read(&self, length: usize) -> Result<Vec<u8>> {
        let mut pipe = self.pipe.lock().await;
        let data = read_ready(&pipe.fd, length).await?;
        // More than half full: the writer was probably waiting.
        if data.len() > pipe.size / 2 && pipe.size < LARGEST_PIPE {
            // Refused beyond the user's limit; then this size is the one to live with.
            pipe.size = fcntl_setpipe_size(pipe.fd.get_ref(), LARGEST_PIPE).unwrap_or(LARGEST_PIPE);
        }
        Ok(data)
    }
}

/// Reads once there is something to read. The buffer is made when the amount is known, so a
/// pending read costs nothing.
pub(super) async fn read_ready(fd: &AsyncFd<OwnedFd>, length: usize) -> Result<Vec<u8>> {
    loop {
        let mut ready = fd.readable().await.doing(|| "wait for output".to_owned())?;
        let attempt = ready.try_io(|fd| {
            let waiting = rustix::io::ioctl_fionread(fd)?;
            let waiting = usize::try_from(waiting).unwrap_or(LONGEST_READ);
            let mut buffer = Vec::with_capacity(waiting.clamp(1, length.clamp(1, LONGEST_READ)));
            rustix::io::read(fd, rustix::buffer::spare_capacity(&mut buffer))?;
            Ok::<_, io::Error>(buffer)
        });
        match attempt {
            Ok(Ok(data)) => return Ok(data),
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Ok(Vec::new()),
            Ok(Err(error)) => return Err(Failure::internal(format!("read output: {error}"))),
            Err(_would_block) => {}
        }
    }
}

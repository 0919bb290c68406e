//! A terminal for programs under test.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long a terminal may be silent while a test waits for words on it, in seconds.
const PATIENCE_S: i64 = 120;

/// A pseudo-terminal: the test holds its controlling side.
#[derive(Debug)]
pub struct Pty {
    controller: File,
    user: OwnedFd,
}

impl Pty {
    /// A new terminal of this many rows and columns.
    pub fn new(rows: u16, columns: u16) -> Result<Self> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let name = ptsname(&controller, Vec::new())?;
        let user = rustix::fs::open(
            name.as_c_str(),
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        let pty = Self {
            controller: controller.into(),
            user,
        };
        pty.resize(rows, columns)?;
        Ok(pty)
    }

    /// Sets its size. The program is not told; send it SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(&self.controller, size)?)
    }

    /// The side for the program, for each of its streams.
    pub fn user_side(&self) -> Result<OwnedFd> {
        Ok(self.user.try_clone()?)
    }

    /// Types.
    pub fn write(&mut self, text: &str) -> Result<()> {
        Ok(self.controller.write_all(text.as_bytes())?)
    }

    /// Reads until `text` was seen; gives all that was read.
    pub fn read_until(&mut self, text: &str) -> Result<String> {
        let mut seen = Vec::new();
        let mut byte = [0; 1];
        let patience = Timespec {
            tv_sec: PATIENCE_S,
            tv_nsec: 0,
        };
        loop {
            let mut waiting = [PollFd::new(&self.controller, PollFlags::IN)];
            if poll(&mut waiting, Some(&patience))? == 0 {
                bail!("{text:?} not seen in {:?}", String::from_utf8_lossy(&seen));
            }
            self.controller.read_exact(&mut byte).with_context(|| {
                format!("{text:?} not seen in {:?}", String::from_utf8_lossy(&seen))
            })?;
            seen.push(byte[0]);
            if seen.ends_with(text.as_bytes()) {
                return Ok(String::from_utf8_lossy(&seen).into_owned());
            }
        }
    }
}

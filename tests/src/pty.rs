//! A terminal for programs under test.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long a terminal may be silent while a test waits for words on it, in seconds.
const PATIENCE_S: i64 = 120;

/// A pseudo-terminal: the test holds its controlling side.
#[derive(Debug)]
pub struct Pty {
    controller: File,
    /// Absent where others made the terminal, and have its other side.
    user: Option<OwnedFd>,
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
            user: Some(user),
        };
        pty.resize(rows, columns)?;
        Ok(pty)
    }

    /// The controlling side of a terminal that others made.
    pub fn of_controller(controller: OwnedFd) -> Self {
        Self {
            controller: controller.into(),
            user: None,
        }
    }

    /// The path of the side for programs.
    pub fn name(&self) -> Result<String> {
        let name = ptsname(&self.controller, Vec::new())?;
        Ok(name.to_string_lossy().into_owned())
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
        let user = self.user.as_ref().context("others have that side")?;
        Ok(user.try_clone()?)
    }

    /// Types.
    pub fn write(&mut self, text: &str) -> Result<()> {
        Ok(self.controller.write_all(text.as_bytes())?)
    }

    /// Has the shell on it wait until the terminal has this size there, where a change arrives late.
    pub fn await_size(&mut self, rows: u16, columns: u16) -> Result<()> {
        let wait = format!("until stty size | grep -q '^{rows} {columns}$'; do :; done; ");
        // The answer differs from what is typed, so that the echo is not taken for it.
        self.write(&format!("{wait}stty size | tr ' ' x\n"))?;
        self.read_until(&format!("{rows}x{columns}")).map(drop)
    }

    /// Reads until nobody has the other side open any more.
    pub fn read_to_end(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        loop {
            self.await_data(|| "nobody leaves the other side".to_owned())?;
            match self.controller.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // What a terminal says that has only one side left.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn await_data(&self, silence: impl FnOnce() -> String) -> Result<()> {
        let patience = Timespec {
            tv_sec: PATIENCE_S,
            tv_nsec: 0,
        };
        let mut waiting = [PollFd::new(&self.controller, PollFlags::IN)];
        if poll(&mut waiting, Some(&patience))? == 0 {
            bail!("{}", silence());
        }
        Ok(())
    }

    /// Reads until `text` was seen; gives all that was read.
    pub fn read_until(&mut self, text: &str) -> Result<String> {
        let mut seen = Vec::new();
        let mut byte = [0; 1];
        loop {
            let missed = || format!("{text:?} not seen in {:?}", String::from_utf8_lossy(&seen));
            self.await_data(missed)?;
            self.controller.read_exact(&mut byte).with_context(missed)?;
            seen.push(byte[0]);
            if seen.ends_with(text.as_bytes()) {
                return Ok(String::from_utf8_lossy(&seen).into_owned());
            }
        }
    }
}

//! The controlling side of a process's terminal.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rustix::termios::{LocalModes, SpecialCodeIndex, Winsize, tcgetattr, tcsetwinsize};

use super::input::Writer;
use super::output::read_ready;
use crate::reaper::Exit;
use crate::status::{Doing as _, Failure, Result};

/// How long a terminal that somebody in the background holds open may stay silent after its
/// process has ended, before its output counts as complete.
const DRAIN: Duration = Duration::from_millis(500);

/// A terminal. Reading and writing go through one descriptor and do not hinder each other.
#[derive(Debug)]
pub(crate) struct Terminal {
    master: Writer,
    reading: tokio::sync::Mutex<()>,
    input: Mutex<InputState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputState {
    LineStart,
    WithinLine,
    Closed,
}

impl Terminal {
    /// # Errors
    /// INTERNAL when the descriptor cannot be made asynchronous.
    pub(crate) fn new(master: OwnedFd) -> Result<Self> {
        Ok(Self {
            master: Writer::new(master)?,
            reading: tokio::sync::Mutex::new(()),
            input: Mutex::new(InputState::LineStart),
        })
    }

    /// Waits for output; empty means that nobody has the terminal open any more, or that the
    /// process has ended and the rest are silent. Dropping the future loses nothing.
    ///
    /// # Errors
    /// INTERNAL when reading fails.
    pub(crate) async fn read(&self, length: usize, exit: &Exit) -> Result<Vec<u8>> {
        let _turn = self.reading.lock().await;
        let silence = async {
            exit.wait().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            biased;
            data = read_ready(self.master.fd(), length) => data,
            () = silence => Ok(Vec::new()),
        }
    }

    /// Types `data`, waiting while the line is full.
    ///
    /// # Errors
    /// FAILED_PRECONDITION when input was closed; INTERNAL when nobody has the terminal open.
    pub(crate) async fn write(&self, data: &[u8]) -> Result<()> {
        {
            let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
            if *input == InputState::Closed {
                return Err(Failure::wrong_state("standard input is closed"));
            }
            if let Some(last) = data.last() {
                *input = if *last == b'\n' || *last == b'\r' {
                    InputState::LineStart
                } else {
                    InputState::WithinLine
                };
            }
        }
        self.master.write(data).await
    }

    /// Ends the input without hanging up: the reader is sent the terminal's end-of-file
    /// character, twice in the middle of a line, where the first only delivers the line.
    /// A terminal in raw mode has no such character, and one that nobody has open no reader; then
    /// nothing is sent. Waits while the line is full.
    pub(crate) async fn close_input(&self) {
        let before = std::mem::replace(
            &mut *self.input.lock().unwrap_or_else(PoisonError::into_inner),
            InputState::Closed,
        );
        let Ok(modes) = tcgetattr(self.master.fd().get_ref()) else {
            return;
        };
        if !modes.local_modes.contains(LocalModes::ICANON) {
            return;
        }
        let end = modes.special_codes[SpecialCodeIndex::VEOF];
        let typed = match before {
            InputState::LineStart => self.master.write(&[end]).await,
            InputState::WithinLine => self.master.write(&[end, end]).await,
            InputState::Closed => Ok(()),
        };
        if let Err(failure) = typed {
            log::debug!("end of input: {failure}");
        }
    }

    /// Sets the window's size in characters; the foreground processes are told.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a size no terminal has, INTERNAL when the terminal refuses.
    pub(crate) fn resize(&self, rows: u32, columns: u32) -> Result<()> {
        let side = |value: u32| {
            u16::try_from(value).map_err(|_| {
                Failure::invalid(format!(
                    "terminal size {rows}x{columns}: at most 65535 a side"
                ))
            })
        };
        let size = Winsize {
            ws_row: side(rows)?,
            ws_col: side(columns)?,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(self.master.fd().get_ref(), size).doing(|| "resize the terminal".to_owned())
    }
}

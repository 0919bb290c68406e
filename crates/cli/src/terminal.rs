//! The caller's terminal while a process with a terminal runs in a guest.

use std::io::IsTerminal;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Our terminal in raw mode; back to what it was when dropped.
#[derive(Debug)]
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Switches standard input to raw mode; `None` when it is no terminal.
    pub(crate) fn enter() -> anyhow::Result<Option<Self>> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Flush, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before).unwrap_or_default();
    }
}

/// The terminal's size in rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
}

/// Tells the size now, and each time it changes.
#[derive(Debug)]
pub(crate) struct Resizes {
    changes: Signal,
    first: bool,
}

impl Resizes {
    /// Follows the size of standard output's terminal.
    pub(crate) fn follow() -> std::io::Result<Self> {
        Ok(Self {
            changes: signal(SignalKind::window_change())?,
            first: true,
        })
    }

    /// The next size; waits for ever without a terminal. Safe to drop.
    pub(crate) async fn next(&mut self) -> Size {
        loop {
            if !std::mem::take(&mut self.first) {
                self.changes.recv().await;
            }
            if let Ok(size) = tcgetwinsize(std::io::stdout()) {
                return Size {
                    rows: size.ws_row.into(),
                    columns: size.ws_col.into(),
                };
            }
        }
    }
}

//! The terminal that a process of ours has on behalf of a container.

use std::os::fd::OwnedFd;

use rustix::termios::{isatty, tcgetwinsize};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Context, Error, ErrorKind};

/// The controlling terminal of this process: it tells of changes of its size.
#[derive(Debug)]
pub(crate) struct Terminal {
    terminal: OwnedFd,
    changes: Signal,
    /// The first size was not told yet.
    fresh: bool,
}

impl Terminal {
    /// Takes the terminal over that `stream` is; `None` when it is none. The process must lead a
    /// session of its own.
    ///
    /// Errors: `Denied`, `Internal`.
    pub(crate) fn take(stream: Option<&OwnedFd>) -> Result<Option<Self>, Error> {
        let Some(stream) = stream.filter(|stream| isatty(stream)) else {
            return Ok(None);
        };
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Internal, "cannot use the terminal").because(error)
        };
        let terminal = stream.try_clone().map_err(failed)?;
        let changes = signal(SignalKind::window_change()).map_err(failed)?;
        virtcontainers_process::take_terminal(&terminal)
            .during(|| "cannot use the terminal".to_owned())?;
        Ok(Some(Self {
            terminal,
            changes,
            fresh: true,
        }))
    }

    /// The size as rows and columns: at once for the first time, then when it changed. Safe to drop.
    pub(crate) async fn size(&mut self) -> (u32, u32) {
        loop {
            if !std::mem::take(&mut self.fresh) {
                self.changes.recv().await;
            }
            // Nobody has set one yet when there are no rows.
            if let Ok(size) = tcgetwinsize(&self.terminal)
                && size.ws_row != 0
            {
                return (size.ws_row.into(), size.ws_col.into());
            }
        }
    }
}

/// The size of a terminal that may be there, as [`Terminal::size`]; waits for ever without one.
pub(crate) async fn size(terminal: &mut Option<Terminal>) -> (u32, u32) {
    match terminal {
        Some(terminal) => terminal.size().await,
        None => std::future::pending().await,
    }
}

//! A process that shares a terminal with others and is not the one that the terminal is for.

use std::os::fd::AsFd;

use rustix::process::Signal;

use crate::{Error, sys};

/// What a terminal sends to whoever uses it: keys, hang-up, and stops for background processes.
const OF_TERMINAL: [Signal; 6] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
];

/// Makes this process ignore the signals that a terminal sends, for good. Children that a
/// [`Launcher`](crate::Launcher) starts have the default again. In the background a read from the
/// terminal fails then (EIO) instead of stopping the process (termios(3)).
///
/// Errors: `Internal`.
pub fn ignore_terminal_signals() -> Result<(), Error> {
    for signal in OF_TERMINAL {
        sys::ignore(signal.as_raw())
            .map_err(|error| Error::system("cannot ignore the signals of the terminal", error))?;
    }
    Ok(())
}

/// Makes a terminal the controlling terminal of this process, which leads a session without one.
/// From then on it gets SIGWINCH when the terminal's size changes, and the signals of its keys
/// (tty_ioctl(4), `TIOCSCTTY`).
///
/// Errors: `Denied` when this process leads no session, has a terminal, or this one is another
/// session's; `Internal` when it is no terminal.
pub fn take_terminal(terminal: impl AsFd) -> Result<(), Error> {
    rustix::process::ioctl_tiocsctty(terminal.as_fd())
        .map_err(|error| Error::system("cannot take over the terminal", error))
}

//! Time and randomness: what a guest that was cloned or suspended must be given anew.

use std::io::Write as _;

use rustix::time::{ClockId, Timespec, clock_settime};

use crate::status::{Doing as _, Failure, Result};
use crate::sys;

/// Sets the wall clock.
///
/// # Errors
/// INVALID_ARGUMENT for microseconds that are none, INTERNAL when the kernel refuses.
pub(crate) fn set_time(seconds: i64, micros: i64) -> Result<()> {
    if !(0..1_000_000).contains(&micros) || seconds < 0 {
        return Err(Failure::invalid(format!(
            "{seconds} s {micros} µs is no time"
        )));
    }
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: micros * 1000,
    };
    clock_settime(ClockId::Realtime, time).doing(|| "set the clock".to_owned())
}

/// Adds entropy and lets the kernel use it at once.
///
/// # Errors
/// INVALID_ARGUMENT when there is none, INTERNAL when the kernel refuses.
pub(crate) fn reseed(data: &[u8]) -> Result<()> {
    const DEVICE: &str = "/dev/random";
    if data.is_empty() {
        return Err(Failure::invalid("no random data given"));
    }
    let mut device = std::fs::File::options()
        .write(true)
        .open(DEVICE)
        .doing(|| format!("open {DEVICE}"))?;
    device.write_all(data).doing(|| format!("write {DEVICE}"))?;
    sys::add_entropy(&device, data).doing(|| format!("reseed {DEVICE}"))
}

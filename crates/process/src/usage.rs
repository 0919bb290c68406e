//! What a process uses (proc(5)).

use crate::Identity;
use crate::procfs;

/// What a process used so far, and has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time in user and kernel mode, in nanoseconds.
    pub cpu_ns: u64,
    /// Resident memory in bytes, in which what several processes share is divided among them.
    pub resident: u64,
}

impl Identity {
    /// What the process uses; `None` when it has ended or may not be looked at.
    pub fn usage(&self) -> Option<Usage> {
        let stat = std::fs::read(format!("/proc/{}/stat", self.pid)).ok()?;
        let shares = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).ok()?;
        let ticks = procfs::processor_ticks(&stat)?;
        let per_second = rustix::param::clock_ticks_per_second();
        // Only now: all that was read is of this process, or the pid is somebody else's.
        self.is_alive().then(|| Usage {
            cpu_ns: ticks.saturating_mul(1_000_000_000 / per_second.max(1)),
            resident: proportional(&shares).unwrap_or_default(),
        })
    }
}

/// The line `Pss:` of smaps_rollup, which is in KiB.
fn proportional(shares: &str) -> Option<u64> {
    let line = shares.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_use_something() {
        let mut sum = 0_u64;
        for number in 0..50_000_000_u64 {
            sum = std::hint::black_box(sum ^ number);
        }
        let usage = Identity::current().unwrap().usage().unwrap();
        assert!(usage.resident > 100 * 1024, "{usage:?} {sum}");
        assert!(usage.cpu_ns > 0, "{usage:?}");
    }

    #[test]
    fn somebody_else_is_not_looked_at() {
        let stranger = Identity {
            start_time: 1,
            ..Identity::current().unwrap()
        };
        assert_eq!(stranger.usage(), None);
    }

    #[test]
    fn the_share_is_read_in_bytes() {
        assert_eq!(proportional("Rss: 9 kB\nPss:   12 kB\n"), Some(12 * 1024));
        assert_eq!(proportional("Rss: 9 kB\n"), None);
    }
}

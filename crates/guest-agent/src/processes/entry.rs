//! One process, as `/proc/PID` has it (proc_pid_stat(5), proc_pid_status(5)).

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::time::{ClockId, clock_gettime};

/// The most arguments that are read of one process, in bytes.
const MOST_ARGS: usize = 4096;

/// The most that is read of a file of one process, in bytes; the kernel's are shorter.
const MOST_TEXT: u64 = 16 * 1024;

/// What is known of one process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number as the agent sees it.
    pub(super) pid: i32,
    /// Its parent's, there.
    pub(super) parent: i32,
    /// Its numbers, from the agent's pid namespace inward.
    pub(super) numbers: Vec<u32>,
    /// Its effective user.
    pub(super) uid: u32,
    pub(super) cpu_ms: u64,
    /// Since the boot.
    pub(super) start_ms: u64,
    pub(super) rss_bytes: u64,
    pub(super) state: char,
    pub(super) args: Vec<Vec<u8>>,
    /// There were more arguments.
    pub(super) cut: bool,
}

/// Milliseconds since the boot, sleep included, as the start times of processes are counted.
pub(super) fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let milliseconds = now.tv_sec.saturating_mul(1000) + now.tv_nsec / 1_000_000;
    milliseconds.try_into().unwrap_or(0)
}

impl Entry {
    /// Reads a process; `None` when it has ended. The folder is opened once, so that all of it is
    /// of one process, even if its number is given to another meanwhile.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, format!("/proc/{pid}"), flags, Mode::empty()).ok()?;
        let folder = folder.as_fd();
        let stat = file(folder, "stat", MOST_TEXT)?;
        let status = file(folder, "status", MOST_TEXT)?;
        let line = file(folder, "cmdline", MOST_ARGS as u64 + 1).unwrap_or_default();
        let mut entry = of_stat(pid, &String::from_utf8_lossy(&stat))?;
        entry.add_status(&String::from_utf8_lossy(&status));
        entry.add_args(line, &stat);
        Some(entry)
    }

    /// Its number in the container: inside the container's pid namespace, where it has its `own`,
    /// and not in one that the container has made below.
    pub(super) fn number(&self, own: bool) -> u32 {
        let number = self.numbers.get(usize::from(own));
        number.or(self.numbers.last()).copied().unwrap_or(0)
    }

    fn add_status(&mut self, status: &str) {
        for line in status.lines() {
            let Some((key, values)) = line.split_once(':') else {
                continue;
            };
            let mut values = values
                .split_ascii_whitespace()
                .map_while(|v| v.parse().ok());
            match key {
                // Real, effective, saved, of the file system.
                "Uid" => self.uid = values.nth(1).unwrap_or(self.uid),
                "NSpid" => self.numbers = values.collect(),
                _ => {}
            }
        }
    }

    /// Arguments end with a zero byte each; a process may have written over them.
    fn add_args(&mut self, mut line: Vec<u8>, stat: &[u8]) {
        self.cut = line.len() > MOST_ARGS;
        line.truncate(MOST_ARGS);
        if line.iter().all(|byte| *byte == 0) {
            let name = name(&String::from_utf8_lossy(stat))
                .unwrap_or("?")
                .to_owned();
            self.args = vec![format!("[{name}]").into_bytes()];
            return;
        }
        while line.last() == Some(&0) {
            line.pop();
        }
        self.args = line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    }
}

fn file(folder: BorrowedFd<'_>, name: &str, most: u64) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(folder.as_fd(), name, flags, Mode::empty()).ok()?;
    let mut bytes = Vec::new();
    File::from(file).take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The name is in brackets and may hold any letter, brackets too.
fn name(stat: &str) -> Option<&str> {
    let (begin, end) = (stat.find('(')?, stat.rfind(')')?);
    stat.get(begin + 1..end)
}

fn of_stat(pid: i32, stat: &str) -> Option<Entry> {
    let rest = stat.get(stat.rfind(')')? + 1..)?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The first field after the name has the number 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let count = |number: usize| {
        field(number)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0_u64)
    };
    let per_second = clock_ticks_per_second().max(1);
    let ms = |ticks: u64| ticks.saturating_mul(1000) / per_second;
    Some(Entry {
        pid,
        parent: field(4)?.parse().ok()?,
        numbers: vec![pid.try_into().ok()?],
        cpu_ms: ms(count(14).saturating_add(count(15))),
        start_ms: ms(count(22)),
        rss_bytes: count(24).saturating_mul(page_size() as u64),
        state: field(3)?.chars().next()?,
        ..Entry::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "77 (a) b (c) S 1 77 77 0 -1 4194560 90 0 0 0 150 50 0 0 20 0 1 0 \
                        12345 4096000 3 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0\n";

    #[test]
    fn fields_are_found_behind_any_name() {
        let entry = of_stat(77, STAT).unwrap();
        let tick = 1000 / clock_ticks_per_second();
        assert_eq!((entry.pid, entry.parent, entry.state), (77, 1, 'S'));
        assert_eq!((entry.cpu_ms, entry.start_ms), (200 * tick, 12345 * tick));
        assert_eq!(entry.rss_bytes, 3 * page_size() as u64);
        assert_eq!(name(STAT), Some("a) b (c"));
        for broken in ["", "77", "77 (a", "77 (a) ", ")", "77 )("] {
            assert_eq!(of_stat(77, broken), None, "{broken:?}");
        }
        assert_eq!(name(")("), None);
    }

    #[test]
    fn numbers_and_user_come_from_the_status() {
        let mut entry = of_stat(77, STAT).unwrap();
        entry.add_status("Name:\tx\nUid:\t1\t2\t3\t4\nNSpid:\t77\t5\t1\n");
        assert_eq!(
            (entry.uid, entry.number(true), entry.number(false)),
            (2, 5, 77)
        );
        entry.add_status("Uid:\tnonsense\nNSpid:\t77\n");
        assert_eq!((entry.uid, entry.number(true)), (2, 77));
    }

    #[test]
    fn arguments_are_what_the_process_left_of_them() {
        for (line, args) in [
            (&b"sh\0-c\0a b\0"[..], vec![&b"sh"[..], b"-c", b"a b"]),
            (b"title in one", vec![b"title in one"]),
            (b"sh\0\0x\0", vec![b"sh", b"", b"x"]),
            (b"", vec![b"[a) b (c]"]),
            (b"\0\0\0", vec![b"[a) b (c]"]),
        ] {
            let mut entry = Entry::default();
            entry.add_args(line.to_vec(), STAT.as_bytes());
            assert_eq!(entry.args, args);
            assert!(!entry.cut);
        }
        let mut entry = Entry::default();
        entry.add_args(vec![b'x'; MOST_ARGS + 1], STAT.as_bytes());
        assert!(entry.cut);
        assert_eq!(entry.args[0].len(), MOST_ARGS);
    }

    #[test]
    fn a_process_is_read_and_one_that_is_not_there_is_not() {
        let own = std::process::id().try_into().unwrap();
        let entry = Entry::read(own).unwrap();
        assert!(entry.rss_bytes > 0 && !entry.args.is_empty());
        assert!(entry.start_ms <= now_ms());
        assert_eq!(Entry::read(i32::MAX), None);
    }
}

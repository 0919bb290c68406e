//! Reading facts about the host. What cannot be read is not known, and then nothing is refused for
//! it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use virtcontainers_types::Mebibytes;

pub(super) fn open_both_ways(node: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(node)
}

pub(super) fn openable(node: &Path) -> io::Result<()> {
    open_both_ways(node).map(drop)
}

/// All memory: `MemTotal` of proc(5).
pub(super) fn memory() -> Option<Mebibytes> {
    parse_memory(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse_memory(meminfo: &str) -> Option<Mebibytes> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Mebibytes(kibibytes / 1024))
}

/// The CPUs that are online.
pub(super) fn cpus() -> Option<u32> {
    parse_cpus(&std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?)
}

/// Counts a list such as `0-3,8`.
fn parse_cpus(list: &str) -> Option<u32> {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    let counts = list.trim().split(',').map(count);
    counts.sum()
}

/// Whether the first processor has one of these flags. Only that one is read: on a large host the
/// whole file takes milliseconds.
pub(super) fn has_cpu_flag(wanted: &[&str]) -> Option<bool> {
    let lines = BufReader::new(File::open("/proc/cpuinfo").ok()?).lines();
    lines
        .map_while(Result::ok)
        .find_map(|line| cpu_flags(&line, wanted))
}

fn cpu_flags(line: &str, wanted: &[&str]) -> Option<bool> {
    let (name, flags) = line.split_once(':')?;
    (name.trim() == "flags").then(|| {
        flags
            .split_ascii_whitespace()
            .any(|flag| wanted.contains(&flag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_mebibytes() {
        let meminfo = "MemFree: 1 kB\nMemTotal:       24684312 kB\n";
        assert_eq!(parse_memory(meminfo), Some(Mebibytes(24105)));
        assert_eq!(parse_memory("MemTotal: many kB\n"), None);
    }

    #[test]
    fn cpu_lists_are_counted() {
        let rows = [
            ("0\n", Some(1)),
            ("0-3\n", Some(4)),
            ("0-3,8,10-11", Some(7)),
            ("", None),
            ("3-0", None),
        ];
        for (list, expected) in rows {
            assert_eq!(parse_cpus(list), expected, "{list:?}");
        }
    }

    #[test]
    fn flags_match_whole_words_of_the_flags_line() {
        let rows = [
            ("flags\t\t: fpu vmx sse", Some(true)),
            ("flags\t\t: fpu svm", Some(true)),
            ("flags\t\t: fpu vmxx", Some(false)),
            ("vmx flags\t: vnmi", None),
            ("model name\t: vmx", None),
        ];
        for (line, expected) in rows {
            assert_eq!(cpu_flags(line, &["vmx", "svm"]), expected, "{line}");
        }
    }
}

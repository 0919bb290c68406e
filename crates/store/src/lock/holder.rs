//! Who holds a lock: written into the lock file by each holder, and checked against the kernel's
//! own list when somebody asks.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use rustix::fs::{major, minor};
use serde::{Deserialize, Serialize};

use crate::LeaseMode;

const LONGEST: usize = 1024;

/// A process that holds a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process id.
    pub pid: u32,
    /// The program's name.
    pub program: String,
    /// What it holds the sandbox for, when it is known.
    pub operation: Option<String>,
    /// For how long, when it is known.
    pub held_for: Option<Duration>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {} (pid {})", self.program, self.pid)?;
        if let Some(operation) = &self.operation {
            write!(f, " for {operation:?}")?;
        }
        if let Some(time) = self.held_for {
            write!(f, " since {:.1} s", time.as_secs_f64())?;
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    pid: u32,
    program: String,
    operation: String,
    shared: bool,
}

pub(crate) static PROGRAM: LazyLock<String> = LazyLock::new(|| {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
});

/// Writes who has the lock now. One line at the start; what a longer predecessor left behind it is
/// not read. The file's modification time tells since when.
pub(super) fn announce(file: &File, mode: LeaseMode, operation: &str) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Line {
        pid: std::process::id(),
        program: PROGRAM.clone(),
        operation: operation.chars().take(100).collect(),
        shared: mode == LeaseMode::Shared,
    })?;
    line.push(b'\n');
    file.write_all_at(&line, 0)
}

/// The holder of the lock at `path`, as far as it can be told.
pub(super) fn find(path: &Path) -> Option<Holder> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let pids = std::fs::read_to_string("/proc/locks")
        .map(|table| holders(&table, metadata.dev(), metadata.ino()))
        .unwrap_or_default();
    let mut buffer = [0; LONGEST];
    let length = file.read_at(&mut buffer, 0).ok()?;
    let line = buffer[..length].split(|byte| *byte == b'\n').next()?;
    if let Ok(line) = serde_json::from_slice::<Line>(line)
        && (pids.is_empty() || pids.contains(&line.pid))
    {
        let held_for = metadata
            .modified()
            .ok()
            .and_then(|since| SystemTime::now().duration_since(since).ok());
        return Some(Holder {
            pid: line.pid,
            program: line.program,
            operation: Some(line.operation),
            held_for,
        });
    }
    let pid = *pids.first()?;
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder {
        pid,
        program: program.trim().to_owned(),
        operation: None,
        held_for: None,
    })
}

/// The pids that hold a `flock` on a file, from the text of `/proc/locks` (proc(5)): lines like
/// `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`; those that wait have `->` after the number.
fn holders(table: &str, device: u64, inode: u64) -> Vec<u32> {
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [_, "FLOCK", _, _, pid, at, ..] if at == file => pid.parse().ok(),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_understood() {
        let table = "\
1: FLOCK  ADVISORY  WRITE 11 fe:00:77 0 EOF
1: -> FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF
2: POSIX  ADVISORY  WRITE 13 fe:00:77 0 EOF
3: FLOCK  ADVISORY  READ 14 fe:00:78 0 EOF
";
        let device = rustix::fs::makedev(0xfe, 0);
        assert_eq!(holders(table, device, 77), [11]);
        assert_eq!(holders(table, device, 79), [0_u32; 0]);
    }
}

//! The counters of a cgroup, as the protocol has them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use virtcontainers_agent_proto::agent::{
    BlkioStats, BlkioStatsEntry, CgroupStats, CpuStats, CpuUsage, HugetlbStats, MemoryData,
    MemoryStats, PidsStats, ThrottlingData,
};

use crate::container::error::{Result, Step as _};

const NANOSECONDS_PER_MICROSECOND: u64 = 1000;

/// Reads all there is; what the kernel does not count is zero.
pub(super) fn read(dir: &Path) -> Result<CgroupStats> {
    let files = Files(dir);
    Ok(CgroupStats {
        cpu_stats: Some(cpu(&files)?).into(),
        memory_stats: Some(memory(&files)?).into(),
        pids_stats: Some(pids(&files)?).into(),
        blkio_stats: Some(block(&files)?).into(),
        hugetlb_stats: huge_pages(&files)?,
        ..Default::default()
    })
}

struct Files<'a>(&'a Path);

impl Files<'_> {
    /// The text of a file; of one that the kernel does not have, nothing.
    fn text(&self, name: &str) -> Result<String> {
        match fs::read_to_string(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.0.exists() => {
                Ok(String::new())
            }
            other => other.step(|| format!("read {}", self.0.join(name).display())),
        }
    }

    fn number(&self, name: &str) -> Result<u64> {
        Ok(self.text(name)?.trim().parse().unwrap_or(0))
    }

    /// A limit; none is the largest number.
    fn limit(&self, name: &str) -> Result<u64> {
        Ok(self.text(name)?.trim().parse().unwrap_or(u64::MAX))
    }

    fn table(&self, name: &str) -> Result<BTreeMap<String, u64>> {
        Ok(table(&self.text(name)?))
    }
}

/// Lines of a key and a number.
fn table(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn cpu(files: &Files<'_>) -> Result<CpuStats> {
    let stat = files.table("cpu.stat")?;
    let get = |key: &str| stat.get(key).copied().unwrap_or(0);
    let time = |key: &str| get(key).saturating_mul(NANOSECONDS_PER_MICROSECOND);
    Ok(CpuStats {
        cpu_usage: Some(CpuUsage {
            total_usage: time("usage_usec"),
            usage_in_kernelmode: time("system_usec"),
            usage_in_usermode: time("user_usec"),
            ..Default::default()
        })
        .into(),
        throttling_data: Some(ThrottlingData {
            periods: get("nr_periods"),
            throttled_periods: get("nr_throttled"),
            throttled_time: time("throttled_usec"),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    })
}

fn memory(files: &Files<'_>) -> Result<MemoryStats> {
    let stats = files.table("memory.stat")?;
    let events = files.table("memory.events")?;
    let get = |key: &str| stats.get(key).copied().unwrap_or(0);
    let kernel = match stats.get("kernel") {
        Some(kernel) => *kernel,
        // Before Linux 5.18 the sum was not there.
        None => get("kernel_stack") + get("pagetables") + get("percpu") + get("slab"),
    };
    let usage = MemoryData {
        usage: files.number("memory.current")?,
        max_usage: files.number("memory.peak")?,
        failcnt: events.get("max").copied().unwrap_or(0),
        limit: files.limit("memory.max")?,
        ..Default::default()
    };
    let swap = MemoryData {
        usage: files.number("memory.swap.current")?,
        max_usage: files.number("memory.swap.peak")?,
        limit: files.limit("memory.swap.max")?,
        ..Default::default()
    };
    let kernel = MemoryData {
        usage: kernel,
        limit: u64::MAX,
        ..Default::default()
    };
    Ok(MemoryStats {
        cache: get("file"),
        usage: Some(usage).into(),
        swap_usage: Some(swap).into(),
        kernel_usage: Some(kernel).into(),
        use_hierarchy: true,
        stats,
        ..Default::default()
    })
}

fn pids(files: &Files<'_>) -> Result<PidsStats> {
    Ok(PidsStats {
        current: files.number("pids.current")?,
        // Here no limit is 0.
        limit: files.number("pids.max")?,
        ..Default::default()
    })
}

fn block(files: &Files<'_>) -> Result<BlkioStats> {
    let entries = io_entries(&files.text("io.stat")?);
    Ok(BlkioStats {
        io_service_bytes_recursive: entries,
        ..Default::default()
    })
}

/// Kinds of counters of `io.stat`, and their names in the protocol.
const IO_KINDS: [(&str, &str); 6] = [
    ("rbytes", "read"),
    ("wbytes", "write"),
    ("rios", "rios"),
    ("wios", "wios"),
    ("dbytes", "dbytes"),
    ("dios", "dios"),
];

/// Lines of `MAJOR:MINOR KEY=NUMBER ...`.
fn io_entries(text: &str) -> Vec<BlkioStatsEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let device = words.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let kind = IO_KINDS.iter().find(|(name, _)| *name == key);
            if let (Some((_, op)), Ok(value)) = (kind, value.parse()) {
                let op = (*op).to_owned();
                entries.push(BlkioStatsEntry {
                    major,
                    minor,
                    op,
                    value,
                    ..Default::default()
                });
            }
        }
    }
    entries
}

fn huge_pages(files: &Files<'_>) -> Result<BTreeMap<String, HugetlbStats>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(files.0)
        .step(|| format!("read {}", files.0.display()))?
        .flatten()
    {
        let name = entry.file_name();
        let size = name.to_str().and_then(|name| {
            name.strip_prefix("hugetlb.")?
                .strip_suffix(".current")
                .filter(|s| !s.contains('.'))
        });
        let Some(size) = size else { continue };
        let events = files.table(&format!("hugetlb.{size}.events"))?;
        let stats = HugetlbStats {
            usage: files.number(&format!("hugetlb.{size}.current"))?,
            failcnt: events.get("max").copied().unwrap_or(0),
            ..Default::default()
        };
        all.insert(size.to_owned(), stats);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
    }

    #[test]
    fn counters_are_read_and_converted() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                (
                    "cpu.stat",
                    "usage_usec 7000\nuser_usec 4000\nsystem_usec 3000\nnr_periods 9\n\
                 nr_throttled 2\nthrottled_usec 55\n",
                ),
                ("memory.current", "4096\n"),
                ("memory.peak", "8192\n"),
                ("memory.max", "max\n"),
                ("memory.stat", "anon 1\nfile 2048\nkernel 77\n"),
                ("memory.events", "low 0\nhigh 0\nmax 6\noom 1\noom_kill 1\n"),
                ("pids.current", "3\n"),
                ("pids.max", "max\n"),
                (
                    "io.stat",
                    "254:0 rbytes=512 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\nbroken\n",
                ),
                ("hugetlb.2MB.current", "2097152\n"),
                ("hugetlb.2MB.events", "max 4\n"),
                ("hugetlb.2MB.rsvd.current", "1\n"),
            ],
        );
        let stats = read(dir.path()).unwrap();
        let cpu = &stats.cpu_stats;
        assert_eq!(cpu.cpu_usage.total_usage, 7_000_000);
        assert_eq!(cpu.cpu_usage.usage_in_kernelmode, 3_000_000);
        assert_eq!(cpu.throttling_data.periods, 9);
        assert_eq!(cpu.throttling_data.throttled_periods, 2);
        assert_eq!(cpu.throttling_data.throttled_time, 55_000);
        let memory = &stats.memory_stats;
        assert_eq!((memory.usage.usage, memory.usage.max_usage), (4096, 8192));
        assert_eq!((memory.usage.failcnt, memory.usage.limit), (6, u64::MAX));
        assert_eq!((memory.cache, memory.kernel_usage.usage), (2048, 77));
        assert_eq!((stats.pids_stats.current, stats.pids_stats.limit), (3, 0));
        let io = &stats.blkio_stats.io_service_bytes_recursive;
        assert_eq!(io.len(), 6);
        assert_eq!(
            (io[0].major, io[0].minor, io[0].op.as_str(), io[0].value),
            (254, 0, "read", 512)
        );
        assert_eq!(stats.hugetlb_stats.len(), 1);
        assert_eq!(stats.hugetlb_stats["2MB"].failcnt, 4);
    }

    #[test]
    fn a_kernel_without_controllers_counts_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let stats = read(dir.path()).unwrap();
        assert_eq!(stats.cpu_stats.cpu_usage.total_usage, 0);
        assert_eq!(stats.pids_stats.limit, 0);
        drop(dir);
        assert!(read(Path::new("/nonexistent")).is_err());
    }
}

//! A guest's memory: what it says of it, and what of a host's process is the guest's.

/// What a guest says of its memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GuestMemory {
    /// What programs may still use.
    pub(super) available: u64,
}

impl GuestMemory {
    /// From an agent's metrics, in the text form of Prometheus.
    pub(super) fn parse(metrics: &str) -> Option<Self> {
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix("kata_guest_memory_available_bytes "))?;
        let available: u64 = value.trim().parse().ok()?;
        (available > 0).then_some(Self { available })
    }
}

/// How much of a process's resident memory is the memory of a guest that has `machine` bytes; what
/// several processes share is divided among them.
pub(super) fn of_guest(pid: u32, machine: u64) -> u64 {
    // A process that has ended has none.
    let mappings = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    sum(&mappings, machine)
}

/// A guest's memory is one mapping of its size, or several of a file without a name, where another
/// process of the sandbox uses it too.
fn sum(mappings: &str, machine: u64) -> u64 {
    let (mut counts, mut total) = (false, 0);
    for line in mappings.lines() {
        if let Some(mapping) = Mapping::parse(line) {
            counts = mapping.name.starts_with("/memfd:") || mapping.size == machine;
        } else if let Some(kib) = line.strip_prefix("Pss:").filter(|_| counts) {
            let kib = kib.trim().trim_end_matches("kB").trim();
            total += kib.parse::<u64>().unwrap_or(0) * 1024;
        }
    }
    total
}

/// The first line of a mapping in smaps: `7f00-7f01 rw-s 00000000 00:01 1024 /memfd:name (deleted)`.
struct Mapping<'a> {
    size: u64,
    name: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            size: address(end)?.checked_sub(address(start)?)?,
            name: fields.nth(4).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_tells_what_is_available() {
        let metrics = "# HELP kata_guest_memory_available_bytes Memory of the guest.\n\
                       # TYPE kata_guest_memory_available_bytes gauge\n\
                       kata_guest_memory_available_bytes 216006656\n";
        assert_eq!(
            GuestMemory::parse(metrics),
            Some(GuestMemory {
                available: 216_006_656
            })
        );
        assert_eq!(GuestMemory::parse("kata_agent_threads 3\n"), None);
    }

    #[test]
    fn mappings_of_the_guest_are_told_from_the_rest() {
        let mappings = "\
55d0-55e0 r-xp 00000000 fe:00 77 /usr/bin/qemu
Size:                 16 kB
Pss:                   7 kB
7f0000000000-7f0010000000 rw-s 00000000 00:01 1024 /memfd:memory-backend-memfd (deleted)
Pss:                  40 kB
Pss_Dirty:            40 kB
7f0020000000-7f0020100000 rw-p 00000000 00:00 0 
Pss:                 500 kB
7f0030000000-7f0030200000 rw-p 00000000 00:00 0 
Pss:                   3 kB
";
        assert_eq!(sum(mappings, 1 << 28), 40 * 1024);
        assert_eq!(sum(mappings, 0x20_0000), 43 * 1024);
        assert_eq!(sum("", 1), 0);
    }
}

//! What `/proc` says about a process (proc(5)): pure parsers and the reads they serve.

use std::io;

/// The two fields of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Field 3; `Z` and `X` mean that the process has ended and only awaits its parent.
    pub(crate) state: u8,
    /// Field 22, in clock ticks since boot.
    pub(crate) start_time: u64,
}

impl Stat {
    pub(crate) const fn is_ended(self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Reads a process's stat; `None` when there is no such process.
pub(crate) fn stat(pid: u32) -> io::Result<Option<Stat>> {
    let Some(bytes) = read_of(pid, "stat")? else {
        return Ok(None);
    };
    parse_stat(&bytes).map(Some).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("/proc/{pid}/stat is not in the format of proc(5)"),
        )
    })
}

/// Reads a process's environment as it was at its exec; `None` when there is no such process.
pub(crate) fn environment(pid: u32) -> io::Result<Option<Vec<u8>>> {
    read_of(pid, "environ")
}

/// All process ids there are now.
pub(crate) fn pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

fn read_of(pid: u32, file: &str) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(format!("/proc/{pid}/{file}")) {
        Ok(bytes) => Ok(Some(bytes)),
        // ESRCH: the process ended between open and read.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Finds the fields behind the *last* parenthesis: the command name before it is free text.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let name_end = bytes.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(bytes.get(name_end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_time })
}

/// The processor time in `/proc/PID/stat`, in ticks: fields 14 and 15, user and kernel mode.
pub(crate) fn processor_ticks(bytes: &[u8]) -> Option<u64> {
    let name_end = bytes.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(bytes.get(name_end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    user.checked_add(kernel)
}

/// Whether an environment block holds exactly this variable with this value.
pub(crate) fn has_variable(environment: &[u8], name: &str, value: &str) -> bool {
    environment.split(|&byte| byte == 0).any(|entry| {
        entry
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            == Some(value.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_cannot_forge_fields() {
        let line = b"42 (a) Z 1 (b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        let expected = Stat {
            state: b'S',
            start_time: 987_654,
        };
        assert_eq!(parse_stat(line), Some(expected));
        for torn in [&b""[..], b"42 (a", b"42 (a) ", b"42 (a) S 1 2 3"] {
            assert_eq!(parse_stat(torn), None);
        }
    }

    #[test]
    fn variables_match_whole() {
        let environment = b"PATH=/bin\0VC_NONCE=abc\0VC_TAG=\0";
        let rows = [
            ("VC_NONCE", "abc", true),
            ("VC_NONCE", "ab", false),
            ("VC_NONCE", "abcd", false),
            ("C_NONCE", "abc", false),
            ("VC_TAG", "", true),
            ("VC", "", false),
        ];
        for (name, value, expected) in rows {
            assert_eq!(
                has_variable(environment, name, value),
                expected,
                "{name}={value}"
            );
        }
    }
}

//! The processes of a sandbox on the host: each carries the sandbox's nonce in its environment, and a
//! tag that says what it is for.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use virtcontainers_process::{Identity, TAG_VARIABLE, find_by_nonce};
use virtcontainers_types::SandboxStatus;

/// One process on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostProcess {
    /// What it is for: `supervisor`, the backend's program, the name of a helper, `stand-in`.
    pub role: String,
    /// Its process id.
    pub pid: u32,
    /// Resident memory in bytes, in which what several processes share is divided among them.
    pub memory: u64,
    /// Processor time that it used so far, in nanoseconds.
    pub cpu: u64,
    /// The program and its arguments.
    pub command: Vec<String>,
}

/// The processes that carry `nonce`, and the supervisor, by pid. Those that cannot be looked at are
/// left out.
pub(crate) fn find(nonce: Option<&str>, status: &SandboxStatus) -> Vec<HostProcess> {
    let marked = nonce.and_then(|nonce| find_by_nonce(nonce).ok());
    let mut found: Vec<Identity> = marked.unwrap_or_default();
    if let Some(supervisor) = status.supervisor {
        let supervisor = Identity {
            pid: supervisor.pid,
            start_time: supervisor.start_time,
        };
        // Within a program that uses the library, it carries no nonce.
        if !found.contains(&supervisor) {
            found.push(supervisor);
        }
    }
    found.sort_by_key(|process| process.pid);
    found.iter().filter_map(look).collect()
}

fn look(process: &Identity) -> Option<HostProcess> {
    let read = |file: &str| {
        let path = PathBuf::from(format!("/proc/{}/{file}", process.pid));
        fs::read(path).ok().map(|bytes| words(&bytes))
    };
    let (environment, command) = (read("environ")?, read("cmdline")?);
    // Last: what was read is of this process as long as it lives.
    let usage = process.usage()?;
    Some(HostProcess {
        role: role(&environment).unwrap_or("supervisor").to_owned(),
        pid: process.pid,
        memory: usage.resident,
        cpu: usage.cpu_ns,
        command,
    })
}

fn role(environment: &[String]) -> Option<&str> {
    let mut variables = environment.iter();
    variables.find_map(|one| one.strip_prefix(TAG_VARIABLE)?.strip_prefix('='))
}

/// Words that each end with a zero byte.
fn words(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_suffix('\0').unwrap_or(&text);
    match text.is_empty() {
        true => Vec::new(),
        false => text.split('\0').map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_process() {
        assert_eq!(words(b"qemu\0-m\x00256M\0"), ["qemu", "-m", "256M"]);
        assert_eq!(words(b"a\0\0"), ["a", ""]);
        assert_eq!(words(b""), [""; 0]);
    }

    #[test]
    fn a_role_is_what_the_tag_says() {
        let environment = |text: &str| vec!["PATH=/bin".to_owned(), text.to_owned()];
        assert_eq!(role(&environment("VC_TAG=virtiofsd")), Some("virtiofsd"));
        assert_eq!(role(&environment("VC_TAGS=x")), None);
    }

    #[test]
    fn we_can_be_looked_at() {
        let ours = look(&Identity::current().unwrap()).unwrap();
        assert!(ours.memory > 0 && !ours.command.is_empty(), "{ours:?}");
    }
}

//! The processes of a container, as our own agent lists them.

use std::time::Duration;

use virtcontainers_agent_proto::process as wire;
use virtcontainers_types::{ContainerId, ExecId, ProcessEntry};

use crate::process::ProcessRef;

/// The most processes kept of one answer.
const MAX_PROCESSES: usize = 4096;
/// The most arguments kept of one process.
const MAX_ARGS: usize = 256;
/// The most text kept of one process's arguments, in bytes.
const MAX_TEXT: usize = 4096;
/// The longest user name kept, in bytes.
const MAX_NAME: usize = 64;

/// One process of a container. All of it comes from the guest: bounded, and without control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its number as the container sees it.
    pub pid: u32,
    /// The number of its parent there; 0 when that is outside the container.
    pub ppid: u32,
    /// Its number as the agent sees it.
    pub guest_pid: u32,
    /// The number of its parent there.
    pub guest_ppid: u32,
    /// The effective user.
    pub uid: u32,
    /// The user's name in the container's own `/etc/passwd`, where it has one.
    pub user: Option<String>,
    /// Processor time used, in user and kernel mode.
    pub cpu_time: Duration,
    /// When it began, counted from the guest's boot.
    pub started: Duration,
    /// Resident memory, in bytes.
    pub resident: u64,
    /// What it does: a letter of proc_pid_stat(5), such as `R`, `S`, `D` or `Z`; `?` when the
    /// agent gave none.
    pub state: char,
    /// The command line. A process without one has its name in brackets. What is not UTF-8 is
    /// replaced.
    pub args: Vec<String>,
    /// The process that it is when it was started by a call: the init, or an exec. `None` for
    /// their children.
    pub started_as: Option<ProcessRef>,
}

impl From<ProcessInfo> for ProcessEntry {
    /// Numbers are those of the guest; arguments are joined by spaces.
    fn from(process: ProcessInfo) -> Self {
        Self {
            pid: process.guest_pid,
            ppid: process.guest_ppid,
            uid: process.uid,
            cpu_ms: u64::try_from(process.cpu_time.as_millis()).unwrap_or(u64::MAX),
            rss: process.resident,
            command: process.args.join(" "),
        }
    }
}

pub(crate) fn of_reply(
    container: &ContainerId,
    reply: wire::ListProcessesResponse,
) -> Vec<ProcessInfo> {
    let kept = reply.processes.into_iter().take(MAX_PROCESSES);
    kept.map(|process| info(container, process)).collect()
}

fn info(container: &ContainerId, process: wire::ProcessInfo) -> ProcessInfo {
    let user = printable(process.user.as_bytes(), MAX_NAME);
    let letter = process.state.chars().next();
    ProcessInfo {
        pid: process.pid,
        ppid: process.ppid,
        guest_pid: process.guest_pid,
        guest_ppid: process.guest_ppid,
        uid: process.uid,
        user: Some(user).filter(|name| !name.is_empty()),
        cpu_time: Duration::from_millis(process.cpu_ms),
        started: Duration::from_millis(process.start_ms),
        resident: process.rss_bytes,
        state: letter.filter(char::is_ascii_alphabetic).unwrap_or('?'),
        args: args(&process.args),
        started_as: started_as(container, &process.exec_id),
    }
}

fn started_as(container: &ContainerId, exec: &str) -> Option<ProcessRef> {
    if exec == container.as_str() {
        return Some(ProcessRef::init(container.clone()));
    }
    // An id that is none cannot be one of ours.
    let exec = ExecId::new(exec).ok()?;
    Some(ProcessRef::exec_of(container.clone(), exec))
}

fn args(wire: &[Vec<u8>]) -> Vec<String> {
    let mut left = MAX_TEXT;
    let mut kept = Vec::new();
    for arg in wire.iter().take(MAX_ARGS) {
        if left == 0 {
            break;
        }
        let text = printable(arg, left);
        left -= text.len();
        kept.push(text);
    }
    kept
}

/// At most `most` bytes of a text, fit for a terminal.
fn printable(bytes: &[u8], most: usize) -> String {
    let mut kept = String::new();
    for c in String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).chars() {
        let c = if c.is_control() { '\u{fffd}' } else { c };
        if kept.len() + c.len_utf8() > most {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ContainerId {
        ContainerId::new("c1").unwrap()
    }

    #[test]
    fn what_a_guest_says_is_bounded_and_printable() {
        let endless = wire::ProcessInfo {
            user: "root\u{1b}[2J".repeat(100),
            args: vec![vec![0xff; 1 << 20], b"-c\n".to_vec()],
            state: "\u{1b}".to_owned(),
            exec_id: "../../x".to_owned(),
            cpu_ms: u64::MAX,
            ..Default::default()
        };
        let short = wire::ProcessInfo {
            args: vec![b"sh".to_vec(), b"a\nb".to_vec()],
            ..Default::default()
        };
        let many = wire::ListProcessesResponse {
            processes: [
                vec![endless, short],
                vec![Default::default(); MAX_PROCESSES],
            ]
            .concat(),
            ..Default::default()
        };
        let list = of_reply(&id(), many);
        assert_eq!(list.len(), MAX_PROCESSES);
        let user = list[0].user.as_ref().unwrap();
        assert!(user.len() <= MAX_NAME && !user.contains('\u{1b}'), "{user}");
        let text: usize = list[0].args.iter().map(String::len).sum();
        assert!(text <= MAX_TEXT);
        assert_eq!((list[0].state, &list[0].started_as), ('?', &None));
        assert_eq!(list[1].args, ["sh", "a\u{fffd}b"]);
        assert_eq!((&list[1].user, list[1].pid), (&None, 0));
    }

    #[test]
    fn the_init_and_execs_are_told_from_their_children() {
        let process = |exec: &str| wire::ProcessInfo {
            exec_id: exec.to_owned(),
            state: "S".to_owned(),
            ..Default::default()
        };
        let reply = wire::ListProcessesResponse {
            processes: vec![process("c1"), process("e1"), process("")],
            ..Default::default()
        };
        let list = of_reply(&id(), reply);
        let exec = ExecId::new("e1").unwrap();
        assert_eq!(list[0].started_as, Some(ProcessRef::init(id())));
        assert_eq!(list[1].started_as, Some(ProcessRef::exec_of(id(), exec)));
        assert_eq!(list[2].started_as, None);
        assert_eq!(list[2].state, 'S');
    }

    #[test]
    fn an_entry_has_the_numbers_of_the_guest() {
        let wire = wire::ProcessInfo {
            pid: 1,
            guest_pid: 70,
            guest_ppid: 2,
            uid: 5,
            cpu_ms: 30,
            rss_bytes: 4096,
            args: vec![b"sleep".to_vec(), b"9".to_vec()],
            ..Default::default()
        };
        let entry = ProcessEntry::from(info(&id(), wire));
        assert_eq!((entry.pid, entry.ppid, entry.uid), (70, 2, 5));
        assert_eq!((entry.cpu_ms, entry.rss), (30, 4096));
        assert_eq!(entry.command, "sleep 9");
    }
}

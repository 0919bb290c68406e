//! `ListProcesses`: what runs in a container, however it was started.
//!
//! The cgroup says which processes there are, `/proc` says what they are. All of it is the
//! container's to choose, so that everything is bounded and nothing is believed to stay.

mod entry;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::AsFd as _;

use rustix::fs::{CWD, Mode, OFlags, openat};
use virtcontainers_agent_proto::process::{ListProcessesResponse, ProcessInfo};

use self::entry::Entry;
use crate::agent::Agent;
use crate::blocking::blocking;
use crate::container;
use crate::status::Result;

/// The most processes in one answer.
const MOST: usize = 4096;

/// The most bytes of arguments in one answer: with [`MOST`] processes it stays well below the
/// largest frame.
const MOST_TEXT: usize = 1 << 20;

/// Lists the processes of a container.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container.
pub(crate) async fn list(agent: &Agent, id: &str) -> Result<ListProcessesResponse> {
    let container = agent.containers.get(id)?;
    let engine = agent.engine.clone();
    // On a helper thread: a process can make whoever reads its arguments wait.
    blocking(move || {
        let before = engine.members(&container.id, MOST + 1)?;
        let mut started: HashMap<i32, String> = HashMap::new();
        for (exec, pid) in container.running() {
            started.insert(pid, exec);
        }
        let mut truncated = before.len() > MOST;
        let mut entries: BTreeMap<i32, Entry> = before
            .into_iter()
            .take(MOST)
            .filter_map(|pid| Some((pid, Entry::read(pid)?)))
            .collect();
        // A number may have gone to somebody else before it was looked at: whoever is not in the
        // cgroup now either has ended or never was.
        let after: BTreeSet<i32> = engine
            .members(&container.id, usize::MAX)?
            .into_iter()
            .collect();
        entries.retain(|pid, _| after.contains(pid));

        let users = user_names(&entries);
        let own = entries.values().all(|entry| entry.numbers.len() > 1);
        let mut left = MOST_TEXT;
        let mut processes: Vec<ProcessInfo> = entries
            .values()
            .map(|entry| {
                let parent = entries.get(&entry.parent);
                let mut args = entry.args.clone();
                truncated |= entry.cut | cut(&mut args, &mut left);
                ProcessInfo {
                    pid: entry.number(own),
                    ppid: parent.map_or(0, |parent| parent.number(own)),
                    guest_pid: entry.numbers.first().copied().unwrap_or(0),
                    guest_ppid: entry.parent.try_into().unwrap_or(0),
                    uid: entry.uid,
                    user: users.get(&entry.uid).cloned().unwrap_or_default(),
                    cpu_ms: entry.cpu_ms,
                    start_ms: entry.start_ms,
                    rss_bytes: entry.rss_bytes,
                    state: entry.state.to_string(),
                    args,
                    exec_id: started.get(&entry.pid).cloned().unwrap_or_default(),
                    ..Default::default()
                }
            })
            .collect();
        let is_init = |process: &ProcessInfo| process.exec_id == container.id;
        processes.sort_by_key(|process| (!is_init(process), process.pid));
        Ok(ListProcessesResponse {
            processes,
            truncated,
            taken_ms: entry::now_ms(),
            ..Default::default()
        })
    })
    .await
}

/// The container's names of users, by number; none when it has no such file, or a strange one.
fn user_names(entries: &BTreeMap<i32, Entry>) -> BTreeMap<u32, String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut roots = entries
        .keys()
        .filter_map(|pid| openat(CWD, format!("/proc/{pid}/root"), flags, Mode::empty()).ok());
    let names = roots.next().map(|root| container::user_names(root.as_fd()));
    names.and_then(std::result::Result::ok).unwrap_or_default()
}

/// Takes arguments from what is left for all; says whether some had to go.
fn cut(args: &mut Vec<Vec<u8>>, left: &mut usize) -> bool {
    let mut kept = 0;
    for arg in args.iter() {
        if arg.len() > *left {
            break;
        }
        *left -= arg.len();
        kept += 1;
    }
    let cut = kept < args.len();
    args.truncate(kept);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_share_what_room_there_is() {
        let (mut first, mut left) = (vec![vec![b'a'; 10], vec![b'b'; 5]], 12);
        assert!(cut(&mut first, &mut left));
        assert_eq!((first.len(), left), (1, 2));
        let mut second = vec![vec![b'c'; 2]];
        assert!(!cut(&mut second, &mut left));
        assert_eq!((second.len(), left), (1, 0));
    }
}

//! When a helper's socket can be connected to, found out without connecting: a helper that serves
//! one peer would take a probe for that peer.
//!
//! The socket's file announces itself by inotify when it is bound. listen(2) follows at once but
//! announces itself nowhere; it shows as a flag in `/proc/PID/net/unix`.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{CreateFlags, WatchFlags};

use crate::sys;

/// Between bind and listen a helper executes a few instructions; this is how often we look whether
/// it is through.
const BETWEEN_BIND_AND_LISTEN: Duration = Duration::from_millis(1);

/// `__SO_ACCEPTCON` of linux/net.h: the socket listens.
const LISTENS: u32 = 1 << 16;

/// Watches a directory for new files. To be made before the program that will make them starts.
#[derive(Debug)]
pub(crate) struct NewFiles {
    inotify: OwnedFd,
}

impl NewFiles {
    pub(crate) fn watch(directory: &Path) -> io::Result<Self> {
        let inotify = rustix::fs::inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let events = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        rustix::fs::inotify::add_watch(&inotify, directory, events)?;
        Ok(Self { inotify })
    }

    /// Resolves when process `pid` listens on a socket that it bound as `name`. Has no deadline of
    /// its own. Safe to drop.
    pub(crate) async fn until_listening(
        self,
        directory: &Path,
        name: &str,
        pid: u32,
    ) -> io::Result<()> {
        let socket = directory.join(name);
        let inotify = sys::watch_readable(self.inotify)?;
        while !socket.exists() {
            let mut ready = inotify.readable().await?;
            let mut events = [0; 4096];
            // Which file it was does not matter: the one that is wanted is looked for itself.
            match rustix::io::read(inotify.get_ref(), &mut events) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
        while !listens(pid, name)? {
            tokio::time::sleep(BETWEEN_BIND_AND_LISTEN).await;
        }
        Ok(())
    }
}

/// Relative names repeat from sandbox to sandbox, so the socket must also be one of the process.
fn listens(pid: u32, name: &str) -> io::Result<bool> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/unix"))?;
    let listening = listening_inodes(&table, name);
    if listening.is_empty() {
        return Ok(false);
    }
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed between being listed and being looked at.
        if let Ok(target) = std::fs::read_link(entry?.path())
            && let Some(inode) = socket_inode(&target.to_string_lossy())
            && listening.contains(&inode)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Columns: Num RefCount Protocol Flags Type St Inode Path (proc(5), `/proc/net/unix`).
fn listening_inodes(table: &str, name: &str) -> Vec<u64> {
    let inode = |line: &str| {
        let mut columns = line.split_ascii_whitespace().skip(3);
        let flags = u32::from_str_radix(columns.next()?, 16).ok()?;
        let inode = columns.nth(2)?.parse().ok()?;
        let path = columns.next()?;
        (flags & LISTENS != 0 && path == name).then_some(inode)
    };
    table.lines().filter_map(inode).collect()
}

fn socket_inode(target: &str) -> Option<u64> {
    let inner = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inner.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_that_name_count() {
        let table = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 1001 vhost.sock
0000000000000000: 00000002 00000000 00000000 0001 01 1002 vhost.sock
0000000000000000: 00000002 00000000 00010000 0001 01 1003 /run/other/vhost.sock
0000000000000000: 00000003 00000000 00000000 0001 03 1004
0000000000000000: 00000002 00000000 00010000 0001 01 1005 vhost.sock
torn";
        assert_eq!(listening_inodes(table, "vhost.sock"), [1001, 1005]);
        assert_eq!(socket_inode("socket:[1001]"), Some(1001));
        assert_eq!(socket_inode("pipe:[1001]"), None);
    }
}

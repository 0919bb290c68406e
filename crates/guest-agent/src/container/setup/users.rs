//! Users by name, from the container's own files.
//!
//! The agent is static and has no name service; the container's files are what its programs see,
//! too. They are the image's, so their size and kind are checked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::resolve;
use crate::container::error::{EngineError, Result, Step as _};
use crate::container::plan::UserPlan;

/// Most of a file that is read, in bytes.
const MOST: u64 = 4 << 20;

/// Who the program is to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    /// Home folder; `/` for somebody unknown.
    pub(super) home: String,
}

impl Identity {
    /// Looks a user up in the root given.
    ///
    /// # Errors
    /// Invalid when there is no user or group of the name.
    pub(super) fn find(user: &UserPlan, root: BorrowedFd<'_>) -> Result<Self> {
        let passwd = read(root, "/etc/passwd")?;
        match &user.name {
            Some(name) => named(name, user, &passwd, &read(root, "/etc/group")?),
            None => Ok(Self {
                uid: user.uid,
                gid: user.gid,
                groups: user.groups.clone(),
                home: home(&passwd, user.uid),
            }),
        }
    }
}

/// The names of the users of a root, by number; the first name of a number counts.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn names(root: BorrowedFd<'_>) -> Result<BTreeMap<u32, String>> {
    let mut names = BTreeMap::new();
    for (name, uid, ..) in accounts(&read(root, "/etc/passwd")?) {
        names.entry(uid).or_insert_with(|| name.to_owned());
    }
    Ok(names)
}

/// A missing file is an empty one.
fn read(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    let what = || format!("read {path} of the container");
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match resolve::open(root, Path::new(path), flags) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(errno) => return Err(errno).step(what),
    };
    let status = rustix::fs::fstat(&file).step(what)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(EngineError::internal(format!(
            "{}: it is not a file",
            what()
        )));
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(MOST)
        .read_to_end(&mut bytes)
        .step(what)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Fields of a line of `passwd`: name, uid, gid, home.
fn accounts(passwd: &str) -> impl Iterator<Item = (&str, u32, u32, &str)> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((name, uid, gid, fields.nth(1).unwrap_or_default()))
    })
}

/// Fields of a line of `group`: name, gid, members.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((
            name,
            fields.nth(1)?.parse().ok()?,
            fields.next().unwrap_or_default(),
        ))
    })
}

fn home(passwd: &str, uid: u32) -> String {
    let home = accounts(passwd)
        .find(|account| account.1 == uid)
        .map(|account| account.3);
    home.filter(|home| home.starts_with('/'))
        .unwrap_or("/")
        .to_owned()
}

/// `user`, `user:group`, each a name or a number; a name goes before a number.
fn named(text: &str, plan: &UserPlan, passwd: &str, group: &str) -> Result<Identity> {
    let unknown = |what: &str, name: &str, file: &str| {
        EngineError::invalid(format!("{what} {name:?} is not in the container's {file}"))
    };
    let (user, wanted_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let number = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX);
    let account = accounts(passwd)
        .find(|account| account.0 == user)
        .or_else(|| accounts(passwd).find(|account| Some(account.1) == number(user)));
    let (uid, mut gid) = match (account, number(user)) {
        (Some((_, uid, gid, _)), _) => (uid, gid),
        (None, Some(uid)) => (uid, plan.gid),
        (None, None) => return Err(unknown("user", user, "/etc/passwd")),
    };
    let mut more = plan.groups.clone();
    match wanted_group {
        Some(name) => {
            gid = groups(group)
                .find(|entry| entry.0 == name)
                .map(|entry| entry.1)
                .or_else(|| number(name))
                .ok_or_else(|| unknown("group", name, "/etc/group"))?;
        }
        None => {
            let login = account.map_or(user, |account| account.0);
            let member = |entry: &(&str, u32, &str)| entry.2.split(',').any(|m| m == login);
            more.extend(groups(group).filter(member).map(|entry| entry.1));
            more.sort_unstable();
            more.dedup();
        }
    }
    Ok(Identity {
        uid,
        gid,
        groups: more,
        home: home(passwd, uid),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        broken line\n\
        web:x:33:34:web server:/var/www:/bin/false\n\
        7:x:1007:1007::relative:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:40:web,root\nmail:x:41:other\n";

    fn plan() -> UserPlan {
        UserPlan {
            name: None,
            uid: 0,
            gid: 5,
            groups: vec![9],
            umask: 0,
        }
    }

    #[test]
    fn names_and_numbers() {
        let find = |text| {
            let found = named(text, &plan(), PASSWD, GROUP).ok()?;
            Some((found.uid, found.gid, found.groups, found.home))
        };
        let found = |uid, gid, groups: &[u32], home: &str| {
            Some((uid, gid, groups.to_vec(), home.to_owned()))
        };
        assert_eq!(find("web"), found(33, 34, &[9, 40], "/var/www"));
        assert_eq!(find("33"), found(33, 34, &[9, 40], "/var/www"));
        assert_eq!(find("web:mail"), found(33, 41, &[9], "/var/www"));
        assert_eq!(find("web:77"), found(33, 77, &[9], "/var/www"));
        assert_eq!(find("7"), found(1007, 1007, &[9], "/"));
        assert_eq!(find("4711"), found(4711, 5, &[9], "/"));
        for unknown in ["nobody", "web:nobody", "", "-1", "4294967295", "web:-1"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn homes() {
        assert_eq!(home(PASSWD, 0), "/root");
        assert_eq!(home(PASSWD, 1007), "/");
        assert_eq!(home("", 0), "/");
    }
}

//! Users by name, looked up in the container's own files.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use oci_spec::runtime::{User, UserBuilder};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::{Error, ErrorKind};

/// A `/etc/passwd` longer than this is not believed.
const LONGEST_FILE: u64 = 4 << 20;

/// Resolves `user[:group]`, each a name or a number, with the files of `rootfs`; symbolic links in
/// it cannot lead outside.
///
/// A number that no file mentions is taken as it is, with group 0. Errors: `NotFound` for a name
/// that no line has, `Invalid` for an empty part.
pub fn resolve_user(rootfs: &Path, text: &str) -> Result<User, Error> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    if user.is_empty() || group == Some("") {
        let message = format!("user {text:?} is not valid: write user, user:group, or numbers");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let line = find(rootfs, "etc/passwd", |fields| {
        fields[0] == user || fields.get(2) == Some(&user)
    });
    let (name, uid, primary) = match (line, user.parse::<u32>()) {
        (Some(fields), _) => (
            Some(fields[0].clone()),
            number(&fields, 2)?,
            number(&fields, 3)?,
        ),
        (None, Ok(uid)) => (None, uid, 0),
        (None, Err(_)) => return Err(unknown("user", user, "etc/passwd")),
    };
    let gid = match group {
        Some(group) => resolve_group(rootfs, group)?,
        None => primary,
    };
    let additional = match (&name, group) {
        (Some(name), None) => groups_of(rootfs, name),
        _ => Vec::new(),
    };
    let user = UserBuilder::default()
        .uid(uid)
        .gid(gid)
        .additional_gids(additional)
        .build();
    user.map_err(|error| Error::new(ErrorKind::Internal, "cannot build the user").because(error))
}

fn resolve_group(rootfs: &Path, group: &str) -> Result<u32, Error> {
    match (
        find(rootfs, "etc/group", |fields| fields[0] == group),
        group.parse(),
    ) {
        (Some(fields), _) => number(&fields, 2),
        (None, Ok(gid)) => Ok(gid),
        (None, Err(_)) => Err(unknown("group", group, "etc/group")),
    }
}

fn unknown(what: &str, name: &str, file: &str) -> Error {
    let message =
        format!("{what} {name:?} is not in the container's /{file}: use a number, or add it there");
    Error::new(ErrorKind::NotFound, message)
}

fn number(fields: &[String], index: usize) -> Result<u32, Error> {
    fields
        .get(index)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| {
            let message = format!(
                "the line of {:?} in the container's files is malformed",
                fields[0]
            );
            Error::new(ErrorKind::Invalid, message)
        })
}

fn groups_of(rootfs: &Path, user: &str) -> Vec<u32> {
    lines(rootfs, "etc/group")
        .filter(|fields| {
            fields
                .get(3)
                .is_some_and(|members| members.split(',').any(|m| m == user))
        })
        .filter_map(|fields| fields.get(2)?.parse().ok())
        .collect()
}

fn find(rootfs: &Path, file: &str, matches: impl Fn(&[&str]) -> bool) -> Option<Vec<String>> {
    lines(rootfs, file).find(|fields| {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        matches(&fields)
    })
}

/// The lines of a colon-separated file of the container; none when it cannot be read.
fn lines(rootfs: &Path, file: &str) -> impl Iterator<Item = Vec<String>> {
    let reader = open_inside(rootfs, file).map(|file| {
        use std::io::Read as _;
        BufReader::new(file.take(LONGEST_FILE)).lines()
    });
    reader
        .into_iter()
        .flatten()
        .map_while(Result::ok)
        .map(|line| line.split(':').map(str::to_owned).collect())
}

fn open_inside(rootfs: &Path, file: &str) -> Option<File> {
    let root = rustix::fs::open(rootfs, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // NONBLOCK: the container's owner may have put a FIFO there.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened =
        rustix::fs::openat2(root, file, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
    let file = File::from(opened);
    file.metadata().ok()?.is_file().then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rootfs() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(
            root.path().join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\nbad:x:y:z\n",
        )
        .unwrap();
        std::fs::write(
            root.path().join("etc/group"),
            "root:x:0:\nlogs:x:7:a,web\nwww:x:34:\n",
        )
        .unwrap();
        root
    }

    #[test]
    fn names_and_numbers() {
        let root = rootfs();
        let rows: [(&str, u32, u32, &[u32]); 7] = [
            ("root", 0, 0, &[]),
            ("web", 33, 34, &[7]),
            ("33", 33, 34, &[7]),
            ("web:logs", 33, 7, &[]),
            ("1000", 1000, 0, &[]),
            ("1000:1001", 1000, 1001, &[]),
            ("0:www", 0, 34, &[]),
        ];
        for (text, uid, gid, additional) in rows {
            let user = resolve_user(root.path(), text).unwrap();
            let got = user.additional_gids().clone().unwrap_or_default();
            assert_eq!(
                (user.uid(), user.gid(), &got[..]),
                (uid, gid, additional),
                "{text}"
            );
        }
        for text in ["", ":", "nosuch", "root:nosuch", "root:", "bad"] {
            assert!(resolve_user(root.path(), text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_container() {
        let root = rootfs();
        std::fs::remove_file(root.path().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/../../../../etc/passwd", root.path().join("etc/passwd"))
            .unwrap();
        assert!(resolve_user(root.path(), "daemon").is_err());
    }
}

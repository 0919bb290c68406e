//! Which hierarchies of cgroups are mounted, as `/proc/self/mountinfo` tells (proc(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One hierarchy, where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) mount: PathBuf,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With these words in its options: controllers, a name, switches.
    V1(Vec<String>),
    V2,
}

impl Hierarchy {
    /// Whether it is a v1 hierarchy that was mounted with this controller or `name=…`.
    pub(crate) fn has(&self, word: &str) -> bool {
        match &self.kind {
            Kind::V1(words) => words.iter().any(|found| found == word),
            Kind::V2 => false,
        }
    }
}

struct Mount<'a> {
    device: &'a str,
    /// The whole hierarchy is mounted, not a part of it.
    whole: bool,
    hierarchy: Hierarchy,
}

/// The hierarchies, each once: where it is mounted whole, if it is, and where that is not hidden by
/// a later mount at the same place. In the order of the file.
pub(crate) fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Mount<'_>> = Vec::new();
    for line in mountinfo.lines() {
        let Some((place, mount)) = parse(line) else {
            continue;
        };
        found.retain(|other| other.hierarchy.mount != place);
        let Some(mount) = mount else { continue };
        match found.iter_mut().find(|other| other.device == mount.device) {
            Some(other) if mount.whole && !other.whole => *other = mount,
            Some(_) => {}
            None => found.push(mount),
        }
    }
    found.into_iter().map(|mount| mount.hierarchy).collect()
}

/// Where a line's mount is, and the mount, if it is one of cgroups.
fn parse(line: &str) -> Option<(PathBuf, Option<Mount<'_>>)> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(2);
    let (device, root, place) = (fields.next()?, fields.next()?, unescape(fields.next()?));
    let mut rest = rest.split(' ');
    let (file_system, options) = (rest.next()?, rest.nth(1)?);
    let kind = match file_system {
        "cgroup" => Kind::V1(options.split(',').map(str::to_owned).collect()),
        "cgroup2" => Kind::V2,
        _ => return Some((place, None)),
    };
    let mount = Mount {
        device,
        whole: root == "/",
        hierarchy: Hierarchy {
            mount: place.clone(),
            kind,
        },
    };
    Some((place, Some(mount)))
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match after {
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] if first == b'\\' => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    Path::new(&OsString::from_vec(bytes)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(device: &str, root: &str, place: &str, kind: &str, options: &str) -> String {
        format!("32 31 {device} {root} {place} rw,relatime shared:9 master:1 - {kind} x {options}")
    }

    fn places(lines: &[String]) -> Vec<PathBuf> {
        let found = hierarchies(&lines.join("\n"));
        found.into_iter().map(|found| found.mount).collect()
    }

    #[test]
    fn controllers_and_names_are_words() {
        let text = line("0:9", "/", "/c/cpu\\040x\\134", "cgroup", "rw,cpu,cpuacct");
        let found = hierarchies(&text);
        assert_eq!(found[0].mount, Path::new("/c/cpu x\\"));
        assert!(found[0].has("cpu") && found[0].has("cpuacct"));
        assert!(!found[0].has("cpuset"));
    }

    #[test]
    fn a_hierarchy_is_found_once_and_whole() {
        let part = line("0:9", "/docker/a", "/part", "cgroup", "rw,cpu");
        let whole = line("0:9", "/", "/whole", "cgroup", "rw,cpu");
        let again = line("0:9", "/", "/again", "cgroup", "rw,cpu");
        assert_eq!(
            places(std::slice::from_ref(&part)),
            ["/part".as_ref() as &Path]
        );
        assert_eq!(places(&[part, whole, again]), ["/whole".as_ref() as &Path]);
    }

    #[test]
    fn what_is_mounted_over_is_not_found() {
        let hidden = line("0:9", "/", "/c", "cgroup", "rw,cpu");
        let over = line("0:8", "/", "/c", "tmpfs", "rw");
        assert_eq!(places(&[hidden, over]), [] as [&Path; 0]);
    }

    #[test]
    fn other_lines_are_passed_over() {
        assert_eq!(
            hierarchies("\nrubbish\n1 2 3 - \n1 2 0:1 / /x rw - cgroup\n"),
            []
        );
    }
}

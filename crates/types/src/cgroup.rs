//! Where on the host the processes that stand for a container are accounted: `cgroupsPath` of the
//! runtime specification (config-linux, "Cgroups Path").

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::text::stored_as_text;

/// What a unit of systemd is named with (systemd.unit(5)).
const UNIT_MARKS: &str = ":-_.\\@";
/// The longest name of a unit or of a cgroup, in bytes: a file name's.
const NAME_MAX: usize = 255;
const SCOPE: &str = ".scope";
const SLICE: &str = ".slice";
const DEFAULT_SLICE: &str = "system.slice";
const SYSTEMD_FORM: &str = "write slice:prefix:name, for example machine.slice:vc:web";

/// A cgroup of the host. It is made by [`parse`](Self::parse) alone, and so it is always valid.
///
/// Stored and printed as text: an absolute path, or `slice:prefix:name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CgroupPath {
    /// A directory in each hierarchy.
    #[non_exhaustive]
    Fs {
        /// Below the root of the hierarchy: absolute, not the root itself, without `.` and `..`.
        path: PathBuf,
    },
    /// A transient scope of systemd.
    #[non_exhaustive]
    Systemd {
        /// The slice that the scope is in, as in `machine.slice`.
        slice: String,
        /// What the scope's name begins with; may be empty.
        prefix: String,
        /// What the scope is named after.
        name: String,
    },
}

impl CgroupPath {
    /// Reads a `cgroupsPath`. With `systemd` (`--systemd-cgroup`) it is `slice:prefix:name`, where
    /// an empty slice is `system.slice`. Without, it is a path; a relative one begins at the root.
    ///
    /// Errors: `Invalid`, saying what to write.
    pub fn parse(text: &str, systemd: bool) -> Result<Self, Error> {
        let found = match systemd {
            true => scope(text),
            false => path(text),
        };
        found.map_err(|reason| Error::invalid("cgroupsPath", text, reason))
    }

    /// The name of the scope; nothing for a path.
    pub fn unit(&self) -> Option<String> {
        match self {
            Self::Fs { .. } => None,
            Self::Systemd { prefix, name, .. } => Some(unit(prefix, name)),
        }
    }
}

fn unit(prefix: &str, name: &str) -> String {
    match prefix {
        "" => format!("{name}{SCOPE}"),
        prefix => format!("{prefix}-{name}{SCOPE}"),
    }
}

fn path(text: &str) -> Result<CgroupPath, String> {
    if !text.starts_with('/') && text.split(':').count() == 3 {
        return Err("this form is for systemd: give --systemd-cgroup, or write a path".to_owned());
    }
    if text.contains(char::is_control) {
        return Err("it has a control character".to_owned());
    }
    let mut path = PathBuf::from("/");
    for part in Path::new(text).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) if name.len() > NAME_MAX => {
                return Err(format!("a name in it has more than {NAME_MAX} bytes"));
            }
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err("it has .., write the path without".to_owned());
            }
        }
    }
    match path.parent() {
        Some(_) => Ok(CgroupPath::Fs { path }),
        None => Err("it names no cgroup, write a path such as /vc/web".to_owned()),
    }
}

fn scope(text: &str) -> Result<CgroupPath, String> {
    let [slice, prefix, name]: [&str; 3] = text
        .split(':')
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| format!("systemd manages cgroups: {SYSTEMD_FORM}"))?;
    let slice = match slice {
        "" => DEFAULT_SLICE,
        slice => slice,
    };
    if name.is_empty() {
        return Err(format!("the name is empty: {SYSTEMD_FORM}"));
    }
    for (what, word) in [("slice", slice), ("prefix", prefix), ("name", name)] {
        let good = |c: char| c.is_ascii_alphanumeric() || UNIT_MARKS.contains(c);
        if !word.chars().all(good) {
            return Err(format!(
                "the {what} has a character that no unit of systemd is named with"
            ));
        }
    }
    if !is_slice(slice) {
        return Err(format!(
            "{slice} is not the name of a slice: {SYSTEMD_FORM}"
        ));
    }
    if unit(prefix, name).len() > NAME_MAX || slice.len() > NAME_MAX {
        return Err(format!("the unit's name has more than {NAME_MAX} bytes"));
    }
    Ok(CgroupPath::Systemd {
        slice: slice.to_owned(),
        prefix: prefix.to_owned(),
        name: name.to_owned(),
    })
}

/// Dashes in a slice's name lead down the tree (systemd.slice(5)), so none stands at an end or
/// beside another; `-.slice` is the root.
fn is_slice(name: &str) -> bool {
    match name.strip_suffix(SLICE) {
        Some("-") => true,
        Some(stem) => stem.split('-').all(|part| !part.is_empty()),
        None => false,
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fs { path } => write!(f, "{}", path.display()),
            Self::Systemd {
                slice,
                prefix,
                name,
            } => write!(f, "{slice}:{prefix}:{name}"),
        }
    }
}

impl FromStr for CgroupPath {
    type Err = Error;

    /// Reads the printed form: what begins with a slash is a path.
    ///
    /// Errors: `Invalid`.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text, !text.starts_with('/'))
    }
}

stored_as_text!(CgroupPath);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, systemd: bool) -> String {
        let error = CgroupPath::parse(text, systemd).expect_err(text);
        error.to_string()
    }

    #[test]
    fn paths_as_managers_write_them() {
        for (text, path) in [
            ("/libpod_parent/libpod-12ab", "/libpod_parent/libpod-12ab"),
            ("default/web", "/default/web"),
            ("//a/./b/", "/a/b"),
            ("/a:b:c", "/a:b:c"),
        ] {
            let found = CgroupPath::parse(text, false).expect(text);
            assert_eq!(found.to_string(), path);
            assert_eq!(found.unit(), None);
            assert_eq!(path.parse(), Ok(found));
        }
    }

    #[test]
    fn scopes_as_managers_write_them() {
        for (text, printed, unit) in [
            (
                "machine.slice:libpod:12ab",
                "machine.slice:libpod:12ab",
                "libpod-12ab.scope",
            ),
            (":vc:web", "system.slice:vc:web", "vc-web.scope"),
            ("-.slice::web", "-.slice::web", "web.scope"),
            (
                "user-1000.slice:cri:a.b_c",
                "user-1000.slice:cri:a.b_c",
                "cri-a.b_c.scope",
            ),
        ] {
            let found = CgroupPath::parse(text, true).expect(text);
            assert_eq!(found.to_string(), printed);
            assert_eq!(found.unit().as_deref(), Some(unit));
            let stored = serde_json::to_value(&found).expect("it is stored");
            assert_eq!(stored, printed);
            assert_eq!(serde_json::from_value(stored).ok(), Some(found));
        }
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        for (text, systemd, said) in [
            ("", false, "names no cgroup, write a path"),
            ("/", false, "names no cgroup"),
            ("./", false, "names no cgroup"),
            ("/a/../b", false, "has .., write"),
            ("a\nb", false, "control character"),
            (&"x".repeat(256), false, "more than 255 bytes"),
            ("machine.slice:vc:web", false, "give --systemd-cgroup"),
            ("/vc/web", true, "write slice:prefix:name"),
            ("a.slice:b:c:d", true, "write slice:prefix:name"),
            ("machine.slice:vc:", true, "the name is empty"),
            ("machine.slice:vc:a/b", true, "the name has a character"),
            ("machine.slice:vc:a+b", true, "the name has a character"),
            ("machine:vc:web", true, "machine is not the name of a slice"),
            (".slice:vc:web", true, "not the name of a slice"),
            ("a--b.slice:vc:web", true, "not the name of a slice"),
            (
                &format!(":vc:{}", "x".repeat(250)),
                true,
                "more than 255 bytes",
            ),
        ] {
            let message = refused(text, systemd);
            assert!(message.contains(said), "{message}");
            assert!(!message.ends_with('.'), "{message}");
        }
    }

    #[test]
    fn what_is_stored_is_read_with_the_same_care() {
        for text in ["\"/a/../b\"", "\"a.slice::\"", "\"relative\"", "7"] {
            assert!(serde_json::from_str::<CgroupPath>(text).is_err(), "{text}");
        }
    }
}

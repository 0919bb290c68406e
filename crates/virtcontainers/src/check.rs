//! What this host can do: looked at without changing anything, with a remedy for each lack.

use std::path::Path;

use serde::Serialize;
use virtcontainers_types::GuestRoot;

use crate::config::{Config, GuestAssets};
use crate::registry;

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is there and works.
    Ok,
    /// It is not there, and something else takes its place.
    Absent,
    /// It is not there, and nothing runs without it.
    Missing,
}

impl Verdict {
    /// The verdict's stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Absent => "absent",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its stable name.
    pub name: &'static str,
    /// Whether it is there.
    pub verdict: Verdict,
    /// Where it is, or why it is not usable.
    pub detail: String,
    /// What would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Looks at this host with the eyes of `config`.
pub fn host(config: &Config) -> Vec<Item> {
    let mut items = vec![root_privileges()];
    let daemon = registry::daemon(config).find();
    items.push(required(
        "virtiofsd",
        daemon.map(|path| path.display().to_string()),
    ));
    items.extend(registry::host(config));
    items.extend(guest(config));
    items.push(device(
        "tun",
        Path::new("/dev/net/tun"),
        "`modprobe tun`; needed for networks",
    ));
    items.push(cgroups());
    items
}

pub(crate) fn ok(name: &'static str, detail: String) -> Item {
    Item {
        name,
        verdict: Verdict::Ok,
        detail,
        remedy: None,
    }
}

/// The remedy is in the error's own words.
pub(crate) fn required(name: &'static str, found: Result<String, impl std::error::Error>) -> Item {
    match found {
        Ok(detail) => ok(name, detail),
        Err(error) => Item {
            name,
            verdict: Verdict::Missing,
            detail: match error.source() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            },
            remedy: None,
        },
    }
}

/// Something that another thing takes the place of; `lack` is why it is not usable.
pub(crate) fn optional(name: &'static str, lack: Option<&str>, remedy: &str) -> Item {
    match lack {
        None => ok(name, "usable".to_owned()),
        Some(lack) => Item {
            name,
            verdict: Verdict::Absent,
            detail: lack.to_owned(),
            remedy: Some(remedy.to_owned()),
        },
    }
}

fn root_privileges() -> Item {
    match rustix::process::geteuid().is_root() {
        true => ok("root", "running as root".to_owned()),
        false => Item {
            name: "root",
            verdict: Verdict::Missing,
            detail: "not running as root".to_owned(),
            remedy: Some("run as root: namespaces and mounts need it".to_owned()),
        },
    }
}

fn guest(config: &Config) -> Vec<Item> {
    let file = |name, path: &Path| match std::fs::File::open(path) {
        Ok(_) => ok(name, path.display().to_string()),
        Err(error) => Item {
            name,
            verdict: Verdict::Missing,
            detail: format!("{} cannot be read: {error}", path.display()),
            remedy: Some("build a guest with `cargo xtask guest`, or configure one".to_owned()),
        },
    };
    match GuestAssets::find(config) {
        Ok(assets) => vec![
            file("kernel", &assets.kernel),
            match &assets.root {
                GuestRoot::Initrd(path) => file("initrd", path),
                GuestRoot::Image(path) => file("image", path),
            },
        ],
        Err(error) => vec![required("kernel", Err(error))],
    }
}

fn device(name: &'static str, path: &Path, remedy: &str) -> Item {
    match path.exists() {
        true => ok(name, path.display().to_string()),
        false => Item {
            name,
            verdict: Verdict::Absent,
            detail: format!("there is no {}", path.display()),
            remedy: Some(remedy.to_owned()),
        },
    }
}

fn cgroups() -> Item {
    let root = Path::new("/sys/fs/cgroup");
    let detail = match (
        root.join("cgroup.controllers").exists(),
        root.join("unified/cgroup.controllers").exists(),
        root.join("memory").exists(),
    ) {
        (true, _, _) => "version 2",
        (false, true, _) => "version 1 and 2 (hybrid)",
        (false, false, true) => "version 1",
        (false, false, false) => {
            return Item {
                name: "cgroups",
                verdict: Verdict::Absent,
                detail: "no hierarchy is mounted at /sys/fs/cgroup".to_owned(),
                remedy: Some("mount one to limit sandboxes on the host".to_owned()),
            };
        }
    };
    ok("cgroups", detail.to_owned())
}

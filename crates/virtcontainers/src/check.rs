//! What this host can do: looked at without changing anything, with a remedy for each lack.

mod system;

use std::path::Path;

use serde::Serialize;
use virtcontainers_types::GuestRoot;

use crate::config::{Config, GuestAssets};
use crate::registry;

pub(crate) use system::cgroup_mode;

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
    let mut items = vec![system::root_privileges()];
    let daemon = registry::daemon(config).find();
    items.push(Item {
        remedy: daemon.is_err().then(|| {
            "install the Debian package virtiofsd, or set virtiofsd in [hypervisor.qemu]".to_owned()
        }),
        ..required("virtiofsd", daemon.map(|path| path.display().to_string()))
    });
    items.extend(registry::host(config));
    items.extend(guest(config));
    items.push(system::device(
        "tun",
        Path::new("/dev/net/tun"),
        "`modprobe tun`; needed for networks",
    ));
    items.push(system::memory(config.hypervisor.qemu.memory));
    items.push(system::modules());
    items.push(system::cgroups());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_stable() {
        let names: Vec<&str> = host(&Config::default())
            .iter()
            .map(|item| item.name)
            .filter(|name| !["kernel", "initrd"].contains(name))
            .collect();
        let expected = [
            "root",
            "virtiofsd",
            "qemu",
            "kvm",
            "vhost-vsock",
            "vsock-helper",
            "tun",
            "memory",
            "modules",
            "cgroups",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_json_form_is_stable() {
        let item = Item {
            remedy: Some("help".to_owned()),
            ..ok("tun", "here".to_owned())
        };
        let json = serde_json::to_value(item).unwrap();
        let expected = serde_json::json!({
            "name": "tun", "verdict": "ok", "detail": "here", "remedy": "help",
        });
        assert_eq!(json, expected);
    }
}

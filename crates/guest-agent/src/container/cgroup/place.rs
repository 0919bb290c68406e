//! Where in the hierarchy a container's cgroup is.

use std::path::{Component, Path, PathBuf};

use crate::container::error::{EngineError, Result};

/// A folder relative to the root of the hierarchy. Nothing stands for the container's id;
/// `slice:prefix:name`, which systemd would read, becomes folders.
pub(super) fn place(cgroups_path: Option<&Path>, id: &str) -> Result<PathBuf> {
    let text = cgroups_path.and_then(Path::to_str).unwrap_or_default();
    if cgroups_path.is_some_and(|path| path.to_str().is_none()) || text.contains('\0') {
        return Err(EngineError::invalid("linux.cgroupsPath is not a text"));
    }
    let text = if text.is_empty() { id } else { text };
    let text = if text.matches(':').count() == 2 {
        text.replace(':', "/")
    } else {
        text.into()
    };
    let mut place = PathBuf::new();
    for part in Path::new(&text).components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(EngineError::invalid(format!(
                    "linux.cgroupsPath: {text:?} climbs"
                )));
            }
        }
    }
    if place.as_os_str().is_empty() {
        return Err(EngineError::invalid(
            "linux.cgroupsPath must not be the root",
        ));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_folders() {
        let find = |text: &str| {
            place(Some(Path::new(text)), "c1")
                .ok()
                .map(|path| path.display().to_string())
        };
        assert_eq!(find("").as_deref(), Some("c1"));
        assert_eq!(find("/pods/a/b").as_deref(), Some("pods/a/b"));
        assert_eq!(find("pods//a/").as_deref(), Some("pods/a"));
        assert_eq!(
            find("system.slice:docker:ab").as_deref(),
            Some("system.slice/docker/ab")
        );
        assert_eq!(find("a:b").as_deref(), Some("a:b"));
        assert_eq!(find("::x").as_deref(), Some("x"));
        for bad in ["/", "..", "/a/../..", "..:a:b", "::"] {
            assert_eq!(find(bad), None, "{bad}");
        }
        assert_eq!(place(None, "c1").ok(), Some(PathBuf::from("c1")));
    }
}

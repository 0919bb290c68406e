//! From the specification that the caller gave to the one that the guest's agent gets: paths of
//! the host become paths of the shared directory.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};

/// A bind mount whose source is on the host and must be shared with the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBind {
    /// Its place in the specification's list of mounts.
    pub index: usize,
    /// The path on the host.
    pub source: PathBuf,
    /// The path in the container.
    pub destination: PathBuf,
    /// The container must not write.
    pub read_only: bool,
}

/// The bind mounts of a specification, in order.
pub fn host_binds(spec: &Spec) -> Vec<HostBind> {
    let mounts = spec.mounts().iter().flatten().enumerate();
    mounts
        .filter(|(_, mount)| is_bind(mount))
        .filter_map(|(index, mount)| {
            Some(HostBind {
                index,
                source: mount.source().clone()?,
                destination: mount.destination().clone(),
                read_only: has_option(mount, "ro"),
            })
        })
        .collect()
}

/// The specification for the guest. `root` is the root file system in the guest, `shared` the
/// guest's path for each of [`host_binds`], by index.
pub fn guest_spec(spec: &Spec, root: &Path, shared: &[(usize, PathBuf)]) -> Spec {
    let mut guest = spec.clone();
    if let Some(host_root) = guest.root_mut() {
        host_root.set_path(root.to_owned());
    }
    for (index, source) in shared {
        if let Some(mount) = guest
            .mounts_mut()
            .as_mut()
            .and_then(|mounts| mounts.get_mut(*index))
        {
            mount.set_source(Some(source.clone()));
        }
    }
    if let Some(linux) = guest.linux_mut() {
        // A path of the host's cgroup tree means nothing in the guest; the agent makes its own.
        linux.set_cgroups_path(None);
    }
    guest
}

fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind")
        || has_option(mount, "bind")
        || has_option(mount, "rbind")
}

fn has_option(mount: &Mount, name: &str) -> bool {
    mount
        .options()
        .iter()
        .flatten()
        .any(|option| option == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommandLine, container_spec};

    fn spec() -> Spec {
        let volumes = [
            "/srv:/a".parse().unwrap(),
            "/etc/hosts:/etc/hosts:ro".parse().unwrap(),
        ];
        container_spec(&CommandLine::default(), Path::new("/host/root"), &volumes)
    }

    #[test]
    fn only_binds_are_shared() {
        let binds = host_binds(&spec());
        let rows: Vec<_> = binds
            .iter()
            .map(|b| (b.source.to_str().unwrap(), b.read_only))
            .collect();
        assert_eq!(rows, [("/srv", false), ("/etc/hosts", true)]);
    }

    #[test]
    fn no_path_of_the_host_reaches_the_guest() {
        let spec = spec();
        let shared: Vec<_> = host_binds(&spec)
            .iter()
            .map(|bind| (bind.index, PathBuf::from(format!("/shared/{}", bind.index))))
            .collect();
        let guest = guest_spec(&spec, Path::new("/shared/root"), &shared);
        assert_eq!(
            guest.root().as_ref().unwrap().path(),
            Path::new("/shared/root")
        );
        let text = serde_json::to_string(&guest).unwrap();
        assert!(
            !text.contains("/srv") && !text.contains("/host/root"),
            "{text}"
        );
    }
}

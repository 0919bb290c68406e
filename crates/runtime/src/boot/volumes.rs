//! Storages that the guest makes: the shared directory, shared memory, volumes of a pod.

use std::path::{Path, PathBuf};

use virtcontainers_agent::guest_path;
use virtcontainers_agent_proto::agent::Storage;
use virtcontainers_types::{RootFs, SandboxConfig};

/// The directory that the host shares.
pub(super) fn shared_directory() -> Storage {
    Storage {
        driver: "virtio-fs".to_owned(),
        source: guest_path::SHARED_TAG.to_owned(),
        fstype: "virtiofs".to_owned(),
        options: vec!["nodev".to_owned()],
        mount_point: format!("{}/", guest_path::SHARED),
        ..Storage::default()
    }
}

/// Shared memory for all containers of the sandbox, at most so many bytes.
pub(super) fn shared_memory(bytes: u64) -> Storage {
    let options = ["noexec", "nosuid", "nodev", "mode=1777"].map(str::to_owned);
    Storage {
        driver: "ephemeral".to_owned(),
        source: "shm".to_owned(),
        fstype: "tmpfs".to_owned(),
        options: options
            .into_iter()
            .chain([format!("size={bytes}")])
            .collect(),
        mount_point: guest_path::SANDBOX_SHM.to_owned(),
        ..Storage::default()
    }
}

/// A volume in the guest's memory. It ends with the sandbox, not with the container that was the
/// first to name it. Returns where it is.
pub(super) fn ephemeral(name: &Path, storages: &mut Vec<Storage>) -> PathBuf {
    let place = Path::new(guest_path::SANDBOX_EPHEMERAL).join(name);
    storages.push(Storage {
        driver: "ephemeral".to_owned(),
        source: "tmpfs".to_owned(),
        fstype: "tmpfs".to_owned(),
        mount_point: place.display().to_string(),
        shared: true,
        ..Storage::default()
    });
    place
}

/// A directory in the root file system of the pod's first container, with which it goes. Returns
/// where it is.
pub(super) fn local(sandbox: &SandboxConfig, name: &Path, storages: &mut Vec<Storage>) -> PathBuf {
    let shared = Path::new(guest_path::SHARED);
    let root = match sandbox.containers.first().map(|first| &first.rootfs) {
        Some(RootFs::Guest { guest }) => guest.clone(),
        _ => shared.join(&sandbox.id).join("rootfs"),
    };
    let place = root.join("local").join(name);
    storages.push(Storage {
        driver: "local".to_owned(),
        source: "local".to_owned(),
        fstype: "local".to_owned(),
        options: vec!["mode=0777".to_owned()],
        mount_point: place.display().to_string(),
        shared: true,
        ..Storage::default()
    });
    place
}

#[cfg(test)]
mod tests {
    use virtcontainers_testkit::sample;
    use virtcontainers_types::SandboxId;

    use super::*;

    #[test]
    fn volumes_of_a_pod_are_where_all_its_containers_find_them() {
        let mut storages = Vec::new();
        let place = ephemeral(Path::new("cache"), &mut storages);
        assert_eq!(
            place,
            Path::new("/run/kata-containers/sandbox/ephemeral/cache")
        );
        let sandbox = sample::sandbox(SandboxId::new("pod").unwrap(), Vec::new());
        let place = local(&sandbox, Path::new("data"), &mut storages);
        assert!(place.ends_with("local/data"), "{}", place.display());
        let points: Vec<_> = storages
            .iter()
            .map(|one| (one.driver.as_str(), one.shared))
            .collect();
        assert_eq!(points, [("ephemeral", true), ("local", true)]);
    }

    #[test]
    fn shared_memory_has_its_size() {
        let options = shared_memory(4096).options;
        assert_eq!(options.last().map(String::as_str), Some("size=4096"));
    }
}

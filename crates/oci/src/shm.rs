//! The shared memory of a sandbox, as its first container asks for it.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};

use crate::guest::SHM;

/// The size when nothing is said, as container managers have it: 64 MiB.
const USUAL: u64 = 64 << 20;

/// How large the shared memory is that all containers of a sandbox have at `/dev/shm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedMemory {
    /// So many bytes.
    Bytes(u64),
    /// A part of the machine's memory.
    Percent(u8),
    /// As large as the file system at this path of the host.
    SameAs(PathBuf),
}

/// What `spec`, that of a sandbox's first container, says of `/dev/shm`; nothing, and then there is
/// no shared memory, when it is not mounted.
pub fn shared_memory(spec: &Spec) -> Option<SharedMemory> {
    // The last of several lies on top.
    let mut mounts = spec.mounts().iter().flatten().rev();
    let mount = mounts.find(|mount| mount.destination() == Path::new(SHM))?;
    let binds = mount.typ().as_deref() == Some("bind")
        || options(mount).any(|option| matches!(option, "bind" | "rbind"));
    match mount.source() {
        Some(source) if binds => Some(SharedMemory::SameAs(source.clone())),
        _ => Some(
            options(mount)
                .filter_map(size)
                .last()
                .unwrap_or(SharedMemory::Bytes(USUAL)),
        ),
    }
}

fn options(mount: &Mount) -> impl Iterator<Item = &str> {
    mount.options().iter().flatten().map(String::as_str)
}

/// `size=` of tmpfs(5): bytes, with k, m or g, or a percentage. Nothing when it is not understood,
/// or says that there is no limit.
fn size(option: &str) -> Option<SharedMemory> {
    let text = option.strip_prefix("size=")?.to_ascii_lowercase();
    if let Some(percent) = text.strip_suffix('%') {
        let percent = percent
            .parse()
            .ok()
            .filter(|percent| (1..=100).contains(percent))?;
        return Some(SharedMemory::Percent(percent));
    }
    let shift = match text.chars().last()? {
        'k' => 10,
        'm' => 20,
        'g' => 30,
        _ => 0,
    };
    let digits = text.trim_end_matches(['k', 'm', 'g']);
    let bytes = digits.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    Some(SharedMemory::Bytes(bytes)).filter(|_| bytes > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wish(mounts: serde_json::Value) -> Option<SharedMemory> {
        let document = json!({"ociVersion": "1.2.0", "mounts": mounts});
        shared_memory(&serde_json::from_value(document).unwrap())
    }

    #[test]
    fn without_a_mount_there_is_none() {
        assert_eq!(wish(json!([])), None);
        assert_eq!(
            wish(json!([{"destination": "/dev", "type": "tmpfs"}])),
            None
        );
    }

    #[test]
    fn a_bind_is_as_large_as_its_source() {
        let podman = json!([{
            "destination": "/dev/shm", "type": "bind", "source": "/var/lib/c/shm",
            "options": ["bind", "rprivate", "nosuid"],
        }]);
        assert_eq!(
            wish(podman),
            Some(SharedMemory::SameAs("/var/lib/c/shm".into()))
        );
    }

    #[test]
    fn sizes_of_a_file_system_of_its_own() {
        let rows = [
            ("size=65536k", SharedMemory::Bytes(64 << 20)),
            ("size=10m", SharedMemory::Bytes(10 << 20)),
            ("size=1G", SharedMemory::Bytes(1 << 30)),
            ("size=4096", SharedMemory::Bytes(4096)),
            ("size=25%", SharedMemory::Percent(25)),
            ("size=0", SharedMemory::Bytes(USUAL)),
            ("size=lots", SharedMemory::Bytes(USUAL)),
            ("size=999999999999g", SharedMemory::Bytes(USUAL)),
            ("mode=1777", SharedMemory::Bytes(USUAL)),
        ];
        for (option, expected) in rows {
            let mounts = json!([{
                "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", option],
            }]);
            assert_eq!(wish(mounts), Some(expected), "{option}");
        }
    }
}

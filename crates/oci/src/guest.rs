//! From the specification that the caller gave to the one that the guest's agent gets: paths of
//! the host become paths of the shared directory.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};

/// Where shared memory is expected (POSIX shm_open(3)).
pub(crate) const SHM: &str = "/dev/shm";

/// A bind mount whose source is looked for on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBind {
    /// Its place in the specification's list of mounts.
    pub index: usize,
    /// The path on the host.
    pub source: PathBuf,
    /// The path in the container.
    pub destination: PathBuf,
    /// The container must not write, also not to what is mounted below the source.
    pub read_only: bool,
    /// What is mounted below the source is bound too.
    pub recursive: bool,
    /// What is mounted below the source later appears too.
    pub follows: bool,
}

/// The bind mounts of a specification that may be the host's, in order. Those of `/proc`, `/sys`
/// and `/dev` mean the guest's own, and `/dev/shm` is the sandbox's shared memory.
pub fn host_binds(spec: &Spec) -> Vec<HostBind> {
    let mounts = spec.mounts().iter().flatten().enumerate();
    mounts
        .filter(|(_, mount)| is_bind(mount) && mount.destination() != Path::new(SHM))
        .filter_map(|(index, mount)| {
            let source = mount.source().clone()?;
            (!is_kernels(&source)).then(|| HostBind {
                index,
                source,
                destination: mount.destination().clone(),
                read_only: last_of(mount, &[("ro", true), ("rro", true), ("rw", false)]),
                recursive: has_option(mount, "rbind"),
                follows: last_of(mount, &PROPAGATIONS),
            })
        })
        .collect()
}

/// Whether mounts of the host arrive, by the word that says so.
const PROPAGATIONS: [(&str, bool); 8] = [
    ("shared", true),
    ("rshared", true),
    ("slave", true),
    ("rslave", true),
    ("private", false),
    ("rprivate", false),
    ("unbindable", false),
    ("runbindable", false),
];

/// The specification for the guest. `root` is the root file system in the guest, `sources` the
/// guest's path for mounts by index, such as those of [`host_binds`] that are shared.
pub fn guest_spec(spec: &Spec, root: &Path, sources: &[(usize, PathBuf)]) -> Spec {
    let mut guest = spec.clone();
    if let Some(host_root) = guest.root_mut() {
        host_root.set_path(root.to_owned());
    }
    for (index, source) in sources {
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

/// File systems that show a kernel and its devices: the guest has its own.
fn is_kernels(source: &Path) -> bool {
    source.starts_with("/proc") || source.starts_with("/sys") || source == Path::new("/dev")
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

/// What the last of the known words says; `false` when there is none.
fn last_of(mount: &Mount, words: &[(&str, bool)]) -> bool {
    let options = mount.options().iter().flatten().rev();
    let mut said = options.filter_map(|option| words.iter().find(|(word, _)| option == word));
    said.next().is_some_and(|(_, value)| *value)
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

    fn bind(source: &str, destination: &str, options: &[&str]) -> Vec<HostBind> {
        let mount = serde_json::json!({
            "destination": destination, "source": source, "options": options,
        });
        let document = serde_json::json!({"ociVersion": "1.2.0", "mounts": [mount]});
        host_binds(&serde_json::from_value(document).unwrap())
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
    fn the_guest_has_its_own_kernel_and_shared_memory() {
        for (source, destination, of_host) in [
            ("/proc", "/proc", false),
            ("/sys/fs/cgroup", "/sys/fs/cgroup", false),
            ("/dev", "/dev", false),
            ("/run/shm", "/dev/shm", false),
            ("/dev/shm", "/shm", true),
            ("/dev/fuse", "/dev/fuse", true),
            ("/process", "/p", true),
        ] {
            let binds = bind(source, destination, &["rbind"]);
            assert_eq!(binds.len(), usize::from(of_host), "{source}");
        }
    }

    #[test]
    fn the_last_word_of_the_options_counts() {
        let rows: [(&[&str], bool, bool, bool); 7] = [
            (&["bind"], false, false, false),
            (&["rbind", "ro"], true, true, false),
            (&["rbind", "rro", "rprivate"], true, true, false),
            (&["bind", "ro", "rw"], false, false, false),
            (&["rbind", "rslave"], false, true, true),
            (&["bind", "shared"], false, false, true),
            (&["rbind", "rslave", "rprivate"], false, true, false),
        ];
        for (options, read_only, recursive, follows) in rows {
            let bind = bind("/srv", "/a", options).remove(0);
            let got = (bind.read_only, bind.recursive, bind.follows);
            assert_eq!(got, (read_only, recursive, follows), "{options:?}");
        }
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

//! What this program works with: its configuration, the hypervisor, the guest and the host. For
//! reports of faults, and for whoever wants to know what a sandbox would get.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use virtcontainers_types::{AgentStart, GuestRoot};

use crate::config::{Config, GuestAssets};
use crate::{check, registry};

const BLOCK: usize = 1 << 16;

/// All of it. The names of its JSON form are stable; a fact that cannot be told is absent, and there
/// is a note that says why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Environment {
    /// The library's release.
    pub version: &'static str,
    /// The version of the OCI runtime specification.
    pub spec: &'static str,
    /// The configuration.
    pub config: ConfigFacts,
    /// What runs the machines.
    pub hypervisor: HypervisorFacts,
    /// What they boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestAssetFacts>,
    /// This host.
    pub host: HostFacts,
    /// What could not be told, and why.
    pub notes: Vec<String>,
}

/// The configuration, and where it is from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigFacts {
    /// The files that were read, in their order; later ones win.
    pub files: Vec<PathBuf>,
    /// What they say together, with the defaults.
    pub effective: Config,
}

/// The hypervisor and its helpers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct HypervisorFacts {
    /// The backend's name.
    pub name: String,
    /// Its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What the program says of its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What runs the guest's instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// Why it is this accelerator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator_reason: Option<String>,
    /// What carries the guest's vsock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vsock: Option<String>,
    /// The helper program for it; absent when none is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vsock_helper: Option<PathBuf>,
    /// The virtio-fs daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtiofsd: Option<PathBuf>,
}

/// A file that a guest boots from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetFacts {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 digest.
    pub sha256: String,
}

/// The guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestAssetFacts {
    /// The kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<AssetFacts>,
    /// `initrd` or `image`.
    pub root_kind: &'static str,
    /// The initial RAM disk or image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<AssetFacts>,
    /// How the host learns that the agent is up.
    pub agent_start: AgentStart,
    /// The agent's name and release, where the manifest beside the guest tells them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// The host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostFacts {
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture, in the kernel's words.
    pub architecture: String,
    /// The distribution's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// The processor's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// How many processors may be used.
    pub cpus: usize,
    /// Memory in bytes, by the names of proc(5): all, and what is available.
    pub memory: BTreeMap<&'static str, u64>,
    /// How the control groups are mounted.
    pub cgroups: String,
}

impl Environment {
    /// Looks at everything, with the eyes of `config`, which was read from `files`. Starts the
    /// hypervisor's program to ask for its version; reads the guest's files as a whole. Blocks.
    pub fn look(config: &Config, files: Vec<PathBuf>) -> Self {
        let mut notes = Vec::new();
        let hypervisor = registry::facts(config, &mut notes);
        let guest = match GuestAssets::find(config) {
            Ok(assets) => Some(guest(&assets, &mut notes)),
            Err(error) => {
                notes.push(error.to_string());
                None
            }
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            spec: virtcontainers_oci::State::OCI_VERSION,
            config: ConfigFacts {
                files,
                effective: config.clone(),
            },
            hypervisor,
            guest,
            host: host(),
            notes,
        }
    }
}

fn guest(assets: &GuestAssets, notes: &mut Vec<String>) -> GuestAssetFacts {
    let mut look = |path: &Path| match asset(path) {
        Ok(facts) => Some(facts),
        Err(error) => {
            notes.push(format!("cannot read {}: {error}", path.display()));
            None
        }
    };
    let (root_kind, root) = match &assets.root {
        GuestRoot::Initrd(path) => ("initrd", path),
        GuestRoot::Image(path) => ("image", path),
    };
    GuestAssetFacts {
        kernel: look(&assets.kernel),
        root_kind,
        root: look(root),
        agent_start: assets.agent_start,
        agent: agent(root),
    }
}

fn asset(path: &Path) -> io::Result<AssetFacts> {
    let mut file = fs::File::open(path)?;
    let (mut digest, mut size) = (Sha256::new(), 0);
    let mut block = vec![0; BLOCK];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        digest.update(&block[..read]);
        size += read as u64;
    }
    let digest = digest.finalize();
    Ok(AssetFacts {
        path: path.to_owned(),
        size,
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// What the manifest beside a guest says of its agent.
fn agent(root: &Path) -> Option<String> {
    let manifest = fs::read(root.with_file_name("manifest.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
    let (name, version) = (
        manifest["agent"].as_str()?,
        manifest["agent_version"].as_str()?,
    );
    Some(format!("{name} {version}"))
}

fn host() -> HostFacts {
    let names = rustix::system::uname();
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = text("/proc/meminfo");
    HostFacts {
        kernel: names.release().to_string_lossy().into_owned(),
        architecture: names.machine().to_string_lossy().into_owned(),
        distribution: value(&text("/etc/os-release"), "PRETTY_NAME", '=')
            .map(|name| name.trim_matches('"').to_owned()),
        cpu: value(&text("/proc/cpuinfo"), "model name", ':'),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory: ["MemTotal", "MemAvailable"]
            .into_iter()
            .filter_map(|name| Some((name, kibibytes(&value(&memory, name, ':')?)? * 1024)))
            .collect(),
        cgroups: check::cgroup_mode().unwrap_or("none").to_owned(),
    }
}

/// The value of the first line with this name.
fn value(text: &str, name: &str, separator: char) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_and_size_are_the_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        let facts = asset(file.path()).unwrap();
        assert_eq!(facts.size, 3);
        // FIPS 180-4, example of SHA-256 for "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(facts.sha256, expected);
    }

    #[test]
    fn a_host_has_a_kernel_processors_and_memory() {
        let host = host();
        assert!(!host.kernel.is_empty() && host.cpus > 0, "{host:?}");
        assert!(host.memory["MemTotal"] > 1 << 26, "{host:?}");
        assert!(host.memory["MemAvailable"] < host.memory["MemTotal"]);
    }

    #[test]
    fn values_by_their_whole_name() {
        let text = "model\t\t: 1\nmodel name\t: Some CPU : 3 GHz\n";
        assert_eq!(
            value(text, "model name", ':').as_deref(),
            Some("Some CPU : 3 GHz")
        );
        assert_eq!(
            value("MemTotal: 12 kB", "MemTotal", ':').as_deref(),
            Some("12 kB")
        );
        assert_eq!(kibibytes("12 kB"), Some(12));
        assert_eq!(value(text, "name", ':'), None);
    }
}

//! `configuration.toml`: where it is looked for, how drop-ins are merged, what it may say.
//!
//! A file is optional; every key has a default that works. Unknown keys are refused, and the
//! refusal names the nearest key that exists.

mod assets;
mod merge;
mod network;
mod rate;
mod schema;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table;
use virtcontainers_qemu::QemuConfig;
use virtcontainers_runtime::ErrorKind;
use virtcontainers_types::{AgentStart, Mebibytes, VcpuCount};

pub use assets::{GuestAssets, cache_directory};
pub use network::NetworkSection;
pub use rate::{ByteRate, RateSection};

use crate::Error;

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/virtcontainers/configuration.toml";
/// Where the state is when nobody says otherwise.
pub const DEFAULT_ROOT: &str = "/run/vc";

/// The whole configuration, complete.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `[runtime]`
    pub runtime: RuntimeSection,
    /// `[hypervisor.NAME]`
    pub hypervisor: HypervisorSection,
    /// `[agent.kata]`
    pub agent: AgentSection,
    /// `[network]`
    pub network: NetworkSection,
}

/// `[runtime]`: what holds for every sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeSection {
    /// The state root, absolute.
    pub root: PathBuf,
    /// The backend to use.
    pub hypervisor: String,
    /// Every deadline is multiplied by this.
    pub deadline_factor: f64,
    /// Annotations of containers that may change settings, by the last part of their names, with
    /// `*` and `?` as wild cards; none may when empty.
    pub enable_annotations: Vec<String>,
    /// Files that such annotations may name, absolute; `*` and `?` stand for names in one folder.
    pub annotation_paths: Vec<String>,
}

impl Default for RuntimeSection {
    fn default() -> Self {
        Self {
            root: DEFAULT_ROOT.into(),
            hypervisor: "qemu".into(),
            deadline_factor: 1.0,
            enable_annotations: Vec::new(),
            annotation_paths: Vec::new(),
        }
    }
}

/// `[hypervisor.*]`: one table per backend.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HypervisorSection {
    /// `[hypervisor.qemu]`
    pub qemu: QemuSection,
}

/// `[hypervisor.qemu]`: the machine, and the guest that it boots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QemuSection {
    /// The guest's kernel; the one that `cargo xtask guest` built when empty.
    pub kernel: PathBuf,
    /// The guest's initial RAM disk; as above.
    pub initrd: PathBuf,
    /// A disk image with the guest's root file system, instead of an initial RAM disk.
    pub image: PathBuf,
    /// Memory of a virtual machine, such as `"256M"`.
    #[serde(with = "as_text")]
    pub memory: Mebibytes,
    /// CPUs of a virtual machine.
    pub vcpus: VcpuCount,
    /// The virtio-fs daemon; looked for in the usual places when empty.
    pub virtiofsd: PathBuf,
    /// What the backend itself understands.
    #[serde(flatten)]
    pub machine: QemuConfig,
}

impl Default for QemuSection {
    fn default() -> Self {
        Self {
            kernel: PathBuf::new(),
            initrd: PathBuf::new(),
            image: PathBuf::new(),
            memory: Mebibytes::DEFAULT,
            vcpus: VcpuCount::ONE,
            virtiofsd: PathBuf::new(),
            machine: QemuConfig::default(),
        }
    }
}

/// `[agent.*]`: one table per agent protocol.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSection {
    /// `[agent.kata]`
    pub kata: KataSection,
}

/// `[agent.kata]`: the agent that speaks kata-agent's protocol, ours or the original.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KataSection {
    /// `"announces"`, `"polled"`, or empty: decided by the manifest beside the initrd.
    pub start: Option<AgentStart>,
    /// Sandboxes get a debug shell in the guest, outside of containers, for whoever may reach it.
    pub debug_console_enabled: bool,
}

impl Config {
    /// Reads the file at `path`, or at [`DEFAULT_PATH`] when there is one, and the drop-ins in the
    /// folder `config.d` beside it, in the order of their names.
    ///
    /// Errors: `NotFound` for a path that was named and is missing; `Invalid` for TOML that cannot
    /// be understood, an unknown key or a value of the wrong type, naming file and key.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let table = merge::read(path)?;
        Self::from_table(table)
    }

    /// The files that [`load`](Self::load) reads, in the order in which they are merged.
    ///
    /// Errors: `Denied`, `Internal` when the folder of drop-ins cannot be read.
    pub fn files(path: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
        merge::files(path)
    }

    fn from_table(table: Table) -> Result<Self, Error> {
        let config: Self = toml::Value::Table(table).try_into().map_err(|error| {
            Error::new(
                ErrorKind::Invalid,
                "the configuration has a value that does not fit",
            )
            .because(error)
        })?;
        if !config.runtime.root.is_absolute() {
            let root = config.runtime.root.display();
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("the state root {root} is not absolute: write the whole path"),
            ));
        }
        config.runtime.annotation_policy()?;
        config.network.check()?;
        Ok(config)
    }
}

mod as_text {
    //! Values that are written as text, such as `"256M"`; a bare number is understood too.

    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;

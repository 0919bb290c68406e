//! What annotations change about a sandbox, and whether they may.
//!
//! Annotations come with a container from somebody who may not be the host's administrator, so
//! nothing is allowed that the configuration does not name. Names and patterns match as a whole.
//! Every annotation under the prefix is known, or refused by name.

mod glob;
mod network;
mod policy;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use virtcontainers_types::{Mebibytes, VcpuCount};

use crate::{Error, ErrorKind};

pub use network::NetworkOverrides;
pub use policy::AnnotationPolicy;

/// What every annotation that changes a setting begins with.
const SETTINGS: &str = "io.katacontainers.config";
/// What annotations about the machine begin with.
const HYPERVISOR: &str = "io.katacontainers.config.hypervisor.";
/// What annotations about what is around the machine begin with.
const RUNTIME: &str = "io.katacontainers.config.runtime.";
/// Says how digests were made.
const HASH_TYPE: &str = "io.katacontainers.asset_hash_type";

/// A file that an annotation names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The file on the host, absolute.
    pub path: PathBuf,
    /// The SHA-512 digest of its content, lowercase hexadecimal, if one was given.
    pub sha512: Option<String>,
}

/// What the annotations of a container ask for beside the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Another kernel.
    pub kernel: Option<Asset>,
    /// Another disk image, which takes the place of a configured initial RAM disk too.
    pub image: Option<Asset>,
    /// Another initial RAM disk, which takes the place of a configured image too.
    pub initrd: Option<Asset>,
    /// Another firmware.
    pub firmware: Option<Asset>,
    /// Another program of the hypervisor.
    pub hypervisor: Option<Asset>,
    /// How many CPUs the machine has.
    pub vcpus: Option<VcpuCount>,
    /// How much memory the machine has.
    pub memory: Option<Mebibytes>,
    /// Words for the guest kernel's command line, after those of the configuration.
    pub kernel_params: Vec<String>,
    /// How the machine is connected.
    pub network: NetworkOverrides,
}

/// What an annotation under the prefix sets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Setting {
    Asset(AssetKind),
    Hash(AssetKind),
    Vcpus,
    Memory,
    KernelParams,
    Network(network::Setting),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum AssetKind {
    Kernel,
    Image,
    Initrd,
    Firmware,
    Hypervisor,
}

/// Every setting: how its annotation's name begins and ends. No two end alike.
const SETTINGS_BY_NAME: [(&str, &str, Setting); 18] = [
    (HYPERVISOR, "kernel", Setting::Asset(AssetKind::Kernel)),
    (HYPERVISOR, "image", Setting::Asset(AssetKind::Image)),
    (HYPERVISOR, "initrd", Setting::Asset(AssetKind::Initrd)),
    (HYPERVISOR, "firmware", Setting::Asset(AssetKind::Firmware)),
    (HYPERVISOR, "path", Setting::Asset(AssetKind::Hypervisor)),
    (HYPERVISOR, "kernel_hash", Setting::Hash(AssetKind::Kernel)),
    (HYPERVISOR, "image_hash", Setting::Hash(AssetKind::Image)),
    (HYPERVISOR, "initrd_hash", Setting::Hash(AssetKind::Initrd)),
    (
        HYPERVISOR,
        "firmware_hash",
        Setting::Hash(AssetKind::Firmware),
    ),
    (
        HYPERVISOR,
        "hypervisor_hash",
        Setting::Hash(AssetKind::Hypervisor),
    ),
    (HYPERVISOR, "default_vcpus", Setting::Vcpus),
    (HYPERVISOR, "default_memory", Setting::Memory),
    (HYPERVISOR, "kernel_params", Setting::KernelParams),
    (
        HYPERVISOR,
        "disable_vhost_net",
        Setting::Network(network::Setting::DisableVhost),
    ),
    (
        HYPERVISOR,
        "rx_rate_limiter_max_rate",
        Setting::Network(network::Setting::Inbound),
    ),
    (
        HYPERVISOR,
        "tx_rate_limiter_max_rate",
        Setting::Network(network::Setting::Outbound),
    ),
    (
        RUNTIME,
        "internetworking_model",
        Setting::Network(network::Setting::Model),
    ),
    (
        RUNTIME,
        "disable_new_netns",
        Setting::Network(network::Setting::DisableNewNetns),
    ),
];

/// The settings that a configuration can allow. A hash needs no leave: it only narrows what its
/// asset may be.
fn settable() -> impl Iterator<Item = &'static str> {
    let settings = SETTINGS_BY_NAME.into_iter();
    settings
        .filter(|(_, _, setting)| !matches!(setting, Setting::Hash(_)))
        .map(|(_, name, _)| name)
}

/// What `annotations` ask for. Those that are not about settings are left alone.
///
/// Errors: `Denied` for one that `policy` does not allow, naming the list and the line to add;
/// `Invalid` for an unknown one, a value that cannot be understood, an image together with an
/// initial RAM disk, a hash without its asset, and hashes of another kind than SHA-512.
pub fn overrides(
    annotations: &BTreeMap<String, String>,
    policy: &AnnotationPolicy,
) -> Result<Overrides, Error> {
    let mut wanted = Overrides::default();
    let mut hashes = Vec::new();
    for (key, value) in annotations
        .iter()
        .filter(|(key, _)| key.starts_with(SETTINGS))
    {
        let (name, setting) = find(key)?;
        if let Setting::Hash(kind) = setting {
            hashes.push((key, kind, digest(key, value)?));
            continue;
        }
        policy.allow(key, name)?;
        match setting {
            Setting::Asset(kind) => {
                policy.allow_path(key, value)?;
                *wanted.asset(kind) = Some(Asset {
                    path: value.into(),
                    sha512: None,
                });
            }
            Setting::Vcpus => wanted.vcpus = Some(parsed(key, value)?),
            Setting::Memory => wanted.memory = Some(parsed(key, value)?),
            Setting::KernelParams => {
                wanted.kernel_params = value.split_whitespace().map(str::to_owned).collect();
            }
            Setting::Network(setting) => wanted.network.set(setting, key, value)?,
            Setting::Hash(_) => {}
        }
    }
    check_hash_type(annotations)?;
    for (key, kind, digest) in hashes {
        let Some(asset) = wanted.asset(kind) else {
            let message = format!("annotation {key} has no asset to check: name the file too");
            return Err(invalid(message));
        };
        asset.sha512 = Some(digest);
    }
    if wanted.image.is_some() && wanted.initrd.is_some() {
        return Err(invalid(format!(
            "annotations {HYPERVISOR}image and {HYPERVISOR}initrd exclude each other: a guest boots \
             from one of them"
        )));
    }
    Ok(wanted)
}

impl Overrides {
    fn asset(&mut self, kind: AssetKind) -> &mut Option<Asset> {
        match kind {
            AssetKind::Kernel => &mut self.kernel,
            AssetKind::Image => &mut self.image,
            AssetKind::Initrd => &mut self.initrd,
            AssetKind::Firmware => &mut self.firmware,
            AssetKind::Hypervisor => &mut self.hypervisor,
        }
    }
}

fn find(key: &str) -> Result<(&'static str, Setting), Error> {
    let settings = || SETTINGS_BY_NAME.into_iter();
    let found = settings().find(|(begin, end, _)| key.strip_prefix(begin) == Some(end));
    found.map(|(_, name, setting)| (name, setting)).ok_or_else(|| {
        let after = |prefix| {
            let names = settings().filter(|(begin, _, _)| *begin == prefix);
            names.map(|(_, end, _)| end).collect::<Vec<_>>().join(", ")
        };
        invalid(format!(
            "annotation {key} is not known: after {HYPERVISOR} come {}; after {RUNTIME} come {}",
            after(HYPERVISOR),
            after(RUNTIME)
        ))
    })
}

fn parsed<T: FromStr<Err = virtcontainers_types::Error>>(
    key: &str,
    value: &str,
) -> Result<T, Error> {
    value
        .parse()
        .map_err(|error| invalid(format!("annotation {key} cannot be understood")).because(error))
}

fn digest(key: &str, value: &str) -> Result<String, Error> {
    let digits = value.bytes().all(|b| b.is_ascii_hexdigit());
    match digits && value.len() == 128 {
        true => Ok(value.to_ascii_lowercase()),
        false => Err(invalid(format!(
            "annotation {key} is no SHA-512 digest: write its 128 hexadecimal digits"
        ))),
    }
}

fn check_hash_type(annotations: &BTreeMap<String, String>) -> Result<(), Error> {
    match annotations.get(HASH_TYPE).map(String::as_str) {
        None | Some("sha512") => Ok(()),
        Some(other) => Err(invalid(format!(
            "annotation {HASH_TYPE} says {other:?}, and only \"sha512\" is known"
        ))),
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;

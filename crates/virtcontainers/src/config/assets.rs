//! Which guest boots: configured by hand, or the one that the build tool left in the cache.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use virtcontainers_runtime::ErrorKind;
use virtcontainers_types::{AgentStart, GuestRoot};

use super::Config;
use crate::Error;

/// The initial RAM disk of our guest that has a shell, beside the one that has none.
const WITH_SHELL: &str = "initrd-debug.img";

/// The files of a guest, and how its agent starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestAssets {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initial RAM disk or image.
    pub root: GuestRoot,
    /// How the host learns that the agent is up.
    pub agent_start: AgentStart,
}

impl GuestAssets {
    /// The guest that `config` names, or the one in `/usr/share/virtcontainers/guest`, or the one
    /// in the cache, in this order.
    ///
    /// Errors: `NotFound` when there is none, saying how to get one.
    pub fn find(config: &Config) -> Result<Self, Error> {
        let section = &config.hypervisor.qemu;
        let found = guest_directories()
            .into_iter()
            .find(|folder| folder.join("vmlinux").exists());
        let pick = |configured: &Path, name: &str| match (configured.as_os_str().is_empty(), &found)
        {
            (false, _) => Ok(configured.to_owned()),
            (true, Some(folder)) => Ok(folder.join(name)),
            (true, None) => Err(missing(name)),
        };
        let kernel = pick(&section.kernel, "vmlinux")?;
        let initrd = match config.agent.kata.debug_console_enabled {
            true => WITH_SHELL,
            false => "initrd.img",
        };
        let root = match section.image.as_os_str().is_empty() {
            true => GuestRoot::Initrd(pick(&section.initrd, initrd)?),
            false if section.initrd.as_os_str().is_empty() => {
                GuestRoot::Image(section.image.clone())
            }
            false => return Err(both()),
        };
        let agent_start = config
            .agent
            .kata
            .start
            .unwrap_or_else(|| announced_start(&root));
        Ok(Self {
            kernel,
            root,
            agent_start,
        })
    }
}

/// The folder for things that are built or downloaded once: `$XDG_CACHE_HOME/virtcontainers`, or
/// `~/.cache/virtcontainers`.
pub fn cache_directory() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("virtcontainers"))
}

fn guest_directories() -> Vec<PathBuf> {
    let installed = PathBuf::from("/usr/share/virtcontainers/guest");
    let cached = cache_directory().map(|cache| cache.join("guest/current"));
    std::iter::once(installed).chain(cached).collect()
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    announces: bool,
}

fn both() -> Error {
    Error::new(
        ErrorKind::Invalid,
        "an initrd and an image are given: a guest boots from one of them; leave the other empty",
    )
}

/// What the manifest beside the initrd says of its agent; a foreign one has none and is polled.
fn announced_start(root: &GuestRoot) -> AgentStart {
    let (GuestRoot::Initrd(path) | GuestRoot::Image(path)) = root;
    let manifest = std::fs::read(path.with_file_name("manifest.json")).ok();
    match manifest.and_then(|text| serde_json::from_slice::<Manifest>(&text).ok()) {
        Some(Manifest { announces: true }) => AgentStart::Announces,
        Some(Manifest { announces: false }) | None => AgentStart::Polled,
    }
}

fn missing(name: &str) -> Error {
    let places: Vec<_> = guest_directories()
        .iter()
        .map(|p| p.display().to_string())
        .collect();
    Error::new(
        ErrorKind::NotFound,
        format!(
            "no guest {name}: looked in {}; build one with `cargo xtask guest`, or set kernel and \
             initrd in [hypervisor.qemu] or by --kernel and --initrd",
            places.join(" and ")
        ),
    )
}

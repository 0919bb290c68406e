//! `manifest.json`: what went into a guest, for people and for the runtime, which reads from it
//! which agent it is going to meet.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::kernel::About;
use super::modules::Picked;
use crate::cache;

/// The manifest; its JSON names are read by others.
#[derive(Debug, Serialize)]
pub(super) struct Manifest {
    /// The layout that the builder wrote.
    pub(super) builder: String,
    /// Where the kernel comes from.
    pub(super) kernel: About,
    /// The modules' files and their digests.
    pub(super) modules: BTreeMap<String, String>,
    /// The agent.
    #[serde(flatten)]
    pub(super) agent: AgentEntry,
    /// The digest of the initrd.
    pub(super) initrd_sha256: String,
    /// The digest of the initrd that has a shell.
    pub(super) initrd_debug_sha256: String,
    /// Where the shell comes from: package and version.
    pub(super) shell: String,
}

/// What the manifest says of the agent.
#[derive(Debug, Serialize)]
pub(super) struct AgentEntry {
    agent: &'static str,
    agent_version: &'static str,
    agent_sha256: String,
    /// Whether the agent calls the host when it is ready, so that nobody has to poll.
    announces: bool,
}

impl AgentEntry {
    /// The entry of this workspace's own agent, whose version is the workspace's.
    pub(super) fn ours(sha256: String) -> Self {
        Self {
            agent: "vc-guest-agent",
            agent_version: env!("CARGO_PKG_VERSION"),
            agent_sha256: sha256,
            announces: true,
        }
    }
}

impl Manifest {
    /// Writes the manifest as JSON.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The digests of the modules that were picked.
pub(super) fn modules(picked: &Picked) -> Result<BTreeMap<String, String>> {
    let dir = tempfile::tempdir()?;
    let mut files = Vec::new();
    for (name, content) in &picked.files {
        let path = dir.path().join(name);
        fs::write(&path, content)?;
        files.push(path);
    }
    Ok(picked
        .files
        .keys()
        .cloned()
        .zip(cache::digests(&files)?)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_says_which_agent_answers() {
        let manifest = Manifest {
            builder: "b".into(),
            kernel: About {
                package: "linux".into(),
                version: "1".into(),
                release: "1-cloud".into(),
                sha256: "00".into(),
            },
            modules: BTreeMap::new(),
            agent: AgentEntry::ours("ab".into()),
            initrd_sha256: "cd".into(),
            initrd_debug_sha256: "ef".into(),
            shell: "busybox".into(),
        };
        let json = serde_json::to_value(&manifest).expect("serialises");
        assert_eq!(json["agent"], "vc-guest-agent");
        assert_eq!(json["announces"], true);
        assert_eq!(json["kernel"]["version"], "1");
    }
}

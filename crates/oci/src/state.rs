//! The state document of the runtime specification.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use virtcontainers_types::SandboxStatus;

/// What the `state` operation prints (OCI runtime-spec 1.2, `runtime.md#state`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The specification's version.
    pub oci_version: &'static str,
    /// The container's id.
    pub id: String,
    /// `creating`, `created`, `running`, `paused` or `stopped`.
    pub status: &'static str,
    /// The process that stands for the container on the host; absent when it is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The directory that the container was made from.
    pub bundle: PathBuf,
    /// The container's annotations; absent when there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl State {
    /// The version of the specification that the document follows.
    pub const OCI_VERSION: &'static str = "1.2.0";

    /// The state document of a sandbox made from `bundle`.
    pub fn new(status: &SandboxStatus, bundle: PathBuf) -> Self {
        let live = status.state.is_live();
        Self {
            oci_version: Self::OCI_VERSION,
            id: status.id.to_string(),
            status: status.state.oci_status(),
            pid: status
                .supervisor
                .filter(|_| live)
                .map(|supervisor| supervisor.pid),
            bundle,
            annotations: status.annotations.clone(),
        }
    }
}

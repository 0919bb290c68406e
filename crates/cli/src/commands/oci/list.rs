//! `vc list`: all containers, those that cannot be read included; and the form in which `vc state`
//! prints one.

use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use virtcontainers::types::{ContainerStatus, SandboxStatus};
use virtcontainers::{Listed, oci};

use crate::args::oci::List;
use crate::args::{Format, Global};
use crate::commands::runtime;
use crate::{clock, output};

/// A container as programs are told of it: the state document of the specification, and what runc adds
/// to it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    state: oci::State,
    /// In RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// Always root: nobody else makes virtual machines.
    owner: &'static str,
    /// Why nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Row {
    /// What there is to say of a container.
    pub(super) fn new(
        state: oci::State,
        sandbox: &SandboxStatus,
        container: &ContainerStatus,
    ) -> Self {
        let created = container.created_at.map(Duration::from_millis);
        Self {
            state,
            created: created.map(|since| clock::rfc3339(UNIX_EPOCH + since)),
            owner: OWNER,
            error: sandbox.failure.clone(),
        }
    }

    fn unreadable(id: String, error: String) -> Self {
        Self {
            state: oci::State {
                oci_version: oci::State::OCI_VERSION,
                id,
                status: "unknown",
                pid: None,
                bundle: std::path::PathBuf::new(),
                annotations: std::collections::BTreeMap::new(),
            },
            created: None,
            owner: OWNER,
            error: Some(error),
        }
    }

    fn cells(self) -> [String; 6] {
        [
            self.state.id,
            self.state.pid.unwrap_or(0).to_string(),
            self.state.status.to_owned(),
            self.state.bundle.display().to_string(),
            self.created.unwrap_or_default(),
            self.owner.to_owned(),
        ]
    }
}

const OWNER: &str = "root";

pub(crate) async fn run(global: &Global, list: List) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    let listed = runtime.list_sandboxes().await?;
    let rows: Vec<Row> = listed.into_iter().flat_map(rows).collect();
    if list.quiet {
        let ids: String = rows
            .iter()
            .map(|row| format!("{}\n", row.state.id))
            .collect();
        output::print(&ids)?;
    } else if list.format == Format::Json {
        output::json(&rows)?;
    } else {
        let rows: Vec<[String; 6]> = rows.into_iter().map(Row::cells).collect();
        output::table(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(Listed { id, status }: Listed) -> Vec<Row> {
    match status {
        Ok(sandbox) => {
            let containers = sandbox.containers.iter();
            let row = |container: &ContainerStatus| {
                let state = oci::State::of_container(&sandbox, &container.id)?;
                Some(Row::new(state, &sandbox, container))
            };
            containers.filter_map(row).collect()
        }
        Err(error) => {
            let id = id.map_or_else(|| "?".to_owned(), |id| id.to_string());
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(%error, sandbox = %id, "cannot be read");
            vec![Row::unreadable(id, error)]
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sandbox(state: &str, containers: serde_json::Value) -> SandboxStatus {
        serde_json::from_value(json!({
            "id": "pod", "state": state, "hypervisor": "example", "generation": 1,
            "supervisor": { "pid": 41, "start_time": 1 }, "containers": containers,
        }))
        .unwrap()
    }

    #[test]
    fn each_container_of_a_sandbox_is_a_row() {
        let sandbox = sandbox(
            "running",
            json!([
                { "id": "pod", "state": "running", "created_at": 0, "bundle": "/srv/pod",
                  "annotations": { "a": "b" } },
                { "id": "web", "state": "paused", "stand_in": { "pid": 42, "start_time": 1 } },
                { "id": "job", "state": "stopped", "stand_in": { "pid": 43, "start_time": 1 } },
            ]),
        );
        let listed = Listed {
            id: Some(sandbox.id.clone()),
            status: Ok(sandbox),
        };
        let rows = serde_json::to_value(rows(listed)).unwrap();
        let expected = json!([
            { "ociVersion": "1.2.0", "id": "pod", "status": "running", "pid": 41,
              "bundle": "/srv/pod", "annotations": { "a": "b" },
              "created": "1970-01-01T00:00:00.000Z", "owner": "root" },
            { "ociVersion": "1.2.0", "id": "web", "status": "paused", "pid": 42, "bundle": "",
              "owner": "root" },
            { "ociVersion": "1.2.0", "id": "job", "status": "stopped", "bundle": "",
              "owner": "root" },
        ]);
        assert_eq!(rows, expected);
    }

    #[test]
    fn what_cannot_be_read_is_a_row_too() {
        let row = Row::unreadable("web".to_owned(), "torn".to_owned());
        assert_eq!(row.cells()[..3], ["web", "0", "unknown"]);
    }
}

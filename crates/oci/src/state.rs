//! The state document of the runtime specification.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use virtcontainers_types::{ContainerId, ContainerState, SandboxState, SandboxStatus};

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

    /// The state document of a container of a sandbox; nothing when it is not in it.
    pub fn of_container(sandbox: &SandboxStatus, id: &ContainerId) -> Option<Self> {
        let container = sandbox.containers.iter().find(|one| one.id == *id)?;
        Some(Self {
            oci_version: Self::OCI_VERSION,
            id: id.to_string(),
            status: status(sandbox.state, container.state),
            pid: sandbox.pid_of(id),
            bundle: container.bundle.clone().unwrap_or_default(),
            annotations: container.annotations.clone(),
        })
    }
}

/// What a container is doing as far as its sandbox lets it.
fn status(sandbox: SandboxState, container: ContainerState) -> &'static str {
    use SandboxState::{Paused, Running, Stopping};
    match (sandbox, container) {
        (_, ContainerState::Stopped) => ContainerState::Stopped.as_str(),
        (Running | Paused | Stopping, container) => container.as_str(),
        (sandbox, _) => sandbox.oci_status(),
    }
}

#[cfg(test)]
mod tests {
    use virtcontainers_types::{ContainerStatus, ProcessIdentity, SandboxId};

    use super::*;

    fn container(id: &str, state: ContainerState) -> ContainerStatus {
        ContainerStatus {
            id: ContainerId::new(id).unwrap(),
            state,
            exit_status: None,
            stand_in: Some(ProcessIdentity {
                pid: 7,
                start_time: 1,
            }),
            created_at: None,
            bundle: Some("/bundle".into()),
            annotations: BTreeMap::new(),
        }
    }

    fn state(sandbox: SandboxState, container_state: ContainerState) -> State {
        let status = SandboxStatus {
            id: SandboxId::new("pod").unwrap(),
            state: sandbox,
            hypervisor: "fake".to_owned(),
            supervisor: None,
            failure: None,
            generation: 1,
            annotations: BTreeMap::from([("of".to_owned(), "the sandbox".to_owned())]),
            containers: vec![
                container("pod", ContainerState::Running),
                container("c1", container_state),
            ],
        };
        State::of_container(&status, &ContainerId::new("c1").unwrap()).unwrap()
    }

    #[test]
    fn every_container_has_a_state_of_its_own() {
        let rows = [
            (
                SandboxState::Creating,
                ContainerState::Created,
                "creating",
                false,
            ),
            (
                SandboxState::Ready,
                ContainerState::Created,
                "created",
                true,
            ),
            (
                SandboxState::Running,
                ContainerState::Created,
                "created",
                true,
            ),
            (
                SandboxState::Running,
                ContainerState::Running,
                "running",
                true,
            ),
            (
                SandboxState::Running,
                ContainerState::Stopped,
                "stopped",
                false,
            ),
            (SandboxState::Paused, ContainerState::Paused, "paused", true),
            (
                SandboxState::Stopping,
                ContainerState::Running,
                "running",
                true,
            ),
            (
                SandboxState::Stopped,
                ContainerState::Stopped,
                "stopped",
                false,
            ),
            (
                SandboxState::Failed,
                ContainerState::Running,
                "stopped",
                false,
            ),
        ];
        for (sandbox, container, status, pid) in rows {
            let state = state(sandbox, container);
            assert_eq!(state.status, status, "{sandbox:?} {container:?}");
            if sandbox != SandboxState::Creating {
                assert_eq!(state.pid.is_some(), pid, "{sandbox:?} {container:?}");
            }
            assert_eq!(state.bundle, PathBuf::from("/bundle"));
            assert!(
                state.annotations.is_empty(),
                "those of the sandbox are not its"
            );
        }
    }

    #[test]
    fn another_container_has_none() {
        let state = |id: &str| {
            let status = SandboxStatus {
                id: SandboxId::new("pod").unwrap(),
                state: SandboxState::Ready,
                hypervisor: "fake".to_owned(),
                supervisor: None,
                failure: None,
                generation: 1,
                annotations: BTreeMap::new(),
                containers: vec![container("pod", ContainerState::Created)],
            };
            State::of_container(&status, &ContainerId::new(id).unwrap())
        };
        assert!(state("other").is_none());
        assert_eq!(state("pod").unwrap().status, "created");
    }
}

//! Requests for the checks, and what to make of the replies.

use virtcontainers_agent::{AgentPort, Error, ErrorKind, ProcessRef, Result as Reply};
use virtcontainers_agent_proto::{agent, oci};
use virtcontainers_types::{ContainerId, ExecId};

/// The container of most checks.
pub(super) const ONE: &str = "c1";

pub(super) fn id(container: &str) -> Result<ContainerId, String> {
    ContainerId::new(container).map_err(|error| error.to_string())
}

pub(super) fn init() -> Result<ProcessRef, String> {
    Ok(ProcessRef::init(id(ONE)?))
}

pub(super) fn exec(name: &str) -> Result<ProcessRef, String> {
    let exec = ExecId::new(name).map_err(|error| error.to_string())?;
    Ok(ProcessRef::exec_of(id(ONE)?, exec))
}

pub(super) fn process(program: &str, terminal: bool) -> oci::Process {
    oci::Process {
        Terminal: terminal,
        Args: vec![program.to_owned()],
        Cwd: "/".to_owned(),
        Capabilities: Some(oci::LinuxCapabilities::new()).into(),
        ..Default::default()
    }
}

pub(super) fn container(program: &str, terminal: bool) -> agent::CreateContainerRequest {
    let namespaces = ["mount", "ipc", "uts"].map(|kind| oci::LinuxNamespace {
        Type: kind.to_owned(),
        ..Default::default()
    });
    let linux = oci::Linux {
        Namespaces: namespaces.to_vec(),
        Resources: Some(oci::LinuxResources::new()).into(),
        ..Default::default()
    };
    let root = oci::Root {
        Path: "/run/kata-containers/shared/containers/c1/rootfs".to_owned(),
        ..Default::default()
    };
    let spec = oci::Spec {
        Process: Some(process(program, terminal)).into(),
        Root: Some(root).into(),
        Linux: Some(linux).into(),
        ..Default::default()
    };
    agent::CreateContainerRequest {
        container_id: ONE.to_owned(),
        OCI: Some(spec).into(),
        ..Default::default()
    }
}

pub(super) async fn sandbox(port: &dyn AgentPort) -> Result<(), String> {
    let request = agent::CreateSandboxRequest {
        sandbox_id: "s1".to_owned(),
        hostname: "s1".to_owned(),
        ..Default::default()
    };
    done(
        "the creation of the sandbox",
        port.create_sandbox(request).await,
    )
}

/// A sandbox with a container that is not started.
pub(super) async fn created(port: &dyn AgentPort, program: &str) -> Result<(), String> {
    sandbox(port).await?;
    let request = container(program, false);
    done("the creation", port.create_container(request).await)
}

/// A sandbox with a container that runs.
pub(super) async fn running(
    port: &dyn AgentPort,
    program: &str,
    terminal: bool,
) -> Result<(), String> {
    sandbox(port).await?;
    let request = container(program, terminal);
    done("the creation", port.create_container(request).await)?;
    done("the start", port.start_container(&id(ONE)?).await)
}

/// Fails unless the call succeeded.
pub(super) fn done<T>(what: &str, reply: Reply<T>) -> Result<T, String> {
    reply.map_err(|error| format!("{what} failed: {}", text(&error)))
}

/// Fails unless the call was refused as this kind.
pub(super) fn refused<T>(what: &str, reply: Reply<T>, wanted: ErrorKind) -> Result<(), String> {
    match reply {
        Ok(_) => Err(format!("{what} succeeded")),
        Err(error) if error.kind() == wanted => Ok(()),
        Err(error) => {
            let kind = error.kind();
            Err(format!(
                "{what} is {kind:?}, not {wanted:?}: {}",
                text(&error)
            ))
        }
    }
}

fn text(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

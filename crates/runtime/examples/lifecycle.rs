//! The whole life of a sandbox, with a machine that is a value and an agent in the same process, so
//! that it needs no hypervisor: `cargo run -p virtcontainers-runtime --example lifecycle`, as root.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use virtcontainers_oci::{CommandLine, container_spec};
use virtcontainers_runtime::{CreateOptions, Runtime, RuntimeOptions};
use virtcontainers_testkit::agent::DirectAgent;
use virtcontainers_testkit::hypervisor::FakeBackend;
use virtcontainers_types::{
    AgentConfig, AgentStart, BootConfig, Capabilities, ContainerConfig, ContainerId, GuestRoot,
    Lifetime, Mebibytes, NetworkConfig, RootFs, SandboxConfig, SandboxId, VcpuCount,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let root = tempfile::tempdir()?;
    let options = RuntimeOptions {
        agents: Arc::new(DirectAgent::default()),
        ..RuntimeOptions::new(root.path().join("state"))
    };
    let backend = FakeBackend::with_own_agents().with_capabilities(Capabilities {
        pause: true,
        adopt: true,
        ..Capabilities::default()
    });
    let runtime = Runtime::new(options, Arc::new(backend))?;
    let id = SandboxId::new("example")?;

    runtime
        .create_sandbox(config(&id), CreateOptions::default())
        .await?;
    tell(&runtime, &id, "created").await?;
    runtime.start_sandbox(&id).await?;
    tell(&runtime, &id, "started").await?;
    // A refusal names the state, the wanted states and what to do.
    if let Err(error) = runtime.resume_sandbox(&id).await {
        println!("refused: {error}");
    }
    runtime.pause_sandbox(&id).await?;
    tell(&runtime, &id, "paused").await?;
    runtime.resume_sandbox(&id).await?;
    runtime.stop_sandbox(&id, false).await?;
    tell(&runtime, &id, "stopped").await?;
    runtime.delete_sandbox(&id, false).await?;
    println!("sandboxes left: {}", runtime.list_sandboxes().await?.len());
    Ok(())
}

async fn tell(runtime: &Runtime, id: &SandboxId, what: &str) -> Result<(), Box<dyn Error>> {
    let status = runtime.status_sandbox(id).await?;
    println!("{what}: {}", serde_json::to_string(&status)?);
    Ok(())
}

fn config(id: &SandboxId) -> SandboxConfig {
    let command = CommandLine {
        args: vec!["sleep".to_owned(), "1000".to_owned()],
        ..CommandLine::default()
    };
    let container = ContainerConfig {
        id: ContainerId::from(id.clone()),
        rootfs: RootFs::Guest { guest: "/".into() },
        bundle: None,
        cgroup: None,
        spec: container_spec(&command, Path::new("/"), &[]),
    };
    SandboxConfig {
        id: id.clone(),
        hostname: None,
        memory: Mebibytes::DEFAULT,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: "/kernel".into(),
            root: GuestRoot::Initrd("/initrd".into()),
            kernel_params: Vec::new(),
            hypervisor: Default::default(),
        },
        agent: AgentConfig {
            start: AgentStart::Polled,
        },
        network: NetworkConfig {
            disabled: true,
            ..NetworkConfig::default()
        },
        lifetime: Lifetime::Explicit,
        containers: vec![container],
        annotations: BTreeMap::new(),
    }
}

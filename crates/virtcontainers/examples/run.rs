//! Runs a command in a container in a virtual machine: `run ROOTFS COMMAND…`.

use std::error::Error;
use std::process::ExitCode;

use virtcontainers::types::{Attachment, ContainerConfig, ContainerId};
use virtcontainers::{Config, ContainerIo, CreateOptions, oci, runtime, sandbox_config};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // Each sandbox is watched by a process made by running this program again.
    if let Some(code) = virtcontainers::run_if_supervisor(|| {}) {
        return Ok(code);
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let rootfs = args.next().ok_or("usage: run ROOTFS COMMAND…")?;
    let command = oci::CommandLine {
        args: args.collect(),
        ..Default::default()
    };
    let config = Config::load(None)?;
    let container = ContainerConfig {
        id: ContainerId::new(format!("example-{}", std::process::id()))?,
        spec: oci::container_spec(&command, rootfs.as_ref(), &[]),
        rootfs: std::fs::canonicalize(rootfs)?.into(),
        bundle: None,
        cgroup: None,
    };
    let options = CreateOptions {
        io: ContainerIo::inherit()?,
        attachment: Attachment::Attached,
        ..Default::default()
    };
    let sandbox = runtime(&config)?
        .run_sandbox(sandbox_config(&config, container)?, options)
        .await?;
    let status = sandbox.wait().await?;
    sandbox.delete(false).await?;
    Ok(ExitCode::from(status.code()))
}

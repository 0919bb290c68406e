//! `vc run`: a container in a virtual machine of its own.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use virtcontainers::oci::{Bundle, CommandLine, container_spec};
use virtcontainers::types::{Attachment, ContainerConfig, ContainerId, ExitStatus, SandboxConfig};
use virtcontainers::{
    Config, ContainerIo, CreateOptions, ErrorKind, Runtime, RuntimeError, Sandbox, sandbox_config,
};

use crate::args::Global;
use crate::args::oci::{Machine, Run};
use crate::commands::{BUNDLE, command_line, runtime};
use crate::signals::{Incoming, Signal};
use crate::terminal::{Raw, Resizes};

pub(crate) async fn run(global: &Global, run: Run) -> anyhow::Result<ExitCode> {
    let mut signals = Incoming::listen()?;
    let (mut config, runtime) = runtime(global)?;
    apply_machine(&mut config, &run.machine);
    let attachment = match run.detach {
        true => Attachment::Detached,
        false => Attachment::Attached,
    };
    let config = configuration(&config, run)?;
    let options = CreateOptions {
        io: ContainerIo::inherit()?,
        attachment,
        ..CreateOptions::default()
    };
    let id = config.id.clone();
    let container = config
        .containers
        .first()
        .map(|container| container.id.clone());
    let container = container.context("a sandbox has a container")?;
    let terminal = config.containers.iter().any(ContainerConfig::has_terminal);

    let sandbox = tokio::select! {
        made = runtime.run_sandbox(config, options) => made?,
        signal = signals.next() => {
            give_up(&runtime, &id).await?;
            return Ok(signal_code(signal));
        }
    };
    match attachment {
        Attachment::Detached => Ok(ExitCode::SUCCESS),
        Attachment::Attached => attend(&runtime, sandbox, &container, terminal, signals).await,
    }
}

/// What the command line says of the machine wins over the configuration.
fn apply_machine(config: &mut Config, machine: &Machine) {
    let section = &mut config.hypervisor.qemu;
    if let Some(memory) = machine.memory {
        section.memory = memory;
    }
    if let Some(cpus) = machine.cpus {
        section.vcpus = cpus;
    }
    if let Some(kernel) = &machine.kernel {
        section.kernel.clone_from(kernel);
    }
    if let Some(initrd) = &machine.initrd {
        section.initrd.clone_from(initrd);
        section.image.clear();
    }
    if let Some(image) = &machine.image {
        section.image.clone_from(image);
        section.initrd.clear();
    }
}

fn configuration(config: &Config, run: Run) -> anyhow::Result<SandboxConfig> {
    let (container, bundle) = match &run.rootfs {
        Some(rootfs) => (from_rootfs(&run, rootfs.clone())?, rootfs.clone()),
        None => {
            let bundle = Bundle::load(&run.bundle)?;
            let directory = bundle.directory.clone();
            (bundle.into_container(run.id.clone()), directory)
        }
    };
    let mut sandbox = sandbox_config(config, container)?;
    let words = run
        .machine
        .kernel_params
        .iter()
        .flat_map(|words| words.split_whitespace());
    sandbox.boot.kernel_params.extend(words.map(str::to_owned));
    let bundle = std::path::absolute(bundle)?;
    sandbox
        .annotations
        .insert(BUNDLE.to_owned(), bundle.display().to_string());
    Ok(sandbox)
}

fn from_rootfs(run: &Run, rootfs: PathBuf) -> anyhow::Result<ContainerConfig> {
    let rootfs = rootfs.canonicalize().with_context(|| {
        format!(
            "root file system {} cannot be used: name a directory that holds the container's files",
            rootfs.display()
        )
    })?;
    anyhow::ensure!(
        !run.command.is_empty(),
        "no command: name one after the id, for example: vc run --rootfs {} {} -- sh",
        rootfs.display(),
        run.id
    );
    let command = CommandLine {
        hostname: run.hostname.clone(),
        read_only: run.read_only,
        ..command_line(&run.process, &run.command, &rootfs)?
    };
    let spec = container_spec(&command, &rootfs, &run.volume);
    Ok(ContainerConfig {
        id: run.id.clone(),
        rootfs: rootfs.into(),
        bundle: None,
        cgroup: None,
        spec,
    })
}

/// Stays with a container until it ends: forwards signals and terminal sizes, then removes it.
async fn attend(
    runtime: &Runtime,
    sandbox: Sandbox,
    container: &ContainerId,
    terminal: bool,
    signals: Incoming,
) -> anyhow::Result<ExitCode> {
    let raw = if terminal { Raw::enter()? } else { None };
    let sizes = raw.is_some().then(Resizes::follow).transpose()?;
    let ended = tokio::select! {
        ended = sandbox.wait() => Some(ended),
        () = forward(&sandbox, container, signals, sizes) => None,
    };
    drop(raw);
    let id = sandbox.id().clone();
    let Some(ended) = ended else {
        drop(sandbox);
        give_up(runtime, &id).await?;
        return Ok(signal_code(Signal(2)));
    };
    let deleted = runtime.delete_sandbox(&id, true).await;
    let ExitStatus(status) = ended?;
    deleted?;
    Ok(ExitCode::from(ExitStatus(status).code()))
}

/// Forwards signals and sizes; returns when somebody lost patience.
async fn forward(
    sandbox: &Sandbox,
    container: &ContainerId,
    mut signals: Incoming,
    mut sizes: Option<Resizes>,
) {
    loop {
        let size = async {
            match &mut sizes {
                Some(sizes) => sizes.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = signals.next() => {
                if signals.is_impatient(signal, Instant::now()) {
                    return;
                }
                let sent = pin!(sandbox.kill_container(container, signal.0, false));
                if unless_impatient(sent, &mut signals).await {
                    return;
                }
            }
            size = size => {
                log(sandbox.resize_terminal(container, None, size.rows, size.columns).await);
            }
        }
    }
}

/// Completes `sending`, unless interrupts pile up meanwhile; `true` when they did.
async fn unless_impatient(
    mut sending: std::pin::Pin<&mut impl Future<Output = Result<(), RuntimeError>>>,
    signals: &mut Incoming,
) -> bool {
    loop {
        tokio::select! {
            sent = &mut sending => {
                log(sent);
                return false;
            }
            signal = signals.next() => if signals.is_impatient(signal, Instant::now()) {
                return true;
            }
        }
    }
}

/// A container that has just ended cannot be reached any more, which its end explains.
fn log(done: Result<(), RuntimeError>) {
    if let Err(error) = done {
        tracing::debug!(%error, "not forwarded");
    }
}

/// Ends and removes whatever there is of the sandbox.
async fn give_up(
    runtime: &Runtime,
    id: &virtcontainers::types::SandboxId,
) -> Result<(), RuntimeError> {
    match runtime.delete_sandbox(id, true).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        deleted => deleted,
    }
}

fn signal_code(Signal(number): Signal) -> ExitCode {
    ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX))
}

//! `vc run`: a container from its creation to its end.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use virtcontainers::oci::{CommandLine, container_spec};
use virtcontainers::types::{Attachment, ContainerConfig};
use virtcontainers::{Config, ContainerIo, CreateOptions, Runtime, sandbox_config};

use super::attend::{Attended, give_up, signal_code};
use super::bundle::{Plan, ensure_new};
use super::console::Console;
use super::create::{make_and_leave, plan_of_bundle};
use super::pid_file::PidFile;
use super::process::command_line;
use crate::args::Global;
use crate::args::oci::{Machine, Run};
use crate::commands::runtime;
use crate::signals::Incoming;

pub(crate) async fn run(global: &Global, run: Run) -> anyhow::Result<ExitCode> {
    let signals = Incoming::listen()?;
    let (mut config, runtime) = runtime(global)?;
    apply_machine(&mut config, &run.machine);
    let plan = plan(global, &config, &runtime, &run).await?;
    if run.detach {
        make_and_leave(&runtime, plan, &run.creation, &run.id, true).await?;
        return Ok(ExitCode::SUCCESS);
    }
    stay(&runtime, plan, &run, signals).await
}

/// Makes the container, starts it, stays with it and removes it.
async fn stay(
    runtime: &Runtime,
    plan: Plan,
    run: &Run,
    mut signals: Incoming,
) -> anyhow::Result<ExitCode> {
    let creation = &run.creation;
    let pid_file = creation.pid_file.as_deref().map(PidFile::at).transpose()?;
    let terminal = plan.has_terminal();
    Console::choose(creation.console_socket.as_deref(), terminal, true)?;
    let io = ContainerIo::inherit()?;
    let attachment = match run.keep {
        // It must not be removed when this command is killed either.
        true => Attachment::Detached,
        false => Attachment::Attached,
    };
    let (sandbox_id, container) = match &plan {
        Plan::Sandbox(config) => (config.id.clone(), run.id.clone()),
        Plan::Member(sandbox, config) => (sandbox.clone(), config.id.clone()),
    };
    let is_first = matches!(plan, Plan::Sandbox(_));
    let made = async {
        Ok::<_, anyhow::Error>(match plan {
            Plan::Sandbox(config) => {
                let options = CreateOptions {
                    io,
                    attachment,
                    ..CreateOptions::default()
                };
                runtime.run_sandbox(*config, options).await?
            }
            Plan::Member(sandbox, config) => {
                let id = config.id.clone();
                let io = io.with_stand_in();
                runtime.create_container(&sandbox, *config, io).await?;
                runtime.start_container(&sandbox, &id).await?;
                runtime.fetch_sandbox(&sandbox).await?
            }
        })
    };
    let sandbox = tokio::select! {
        made = made => match made {
            Ok(sandbox) => sandbox,
            Err(error) => {
                if !is_first {
                    give_up(runtime, &sandbox_id, &container, is_first).await?;
                }
                return Err(error);
            }
        },
        signal = signals.next() => {
            give_up(runtime, &sandbox_id, &container, is_first).await?;
            return Ok(signal_code(signal));
        }
    };
    if let Some(pid_file) = pid_file {
        let status = sandbox.status().await?;
        if let Err(error) = pid_file.write(status.pid_of(&container).unwrap_or(0)) {
            drop(sandbox);
            give_up(runtime, &sandbox_id, &container, is_first).await?;
            return Err(error);
        }
    }
    let attended = Attended {
        runtime,
        sandbox,
        container: &container,
        is_first,
        keep: run.keep,
    };
    attended.until_the_end(terminal, signals).await
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

async fn plan(
    global: &Global,
    config: &Config,
    runtime: &Runtime,
    run: &Run,
) -> anyhow::Result<Plan> {
    let mut plan = match &run.rootfs {
        Some(rootfs) => {
            ensure_new(runtime, &run.id).await?;
            let container = from_rootfs(run, rootfs.clone())?;
            let mut sandbox = sandbox_config(config, container)?;
            if let Some(netns) = &run.netns {
                let namespace = std::path::absolute(netns)
                    .with_context(|| format!("cannot use {}", netns.display()))?;
                sandbox.network.namespace = Some(namespace);
                sandbox.network.required = config.network.required;
            }
            Plan::Sandbox(Box::new(sandbox))
        }
        None => {
            let process = &run.process;
            let said = process.tty
                || !process.env.is_empty()
                || process.cwd.is_some()
                || process.user.is_some();
            ensure!(
                !said,
                "--tty, --env, --cwd and --user go with --rootfs: a bundle's config.json says how its \
                 process runs"
            );
            plan_of_bundle(global, (config, runtime), &run.creation, &run.id).await?
        }
    };
    if let Plan::Sandbox(sandbox) = &mut plan {
        let words = run.machine.kernel_params.iter();
        let words = words.flat_map(|words| words.split_whitespace());
        sandbox.boot.kernel_params.extend(words.map(str::to_owned));
    }
    Ok(plan)
}

fn from_rootfs(run: &Run, rootfs: PathBuf) -> anyhow::Result<ContainerConfig> {
    let rootfs = rootfs.canonicalize().with_context(|| {
        format!(
            "root file system {} cannot be used: name a directory that holds the container's files",
            rootfs.display()
        )
    })?;
    ensure!(
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

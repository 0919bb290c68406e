//! The sandbox: what its containers share, made once and ended once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use virtcontainers_agent_proto::agent::CreateSandboxRequest;

use crate::agent::Agent;
use crate::blocking::blocking;
use crate::container::SharedNamespaces;
use crate::process::Process;
use crate::reaper::Exit;
use crate::status::{Doing as _, Failure, Result};
use crate::{lifecycle, program};

mod dns;
mod namespaces;

use namespaces::Namespaces;

/// The sandbox's own state.
#[derive(Debug, Default)]
pub(crate) struct Sandbox {
    stage: Mutex<Stage>,
    ended: Notify,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    None,
    Creating,
    Here {
        namespaces: Namespaces,
        pid_owner: Option<PidOwner>,
    },
    Ending,
}

/// The first container's init, whose pid namespace others may join.
#[derive(Debug)]
struct PidOwner {
    pid: i32,
    exit: Exit,
}

impl Sandbox {
    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// FAILED_PRECONDITION before the sandbox was created or after its end has begun.
    pub(crate) fn check_here(&self) -> Result<()> {
        match &*self.lock() {
            Stage::Here { .. } => Ok(()),
            _ => Err(Failure::wrong_state(
                "there is no sandbox: call CreateSandbox first",
            )),
        }
    }

    /// The namespaces that a new container joins.
    ///
    /// # Errors
    /// FAILED_PRECONDITION without a sandbox, or when the shared pid namespace has died.
    pub(crate) fn namespaces(&self, share_pids: bool) -> Result<SharedNamespaces> {
        let stage = self.lock();
        let Stage::Here {
            namespaces,
            pid_owner,
        } = &*stage
        else {
            return Err(Failure::wrong_state(
                "there is no sandbox: call CreateSandbox first",
            ));
        };
        let pid = match pid_owner.as_ref().filter(|_| share_pids) {
            None => None,
            Some(owner) if owner.exit.status().is_none() => {
                Some(PathBuf::from(format!("/proc/{}/ns/pid", owner.pid)))
            }
            Some(_) => {
                return Err(Failure::wrong_state(
                    "the container whose pid namespace is shared has ended",
                ));
            }
        };
        Ok(SharedNamespaces {
            ipc: Some(namespaces.ipc.clone()),
            uts: Some(namespaces.uts.clone()),
            pid,
        })
    }

    /// The first container's init gives its pid namespace to those that share.
    pub(crate) fn offer_pid_namespace(&self, init: &Process) {
        if let Stage::Here {
            pid_owner: owner @ None,
            ..
        } = &mut *self.lock()
        {
            *owner = Some(PidOwner {
                pid: init.pid,
                exit: init.exit.clone(),
            });
        }
    }

    /// Waits until the guest is to be powered off.
    pub(crate) async fn wait_end(&self) {
        self.ended.notified().await;
    }
}

/// Makes the sandbox. Not to be dropped half-way: run as a task of its own.
///
/// # Errors
/// ALREADY_EXISTS the second time, INVALID_ARGUMENT, INTERNAL when a step fails; then what was
/// done is undone and the call may be repeated.
pub(crate) async fn create(agent: &Agent, request: CreateSandboxRequest) -> Result<()> {
    {
        let mut stage = agent.sandbox.lock();
        if !matches!(*stage, Stage::None) {
            return Err(Failure::exists("the sandbox exists already"));
        }
        *stage = Stage::Creating;
    }
    let made = make(agent, request).await;
    let mut stage = agent.sandbox.lock();
    match made {
        Ok(namespaces) => {
            *stage = Stage::Here {
                namespaces,
                pid_owner: None,
            };
            Ok(())
        }
        Err(failure) => {
            *stage = Stage::None;
            Err(failure.within("create sandbox"))
        }
    }
}

async fn make(agent: &Agent, request: CreateSandboxRequest) -> Result<Namespaces> {
    if !request.guest_hook_path.is_empty() {
        log::warn!(
            "guest hooks in {:?} are not supported",
            request.guest_hook_path
        );
    }
    let run_dir = &agent.config.run_dir;
    for folder in [
        run_dir.clone(),
        run_dir.join("sandbox"),
        agent.config.shared_dir(),
    ] {
        std::fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    }
    for module in &request.kernel_modules {
        load_module(agent, &module.name, &module.parameters).await?;
    }
    let namespaces = Namespaces::make(&agent.config.namespace_dir, &request.hostname)?;
    let storages = match agent.storages.add_all(agent, &request.storages).await {
        Ok(storages) => storages,
        Err(failure) => {
            namespaces.unmake();
            return Err(failure);
        }
    };
    if let Err(failure) = dns::apply(&request.dns, &run_dir.join("sandbox/resolv.conf")) {
        agent.storages.release_all(&storages).await;
        namespaces.unmake();
        return Err(failure);
    }
    Ok(namespaces)
}

/// From the initrd's modules, else by the image's own `modprobe`.
async fn load_module(agent: &Agent, name: &str, parameters: &[String]) -> Result<()> {
    if agent.modules.load_one(name, parameters)? {
        return Ok(());
    }
    let mut arguments = vec![name.to_owned()];
    arguments.extend_from_slice(parameters);
    program::run(&agent.reaper, "/sbin/modprobe", &arguments)
        .await
        .map_err(|failure| failure.within(format!("kernel module {name} is not in the initrd")))
}

/// Ends the sandbox: its containers, its mounts, its event stream. Whoever waits in
/// [`Sandbox::wait_end`] goes on once the reply is on its way.
///
/// # Errors
/// FAILED_PRECONDITION when there is no sandbox or its end has begun already.
pub(crate) async fn destroy(agent: &Arc<Agent>) -> Result<()> {
    let namespaces = {
        let mut stage = agent.sandbox.lock();
        if !matches!(*stage, Stage::Here { .. }) {
            return Err(Failure::wrong_state("there is no sandbox to destroy"));
        }
        match std::mem::replace(&mut *stage, Stage::Ending) {
            Stage::Here { namespaces, .. } => Some(namespaces),
            _ => None,
        }
    };
    let containers = agent.containers.all();
    // All at once and first: a container whose start hook runs is not to be waited for.
    for container in &containers {
        if let Err(error) = agent.engine.kill_all(&container.id).await {
            log::warn!("{error}");
        }
    }
    for container in containers {
        if let Err(failure) = lifecycle::remove_now(agent, &container).await {
            log::warn!("{failure}");
        }
    }
    agent.oom.close();
    agent.storages.release_everything().await;
    if let Some(namespaces) = namespaces {
        namespaces.unmake();
    }
    dns::undo(&agent.config.run_dir.join("sandbox/resolv.conf"));
    blocking(|| {
        rustix::fs::sync();
        Ok(())
    })
    .await?;
    agent.sandbox.ended.notify_one();
    Ok(())
}

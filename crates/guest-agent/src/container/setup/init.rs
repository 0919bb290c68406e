//! The set-up of a container's first process.

use std::os::fd::{AsFd, OwnedFd};

use super::program::NotRun;
use super::users::Identity;
use super::{
    Agent, hooks, masks, mounts, nodes, privileges, program, resolve, rootfs, streams, sysctl,
};
use crate::container::error::{Result, Step as _};
use crate::container::plan::ContainerPlan;
use crate::container::sys;

/// Runs the plan up to the program. Returns what was wrong with the program's file.
///
/// # Errors
/// The step that failed.
pub(super) fn run(
    plan: &ContainerPlan,
    pipes: Option<[OwnedFd; 3]>,
    agent: &Agent,
) -> Result<NotRun> {
    let process = &plan.process;
    privileges::hide()?;
    privileges::out_of_memory_score(process.oom_score_adj)?;
    // New files get exactly the permissions that are asked for.
    rustix::process::umask(rustix::fs::Mode::empty());
    // Hooks are told the process's number as the agent sees it, which /proc still shows.
    let hooks = hooks::Surroundings::new(plan)?;
    join(plan)?;
    sysctl::write(&plan.sysctls)?;
    let root = rootfs::take(&plan.rootfs)?;
    mounts::all(plan, root.as_fd())?;
    nodes::all(plan, root.as_fd())?;
    let terminal = match process.terminal {
        Some(wanted) => Some(streams::open_terminal(root.as_fd(), wanted)?),
        None => None,
    };
    if let Some(terminal) = &terminal
        && plan.fill_dev
    {
        streams::bind_console(root.as_fd(), terminal)?;
    }
    hooks.run_all(&plan.create_hooks, "createContainer", "creating")?;
    masks::readonly(root.as_fd(), &plan.readonly)?;
    masks::hide(root.as_fd(), &plan.masked)?;
    rootfs::finish(plan, root.as_fd())?;
    rootfs::enter(root.as_fd())?;
    rootfs::spread(plan, root.as_fd())?;
    drop(root);

    let root = resolve::root()?;
    let identity = Identity::find(&process.user, root.as_fd())?;
    drop(root);
    sys::new_session_keyring();
    let terminal = streams::take(terminal, pipes, &identity)?;
    agent.ready(terminal.as_ref().map(AsFd::as_fd))?;
    drop(terminal);
    agent.wait_for_start();
    hooks.run_all(&plan.start_hooks, "startContainer", "created")?;
    program::run(process, &identity, agent)
}

/// Enters what is to be shared, and names what is not.
fn join(plan: &ContainerPlan) -> Result<()> {
    for namespace in &plan.namespaces.join {
        let what = || format!("join the namespace {}", namespace.path.display());
        let file = std::fs::File::open(&namespace.path).step(what)?;
        resolve::enter_namespace(file.as_fd(), namespace.kind).step(what)?;
    }
    if plan.namespaces.new_cgroup {
        sys::new_cgroup_namespace().step(|| "make a cgroup namespace".to_owned())?;
    }
    if plan.namespaces.new_network() {
        sys::loopback_up().step(|| "bring the loopback up".to_owned())?;
    }
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name.as_bytes())
            .step(|| format!("set the host name {name:?}"))?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name.as_bytes())
            .step(|| format!("set the domain name {name:?}"))?;
    }
    rustix::process::setsid()
        .map(drop)
        .step(|| "begin a session".to_owned())
}

//! The table: one row per operation. A change here is a change of the public API.

use super::{LockKind, Operation};
use crate::{ContainerState, SandboxState};

/// Which states of one object an operation is allowed in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<S: 'static> {
    /// It is not looked at, and need not exist.
    Any,
    /// It must not exist.
    Absent,
    /// It exists in one of these states.
    In(&'static [S]),
}

/// What is fixed for an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) subsystem: &'static str,
    pub(super) lock: LockKind,
    pub(super) sandbox: Wanted<SandboxState>,
    pub(super) container: Wanted<ContainerState>,
}

const fn row(
    name: &'static str,
    subsystem: &'static str,
    lock: LockKind,
    sandbox: Wanted<SandboxState>,
    container: Wanted<ContainerState>,
) -> Row {
    Row {
        name,
        subsystem,
        lock,
        sandbox,
        container,
    }
}

/// The row of an operation: its name, subsystem and lock, and the states that it wants.
pub(super) const fn of(operation: Operation) -> Row {
    use ContainerState as C;
    use LockKind::{Exclusive, None, Shared};
    use Operation as Op;
    use SandboxState as S;
    use Wanted::{Absent, Any, In};

    match operation {
        Op::CreateSandbox => row("create_sandbox", "sandbox", Exclusive, Absent, Any),
        Op::RunSandbox => row("run_sandbox", "sandbox", Exclusive, Absent, Any),
        Op::StartSandbox => row(
            "start_sandbox",
            "sandbox",
            Exclusive,
            In(&[S::Ready, S::Stopped]),
            Any,
        ),
        Op::StopSandbox => row("stop_sandbox", "sandbox", Exclusive, In(&S::ALL), Any),
        Op::DeleteSandbox => row(
            "delete_sandbox",
            "sandbox",
            Exclusive,
            In(&[S::Ready, S::Paused, S::Stopped, S::Failed]),
            Any,
        ),
        Op::FetchSandbox => row("fetch_sandbox", "sandbox", Shared, In(&S::ALL), Any),
        Op::ListSandboxes => row("list_sandboxes", "sandbox", None, Any, Any),
        Op::StatusSandbox => row("status_sandbox", "sandbox", None, In(&S::ALL), Any),
        Op::PauseSandbox => row(
            "pause_sandbox",
            "sandbox",
            Exclusive,
            In(&[S::Running]),
            Any,
        ),
        Op::ResumeSandbox => row(
            "resume_sandbox",
            "sandbox",
            Exclusive,
            In(&[S::Paused]),
            Any,
        ),
        Op::CreateContainer => row(
            "create_container",
            "container",
            Exclusive,
            In(&[S::Ready, S::Running]),
            Absent,
        ),
        Op::DeleteContainer => row(
            "delete_container",
            "container",
            Exclusive,
            In(&[S::Ready, S::Running, S::Stopped, S::Failed]),
            In(&[C::Created, C::Stopped]),
        ),
        Op::StartContainer => row(
            "start_container",
            "container",
            Exclusive,
            In(&[S::Ready, S::Running]),
            In(&[C::Created]),
        ),
        Op::StopContainer => row(
            "stop_container",
            "container",
            Exclusive,
            In(&[S::Ready, S::Running, S::Stopped, S::Failed]),
            In(&C::ALL),
        ),
        Op::EnterContainer => row(
            "enter_container",
            "container",
            Shared,
            In(&[S::Running]),
            In(&[C::Created, C::Running]),
        ),
        Op::StatusContainer => row("status_container", "container", None, In(&S::ALL), Any),
        Op::KillContainer => row(
            "kill_container",
            "container",
            None,
            In(&[S::Ready, S::Running]),
            In(&[C::Created, C::Running, C::Paused]),
        ),
        Op::ProcessListContainer => row(
            "process_list_container",
            "container",
            Shared,
            In(&[S::Running]),
            In(&[C::Running]),
        ),
        Op::UpdateContainer => row(
            "update_container",
            "container",
            Exclusive,
            In(&[S::Running]),
            In(&[C::Created, C::Running]),
        ),
        Op::StatsContainer => row(
            "stats_container",
            "container",
            Shared,
            In(&[S::Running]),
            In(&[C::Created, C::Running, C::Paused]),
        ),
        Op::StatsSandbox => row("stats_sandbox", "sandbox", Shared, In(&[S::Running]), Any),
        Op::PauseContainer => row(
            "pause_container",
            "container",
            Exclusive,
            In(&[S::Running]),
            In(&[C::Running]),
        ),
        Op::ResumeContainer => row(
            "resume_container",
            "container",
            Exclusive,
            In(&[S::Running]),
            In(&[C::Paused]),
        ),
        Op::AddDevice => row(
            "add_device",
            "device",
            Exclusive,
            In(&[S::Ready, S::Running]),
            Any,
        ),
        Op::AddInterface => row(
            "add_interface",
            "network",
            Exclusive,
            In(&[S::Ready, S::Running]),
            Any,
        ),
        Op::RemoveInterface => row(
            "remove_interface",
            "network",
            Exclusive,
            In(&[S::Ready, S::Running]),
            Any,
        ),
        Op::ListInterfaces => row(
            "list_interfaces",
            "network",
            Shared,
            In(&[S::Ready, S::Running]),
            Any,
        ),
        Op::UpdateRoutes => row(
            "update_routes",
            "network",
            Exclusive,
            In(&[S::Ready, S::Running]),
            Any,
        ),
        Op::ListRoutes => row(
            "list_routes",
            "network",
            Shared,
            In(&[S::Ready, S::Running]),
            Any,
        ),
        Op::CleanupContainer => row("cleanup_container", "container", Exclusive, Any, Any),
        Op::Annotations => row("annotations", "sandbox", None, In(&S::ALL), Any),
        Op::SetAnnotations => row("set_annotations", "sandbox", Exclusive, In(&S::ALL), Any),
        Op::Containers => row("containers", "sandbox", None, In(&S::ALL), Any),
        Op::Release => row("release", "sandbox", None, Any, Any),
        Op::Monitor => row("monitor", "sandbox", None, In(&S::ALL), Any),
        Op::WaitProcess => row("wait_process", "process", Shared, In(&S::ALL), In(&C::ALL)),
        Op::SignalProcess => row(
            "signal_process",
            "process",
            None,
            In(&[S::Ready, S::Running]),
            In(&[C::Created, C::Running, C::Paused]),
        ),
        Op::ResizeTerminal => row(
            "resize_terminal",
            "process",
            Shared,
            In(&[S::Ready, S::Running]),
            In(&[C::Created, C::Running]),
        ),
        Op::IoStream => row("io_stream", "process", None, Any, Any),
        Op::OomEvents => row(
            "oom_events",
            "sandbox",
            Shared,
            In(&[S::Ready, S::Running]),
            Any,
        ),
        Op::AgentUrl => row(
            "agent_url",
            "sandbox",
            None,
            In(&[S::Ready, S::Running, S::Paused]),
            Any,
        ),
        Op::HypervisorPid => row(
            "hypervisor_pid",
            "sandbox",
            None,
            In(&[S::Ready, S::Running, S::Paused]),
            Any,
        ),
    }
}

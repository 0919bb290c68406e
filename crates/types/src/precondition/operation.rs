//! Every operation of the public API, by name.

/// An operation of a runtime or of a sandbox handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Makes a machine with its containers, none started.
    CreateSandbox,
    /// Makes a sandbox and starts it.
    RunSandbox,
    /// Starts the containers; boots a stopped sandbox again.
    StartSandbox,
    /// Ends the machine; what is stopped already stays so.
    StopSandbox,
    /// Removes a sandbox. With force it is allowed in every state: then nobody asks this table.
    DeleteSandbox,
    /// Gives a handle to a sandbox.
    FetchSandbox,
    /// Lists all sandboxes, each with its status or its error.
    ListSandboxes,
    /// Says what a sandbox and its containers are doing.
    StatusSandbox,
    /// Halts the machine's CPUs.
    PauseSandbox,
    /// Lets the machine's CPUs go on.
    ResumeSandbox,
    /// Adds a container to a sandbox.
    CreateContainer,
    /// Removes a container that does not run.
    DeleteContainer,
    /// Starts the program of a container. One that ended starts only with its sandbox.
    StartContainer,
    /// Ends the processes of a container; one that ended already stays so.
    StopContainer,
    /// Starts one more process in a container.
    EnterContainer,
    /// Says what a container is doing; nothing of one that does not exist.
    StatusContainer,
    /// Sends a signal to the first process of a container, or to all. The operation itself reports
    /// success for SIGKILL to what is gone already.
    KillContainer,
    /// Lists the processes of a container.
    ProcessListContainer,
    /// Changes the resources of a container.
    UpdateContainer,
    /// Reads the counters of a container.
    StatsContainer,
    /// Reads the counters of a sandbox and of its containers.
    StatsSandbox,
    /// Freezes the processes of a container.
    PauseContainer,
    /// Thaws the processes of a container.
    ResumeContainer,
    /// Attaches a device to the machine.
    AddDevice,
    /// Attaches a network interface.
    AddInterface,
    /// Detaches a network interface.
    RemoveInterface,
    /// Lists the guest's network interfaces.
    ListInterfaces,
    /// Replaces the guest's routes.
    UpdateRoutes,
    /// Lists the guest's routes.
    ListRoutes,
    /// Removes what is left of a container after a crash, and its sandbox with the last one.
    CleanupContainer,
    /// Reads the annotations of a sandbox.
    Annotations,
    /// Changes the annotations of a sandbox.
    SetAnnotations,
    /// Lists the containers of a sandbox.
    Containers,
    /// Gives a handle back; the sandbox stays as it is.
    Release,
    /// Watches the machine until it ends; at once when it has.
    Monitor,
    /// Waits until a process ends; one that ended already answers at once, whatever became of its
    /// machine.
    WaitProcess,
    /// Sends a signal to one process.
    SignalProcess,
    /// Tells a process the size of its terminal.
    ResizeTerminal,
    /// Gives out the streams that a handle has kept of a container.
    IoStream,
    /// Tells which containers ran out of memory.
    OomEvents,
    /// Says where the guest's agent is reached.
    AgentUrl,
    /// Says which process runs the machine.
    HypervisorPid,
}

impl Operation {
    /// Every operation, for tables.
    pub const ALL: [Self; 42] = [
        Self::CreateSandbox,
        Self::RunSandbox,
        Self::StartSandbox,
        Self::StopSandbox,
        Self::DeleteSandbox,
        Self::FetchSandbox,
        Self::ListSandboxes,
        Self::StatusSandbox,
        Self::PauseSandbox,
        Self::ResumeSandbox,
        Self::CreateContainer,
        Self::DeleteContainer,
        Self::StartContainer,
        Self::StopContainer,
        Self::EnterContainer,
        Self::StatusContainer,
        Self::KillContainer,
        Self::ProcessListContainer,
        Self::UpdateContainer,
        Self::StatsContainer,
        Self::StatsSandbox,
        Self::PauseContainer,
        Self::ResumeContainer,
        Self::AddDevice,
        Self::AddInterface,
        Self::RemoveInterface,
        Self::ListInterfaces,
        Self::UpdateRoutes,
        Self::ListRoutes,
        Self::CleanupContainer,
        Self::Annotations,
        Self::SetAnnotations,
        Self::Containers,
        Self::Release,
        Self::Monitor,
        Self::WaitProcess,
        Self::SignalProcess,
        Self::ResizeTerminal,
        Self::IoStream,
        Self::OomEvents,
        Self::AgentUrl,
        Self::HypervisorPid,
    ];
}

/// Which lock of the sandbox an operation takes. None is held while waiting for a process in a
/// guest to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// No lock: the record is replaced as a whole, so that a reader always finds a complete one.
    None,
    /// Together with other readers, while the record is loaded.
    Shared,
    /// Alone, until the changed record is stored.
    Exclusive,
}

impl LockKind {
    /// The lock's name, lowercase.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        }
    }
}

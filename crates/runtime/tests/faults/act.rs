//! The operations that are put to the test, and the states from which they begin.

use std::fmt;

use serde::{Deserialize, Serialize};
use virtcontainers_oci::{CommandLine, exec_process};
use virtcontainers_runtime::{ContainerIo, CreateOptions, Error, ErrorKind, ExecRequest, Runtime};
use virtcontainers_testkit::fault::Blow;
use virtcontainers_types::{Attachment, ContainerId, ExitStatus, Lifetime, Resources};

use crate::links;
use crate::stage::Stage;

/// An operation from a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    Create,
    Run,
    /// One that ends with its creator, who leaves at once.
    RunAttached,
    Start,
    StartStopped,
    Exec,
    Stop,
    StopPaused,
    StopByForce,
    Delete,
    DeleteRunning,
    Pause,
    Resume,
    Annotate,
    ContainerCreate,
    ContainerStart,
    ContainerStop,
    ContainerDelete,
    ContainerDeleteStopped,
    ContainerPause,
    ContainerResume,
    ContainerUpdate,
    ContainerKill,
    ContainerCleanup,
    /// The program ends, and its sandbox with it.
    End,
    /// The machine is lost.
    Crash,
    /// A recovery of what a caller that gave up left of this.
    RecoverCreate,
    RecoverStartStopped,
    RecoverStart,
    RecoverStop,
    RecoverPause,
    RecoverContainerCreate,
    RecoverContainerUpdate,
    /// An interface is added to a machine that runs.
    InterfaceAdd,
    InterfaceRemove,
    /// A start that finds an interface that was not there before.
    StartLate,
    RecoverInterfaceAdd,
    RecoverInterfaceRemove,
    /// All of a sandbox's life.
    Life,
}

/// What is there before the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Nothing,
    Ready,
    Running,
    Paused,
    Stopped,
    /// A second container was created.
    Second,
    SecondRunning,
    SecondPaused,
    SecondStopped,
    /// Not started yet, and there is a link.
    ReadyLinked,
    /// It runs, and there is a link that the machine does not have.
    Linked,
    /// The machine has it.
    Plugged,
}

impl Act {
    pub(crate) const ALL: [Self; 33] = [
        Self::Create,
        Self::Run,
        Self::RunAttached,
        Self::Start,
        Self::StartStopped,
        Self::Exec,
        Self::Stop,
        Self::StopPaused,
        Self::StopByForce,
        Self::Delete,
        Self::DeleteRunning,
        Self::Pause,
        Self::Resume,
        Self::Annotate,
        Self::ContainerCreate,
        Self::ContainerStart,
        Self::ContainerStop,
        Self::ContainerDelete,
        Self::ContainerDeleteStopped,
        Self::ContainerPause,
        Self::ContainerResume,
        Self::ContainerUpdate,
        Self::ContainerKill,
        Self::ContainerCleanup,
        Self::End,
        Self::Crash,
        Self::RecoverCreate,
        Self::RecoverStartStopped,
        Self::RecoverStart,
        Self::RecoverStop,
        Self::RecoverPause,
        Self::RecoverContainerCreate,
        Self::RecoverContainerUpdate,
    ];

    /// Those that a process other than the supervisor's carries out.
    pub(crate) const OF_CALLERS: &[Self] = Self::ALL.split_at(24).0;

    /// Those that share directories, or take that back.
    pub(crate) const SHARING: [Self; 12] = [
        Self::Create,
        Self::StartStopped,
        Self::Stop,
        Self::DeleteRunning,
        Self::ContainerCreate,
        Self::ContainerStop,
        Self::ContainerDelete,
        Self::InterfaceAdd,
        Self::InterfaceRemove,
        Self::StartLate,
        Self::RecoverInterfaceAdd,
        Self::RecoverInterfaceRemove,
    ];

    /// Whether the sandbox must end when its creator is gone.
    pub(crate) fn is_attached(self) -> bool {
        self == Self::RunAttached
    }

    /// What was given up before a recovery, and at which effect.
    const fn interrupted(self) -> Option<(Self, &'static str)> {
        match self {
            Self::RecoverCreate => Some((Self::Create, "after create_container")),
            Self::RecoverStartStopped => Some((Self::StartStopped, "after create_container")),
            Self::RecoverStart => Some((Self::Start, "after start_container")),
            Self::RecoverStop => Some((Self::Stop, "after kill_all")),
            Self::RecoverPause => Some((Self::Pause, "after pause")),
            Self::RecoverContainerCreate => Some((Self::ContainerCreate, "after create_container")),
            Self::RecoverContainerUpdate => Some((Self::ContainerUpdate, "after update_container")),
            Self::RecoverInterfaceAdd => Some((Self::InterfaceAdd, "after update_interface")),
            Self::RecoverInterfaceRemove => {
                Some((Self::InterfaceRemove, "after removal of a network device"))
            }
            _ => None,
        }
    }

    const fn begins(self) -> State {
        if let Some((interrupted, _)) = self.interrupted() {
            return interrupted.begins();
        }
        match self {
            Self::Create | Self::Run | Self::RunAttached | Self::Life => State::Nothing,
            Self::Start | Self::Delete => State::Ready,
            Self::Exec
            | Self::Stop
            | Self::StopByForce
            | Self::DeleteRunning
            | Self::Pause
            | Self::Annotate
            | Self::End
            | Self::Crash
            | Self::ContainerCreate => State::Running,
            Self::Resume | Self::StopPaused => State::Paused,
            Self::StartStopped => State::Stopped,
            Self::ContainerStart | Self::ContainerDelete | Self::ContainerCleanup => State::Second,
            Self::ContainerStop
            | Self::ContainerPause
            | Self::ContainerUpdate
            | Self::ContainerKill => State::SecondRunning,
            Self::ContainerResume => State::SecondPaused,
            Self::ContainerDeleteStopped => State::SecondStopped,
            Self::StartLate => State::ReadyLinked,
            Self::InterfaceAdd => State::Linked,
            Self::InterfaceRemove => State::Plugged,
            Self::RecoverCreate
            | Self::RecoverStartStopped
            | Self::RecoverStart
            | Self::RecoverStop
            | Self::RecoverPause
            | Self::RecoverContainerCreate
            | Self::RecoverContainerUpdate
            | Self::RecoverInterfaceAdd
            | Self::RecoverInterfaceRemove => State::Nothing,
        }
    }

    const fn lifetime(self) -> Lifetime {
        match self {
            Self::End => Lifetime::FirstContainer,
            _ => Lifetime::Explicit,
        }
    }

    /// Makes what is there before the operation.
    pub(crate) async fn prepare(self, stage: &Stage, runtime: &Runtime) -> Result<(), Error> {
        self.make_state(stage, runtime).await?;
        if let Some((interrupted, point)) = self.interrupted() {
            stage.points.aim_at(point, Blow::Cancel);
            let played = Box::pin(interrupted.play(stage, runtime));
            let finished = stage.points.drive(played).await;
            stage.points.rest();
            assert!(finished.is_none(), "{interrupted} was not given up {point}");
        }
        Ok(())
    }

    /// Makes the state from which the operation begins.
    async fn make_state(self, stage: &Stage, runtime: &Runtime) -> Result<(), Error> {
        let (id, second) = (stage.id(), stage.second());
        let state = self.begins();
        match state {
            State::Nothing => return Ok(()),
            State::Ready | State::ReadyLinked => {
                let options = CreateOptions::default();
                runtime
                    .create_sandbox(stage.sandbox(self.lifetime()), options)
                    .await?;
                if state == State::ReadyLinked {
                    links::add(&stage.namespace());
                }
                return Ok(());
            }
            _ => {
                let options = CreateOptions::default();
                runtime
                    .run_sandbox(stage.sandbox(self.lifetime()), options)
                    .await?;
            }
        }
        match state {
            State::Nothing | State::Ready | State::ReadyLinked | State::Running => return Ok(()),
            State::Linked | State::Plugged => {
                links::add(&stage.namespace());
                if state == State::Plugged {
                    runtime.add_interface(&id, links::interface()).await?;
                }
                return Ok(());
            }
            State::Paused => {
                runtime.pause_sandbox(&id).await?;
                return Ok(());
            }
            State::Stopped => {
                runtime.stop_sandbox(&id, false).await?;
                return Ok(());
            }
            State::Second | State::SecondRunning | State::SecondPaused | State::SecondStopped => {
                let config = stage.container(second.clone());
                let io = ContainerIo::default();
                runtime.create_container(&id, config, io).await?;
            }
        }
        if state == State::Second {
            return Ok(());
        }
        runtime.start_container(&id, &second).await?;
        match state {
            State::SecondPaused => runtime.pause_container(&id, &second).await.map(drop),
            State::SecondStopped => runtime.stop_container(&id, &second, false).await.map(drop),
            _ => Ok(()),
        }
    }

    /// Carries the operation out.
    pub(crate) async fn play(self, stage: &Stage, runtime: &Runtime) -> Result<(), Error> {
        let (id, second) = (&stage.id(), &stage.second());
        let options = CreateOptions::default();
        match self {
            Self::Create => drop(
                runtime
                    .create_sandbox(stage.sandbox(self.lifetime()), options)
                    .await?,
            ),
            Self::Run => drop(
                runtime
                    .run_sandbox(stage.sandbox(self.lifetime()), options)
                    .await?,
            ),
            Self::RunAttached => {
                let options = CreateOptions {
                    attachment: Attachment::Attached,
                    ..options
                };
                let config = stage.sandbox(self.lifetime());
                let sandbox = runtime.run_sandbox(config, options).await?;
                let witness = runtime.fetch_sandbox(id).await?;
                drop(sandbox);
                // It is gone when the wait is over.
                match witness.monitor().await {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    ended => drop(ended?),
                }
            }
            Self::InterfaceAdd => drop(runtime.add_interface(id, links::interface()).await?),
            Self::InterfaceRemove => drop(runtime.remove_interface(id, links::ADDRESS).await?),
            Self::Start | Self::StartStopped | Self::StartLate => {
                drop(runtime.start_sandbox(id).await?)
            }
            Self::Exec => drop(exec(stage, runtime, stage.first()).await?),
            Self::Stop | Self::StopPaused => drop(runtime.stop_sandbox(id, false).await?),
            Self::StopByForce => drop(runtime.stop_sandbox(id, true).await?),
            Self::Delete => runtime.delete_sandbox(id, false).await?,
            Self::DeleteRunning => runtime.delete_sandbox(id, true).await?,
            Self::Pause => drop(runtime.pause_sandbox(id).await?),
            Self::Resume => drop(runtime.resume_sandbox(id).await?),
            Self::Annotate => {
                let annotations = [("key".to_owned(), "value".to_owned())].into();
                runtime.set_annotations(id, annotations).await?;
            }
            Self::ContainerCreate => {
                let config = stage.container(second.clone());
                let io = ContainerIo::default();
                drop(runtime.create_container(id, config, io).await?);
            }
            Self::ContainerStart => drop(runtime.start_container(id, second).await?),
            Self::ContainerStop => drop(runtime.stop_container(id, second, false).await?),
            Self::ContainerDelete | Self::ContainerDeleteStopped => {
                runtime.delete_container(id, second).await?;
            }
            Self::ContainerPause => drop(runtime.pause_container(id, second).await?),
            Self::ContainerResume => drop(runtime.resume_container(id, second).await?),
            Self::ContainerUpdate => {
                let limits = serde_json::json!({"pids": {"limit": 7}});
                let limits: Resources = serde_json::from_value(limits).unwrap();
                runtime.update_container(id, second, limits).await?;
            }
            Self::ContainerKill => runtime.kill_container(id, second, 9, true).await?,
            Self::End => {
                let sandbox = runtime.fetch_sandbox(id).await?;
                stage.exit();
                sandbox.monitor().await?;
            }
            Self::Crash => {
                let sandbox = runtime.fetch_sandbox(id).await?;
                stage.crash();
                sandbox.monitor().await?;
            }
            Self::RecoverCreate
            | Self::RecoverStartStopped
            | Self::RecoverStart
            | Self::RecoverStop
            | Self::RecoverPause
            | Self::RecoverContainerCreate
            | Self::RecoverContainerUpdate
            | Self::RecoverInterfaceAdd
            | Self::RecoverInterfaceRemove => {
                for recovered in runtime.recover(false).await? {
                    recovered.outcome?;
                }
            }
            Self::Life => live(stage, runtime).await?,
            Self::ContainerCleanup => runtime.cleanup_container(id, second, false).await?,
        }
        Ok(())
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Runs a program that ends at once in a container.
pub(crate) async fn exec(
    stage: &Stage,
    runtime: &Runtime,
    container: ContainerId,
) -> Result<ExitStatus, Error> {
    let request = ExecRequest {
        container,
        process: exec_process(&CommandLine {
            args: vec!["true".to_owned()],
            ..CommandLine::default()
        }),
        io: ContainerIo::default(),
    };
    runtime
        .enter_container(&stage.id(), request)
        .await?
        .wait()
        .await
}

/// From the creation to the last of it but the delete.
async fn live(stage: &Stage, runtime: &Runtime) -> Result<(), Error> {
    let (id, second) = (&stage.id(), &stage.second());
    let options = CreateOptions::default();
    let config = stage.sandbox(Lifetime::Explicit);
    runtime.create_sandbox(config, options).await?;
    runtime.start_sandbox(id).await?;
    let config = stage.container(second.clone());
    let io = ContainerIo::default();
    runtime.create_container(id, config, io).await?;
    runtime.start_container(id, second).await?;
    exec(stage, runtime, second.clone()).await?;
    runtime.stop_container(id, second, false).await?;
    runtime.delete_container(id, second).await?;
    runtime.pause_sandbox(id).await?;
    runtime.resume_sandbox(id).await?;
    runtime.stop_sandbox(id, false).await.map(drop)
}

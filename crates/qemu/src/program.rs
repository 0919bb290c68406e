//! The programs of a machine, our children or adopted: how they end, and ending them.

use std::path::Path;

use virtcontainers_hypervisor::{Error, MachineExit};
use virtcontainers_process::{
    Child, Exit, Identity, Launcher, Mark, OutputTail, Signal, Stream, Watch,
};
use virtcontainers_types::ProcessIdentity;

use crate::error::of_process;
use crate::names::QEMU;

/// One program of a machine.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    identity: ProcessIdentity,
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    /// We started it.
    Ours { child: Child, stderr: OutputTail },
    /// Another process started it.
    Adopted(Watch),
    /// It had ended before we came.
    Ended,
}

/// How the programs of one machine are started, all alike.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    /// The machine's directory, where they work.
    pub(crate) directory: &'a Path,
    /// What the sandbox's processes are known by.
    pub(crate) nonce: &'a str,
    /// They are killed at the end of the thread that starts them.
    pub(crate) die_with_launcher: bool,
}

impl Setting<'_> {
    /// The mark of a program, to be written down before it is started.
    pub(crate) fn mark(&self, name: &str) -> Mark {
        Mark::new(self.nonce, name)
    }

    /// Starts a program that is killed and reaped if it is dropped before
    /// [`keep`](Program::keep).
    pub(crate) fn start(&self, name: &'static str, launcher: Launcher) -> Result<Program, Error> {
        let failed = |error| of_process(format!("cannot start {name}"), error);
        let (stderr, writer) = OutputTail::pipe().map_err(failed)?;
        let mut launcher = launcher
            .current_dir(self.directory)
            .marked(&self.mark(name))
            .stderr(Stream::Descriptor(writer))
            .no_new_privileges()
            .kill_on_drop();
        if self.die_with_launcher {
            launcher = launcher.die_with_thread();
        }
        let child = launcher.spawn().map_err(failed)?;
        Ok(Program {
            name,
            identity: to_types(child.identity()),
            handle: Handle::Ours { child, stderr },
        })
    }
}

impl Program {
    /// Takes over a program that another process started.
    pub(crate) fn adopt(name: &'static str, identity: ProcessIdentity) -> Result<Self, Error> {
        let known = Identity {
            pid: identity.pid,
            start_time: identity.start_time,
        };
        let watch = known
            .open()
            .map_err(|error| of_process(format!("cannot adopt {name}"), error))?;
        Ok(Self {
            name,
            identity,
            handle: watch.map_or(Handle::Ended, Handle::Adopted),
        })
    }

    pub(crate) const fn identity(&self) -> ProcessIdentity {
        self.identity
    }

    /// It had ended when it was to be adopted.
    pub(crate) const fn was_gone(&self) -> bool {
        matches!(self.handle, Handle::Ended)
    }

    /// From now on it outlives this value.
    pub(crate) fn keep(&mut self) {
        match &mut self.handle {
            Handle::Ours { child, .. } => child.keep_on_drop(),
            Handle::Adopted(_) | Handle::Ended => {}
        }
    }

    /// Resolves when it has ended, and reaps it if it is ours. Meanwhile its messages are read, so
    /// that it never blocks on them. Safe to drop; many may wait.
    pub(crate) async fn ended(&self) -> MachineExit {
        let (exit, stderr) = match &self.handle {
            Handle::Ours { child, stderr } => (wait_reading(child, stderr).await, stderr.text()),
            Handle::Adopted(watch) => {
                let gone = watch.gone().await;
                (gone.map(|()| Exit::Unknown), String::new())
            }
            Handle::Ended => (Ok(Exit::Unknown), String::new()),
        };
        let reason = match &exit {
            Ok(exit) => exit.to_string(),
            Err(error) => format!("{error}; it may still live"),
        };
        MachineExit {
            program: self.name.to_owned(),
            reason,
            stderr,
            // QEMU exits with 0 when the guest powered off or somebody asked it to quit.
            expected: self.name == QEMU && exit.is_ok_and(Exit::is_success),
        }
    }

    /// Kills it; succeeds when it has ended.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        let killed = match &self.handle {
            Handle::Ours { child, .. } => child.kill(),
            Handle::Adopted(watch) => watch.signal(Signal::KILL).map(drop),
            Handle::Ended => Ok(()),
        };
        killed.map_err(|error| of_process(format!("cannot kill {}", self.name), error))
    }
}

async fn wait_reading(
    child: &Child,
    stderr: &OutputTail,
) -> Result<Exit, virtcontainers_process::Error> {
    let reading = async {
        // The end of the messages is not the end of the program.
        if let Err(error) = stderr.follow().await {
            tracing::warn!(%error, "messages of a program are not read");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        exit = child.wait() => exit,
        () = reading => Ok(Exit::Unknown),
    }
}

/// QEMU and what it cannot go on without.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) qemu: Program,
    pub(crate) helper: Option<Program>,
}

impl Programs {
    /// Resolves with the first end; QEMU's, when several have ended. Safe to drop.
    pub(crate) async fn first_end(&self) -> MachineExit {
        tokio::select! {
            biased;
            exit = self.qemu.ended() => exit,
            exit = self.helper_end() => exit,
        }
    }

    /// Resolves when all have ended. Safe to drop.
    pub(crate) async fn all_ended(&self) {
        self.qemu.ended().await;
        if let Some(helper) = &self.helper {
            helper.ended().await;
        }
    }

    /// Kills all; the first failure is returned after all were tried.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        let qemu = self.qemu.kill();
        let helper = self.helper.as_ref().map_or(Ok(()), Program::kill);
        qemu.and(helper)
    }

    pub(crate) fn keep(&mut self) {
        self.qemu.keep();
        if let Some(helper) = &mut self.helper {
            helper.keep();
        }
    }

    /// QEMU first.
    pub(crate) fn identities(&self) -> Vec<ProcessIdentity> {
        let helper = self.helper.as_ref().map(Program::identity);
        std::iter::once(self.qemu.identity())
            .chain(helper)
            .collect()
    }

    async fn helper_end(&self) -> MachineExit {
        match &self.helper {
            Some(helper) => helper.ended().await,
            None => std::future::pending().await,
        }
    }
}

const fn to_types(identity: Identity) -> ProcessIdentity {
    ProcessIdentity {
        pid: identity.pid,
        start_time: identity.start_time,
    }
}

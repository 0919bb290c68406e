//! Staying with a container until it ends: signals and terminal sizes are forwarded.

use std::future::Future;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::time::Instant;

use virtcontainers::types::{ContainerId, ExitStatus, SandboxId};
use virtcontainers::{ErrorKind, Runtime, RuntimeError, Sandbox};

use crate::signals::{Incoming, Signal};
use crate::terminal::{Raw, Resizes};

/// A container that runs, and that this command stays with.
#[derive(Debug)]
pub(super) struct Attended<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) sandbox: Sandbox,
    pub(super) container: &'a ContainerId,
    /// Its end is the sandbox's.
    pub(super) is_first: bool,
    /// It is not removed when it has ended.
    pub(super) keep: bool,
}

impl Attended<'_> {
    /// Waits for the end, removes the container, and gives its status.
    pub(super) async fn until_the_end(
        self,
        terminal: bool,
        signals: Incoming,
    ) -> anyhow::Result<ExitCode> {
        let raw = if terminal { Raw::enter()? } else { None };
        let sizes = raw.is_some().then(Resizes::follow).transpose()?;
        let ended = tokio::select! {
            ended = self.wait() => Some(ended),
            () = self.forward(signals, sizes) => None,
        };
        drop(raw);
        let id = self.sandbox.id().clone();
        let Some(ended) = ended else {
            drop(self.sandbox);
            give_up(self.runtime, &id, self.container, self.is_first).await?;
            return Ok(signal_code(Signal(2)));
        };
        let removed = match (self.keep, self.is_first) {
            (true, _) => Ok(()),
            (false, true) => self.runtime.delete_sandbox(&id, true).await,
            (false, false) => self.runtime.delete_container(&id, self.container).await,
        };
        let ExitStatus(status) = ended?;
        removed?;
        Ok(ExitCode::from(ExitStatus(status).code()))
    }

    async fn wait(&self) -> Result<ExitStatus, RuntimeError> {
        match self.is_first {
            true => self.sandbox.wait().await,
            false => self.sandbox.wait_process(self.container, None).await,
        }
    }

    /// Forwards signals and sizes; returns when somebody lost patience.
    async fn forward(&self, mut signals: Incoming, mut sizes: Option<Resizes>) {
        let (sandbox, container) = (&self.sandbox, self.container);
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
}

/// Completes `sending`, unless interrupts pile up meanwhile; `true` when they did.
async fn unless_impatient(
    mut sending: Pin<&mut impl Future<Output = Result<(), RuntimeError>>>,
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

/// Ends and removes whatever there is of a container, and of its sandbox if it is the first.
pub(super) async fn give_up(
    runtime: &Runtime,
    sandbox: &SandboxId,
    container: &ContainerId,
    is_first: bool,
) -> Result<(), RuntimeError> {
    let removed = match is_first {
        true => runtime.delete_sandbox(sandbox, true).await,
        false => runtime.cleanup_container(sandbox, container, true).await,
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

pub(super) fn signal_code(Signal(number): Signal) -> ExitCode {
    ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX))
}

//! Carrying a process's streams between guest and host, until it ended and its output is complete.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncWrite, Sink};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use virtcontainers_agent::streams::{OutputEnd, pump_input, pump_output};
use virtcontainers_agent::{OutputStream, ProcessRef};
use virtcontainers_agent_proto::OUTPUT_AFTER_WAIT_FEATURE;
use virtcontainers_process::Input;
use virtcontainers_types::{ExitStatus, GuestFacts};

use crate::Agent;
use crate::error::{Context, Error};
use crate::options::ContainerIo;

/// How long a process that has ended may be silent while others hold its streams open, before its
/// output counts as complete.
const SILENCE: Duration = Duration::from_millis(500);

const SIGKILL: i32 = 9;
const SIGPIPE: i32 = 13;
const SIGTERM: i32 = 15;

/// One process whose streams are carried.
#[derive(Debug)]
pub(crate) struct Carrier {
    agent: Agent,
    process: ProcessRef,
    terminal: bool,
    /// The agent keeps unread output when the process was waited for.
    output_after_wait: bool,
}

impl Carrier {
    pub(crate) fn new(
        agent: Agent,
        process: ProcessRef,
        terminal: bool,
        facts: &GuestFacts,
    ) -> Self {
        let output_after_wait = facts
            .features
            .iter()
            .any(|word| word == OUTPUT_AFTER_WAIT_FEATURE);
        Self {
            agent,
            process,
            terminal,
            output_after_wait,
        }
    }

    /// Carries until the process has ended and both streams are drained; a stream that a background
    /// child holds open is given up after half a second of silence.
    ///
    /// When somebody closed the receiving end of the output, the process is sent SIGPIPE and
    /// SIGTERM, as init ignores the first; killed by that, its status is 141.
    ///
    /// Errors: `Gone` when guest or agent are lost. Dropping the future leaves the process.
    pub(crate) async fn carry(self, io: ContainerIo) -> Result<ExitStatus, Error> {
        let _input = self.spawn_input(io.stdin);
        let (activity, seen) = watch::channel(Activity::default());
        let stdout = self.output(OutputStream::Stdout, io.stdout, activity.clone());
        let stderr = async {
            match self.terminal {
                true => Ok(false),
                false => {
                    self.output(OutputStream::Stderr, io.stderr, activity.clone())
                        .await
                }
            }
        };
        let mut outputs = pin!(async { tokio::join!(stdout, stderr) });
        let (status, ends) = if self.output_after_wait {
            let mut wait = pin!(self.agent.wait_process(&self.process));
            tokio::select! {
                ends = &mut outputs => (wait.await, Some(ends)),
                status = &mut wait => (status, drain(&mut outputs, seen).await),
            }
        } else {
            let ends = outputs.await;
            (self.agent.wait_process(&self.process).await, Some(ends))
        };
        let status = status.during(|| format!("lost sight of process {}", self.process))?;
        let reader_left = match ends {
            Some((stdout, stderr)) => stdout? || stderr?,
            None => false,
        };
        Ok(match status {
            ExitStatus(killed) if reader_left && killed == 128 + SIGKILL => {
                ExitStatus(128 + SIGPIPE)
            }
            status => status,
        })
    }

    fn spawn_input(&self, stdin: Option<OwnedFd>) -> AbortOnDrop {
        let (agent, process, terminal) = (self.agent.clone(), self.process.clone(), self.terminal);
        let task = tokio::spawn(async move {
            let pumped = match stdin {
                Some(stdin) => {
                    let mut reader = Input::new(stdin);
                    pump_input(agent.as_ref(), &process, terminal, &mut reader).await
                }
                None => {
                    pump_input(agent.as_ref(), &process, terminal, &mut tokio::io::empty()).await
                }
            };
            if let Err(error) = pumped {
                tracing::debug!(%error, "standard input is not carried any more");
            }
        });
        AbortOnDrop(task.abort_handle())
    }

    /// Carries one output stream; `true` when its reader left.
    async fn output(
        &self,
        stream: OutputStream,
        to: Option<OwnedFd>,
        activity: watch::Sender<Activity>,
    ) -> Result<bool, Error> {
        let failed = || format!("cannot carry the output of process {}", self.process);
        let Some(to) = to else {
            self.discard(stream, activity).await?;
            return Ok(false);
        };
        let mut writer = Watched {
            to: File::from_std(to.into()),
            activity,
        };
        match pump_output(self.agent.as_ref(), &self.process, stream, &mut writer).await {
            Ok(OutputEnd::Finished { .. }) => Ok(false),
            Ok(OutputEnd::ReaderLeft { .. }) => {
                for signal in [SIGPIPE, SIGTERM] {
                    let sent = self
                        .agent
                        .signal_process(&self.process, signal.unsigned_abs());
                    sent.await.during(failed)?;
                }
                self.discard(stream, writer.activity).await?;
                Ok(true)
            }
            Err(error) => Err(error).during(failed),
        }
    }

    async fn discard(
        &self,
        stream: OutputStream,
        activity: watch::Sender<Activity>,
    ) -> Result<(), Error> {
        let mut nowhere: Watched<Sink> = Watched {
            to: tokio::io::sink(),
            activity,
        };
        pump_output(self.agent.as_ref(), &self.process, stream, &mut nowhere)
            .await
            .map(drop)
            .during(|| format!("cannot read the output of process {}", self.process))
    }
}

/// Lets the outputs of an ended process finish; `None` when they were silent for too long.
async fn drain<T>(
    outputs: &mut Pin<&mut impl Future<Output = T>>,
    mut seen: watch::Receiver<Activity>,
) -> Option<T> {
    loop {
        // A slow reader is not silence.
        let writing = seen.borrow_and_update().writing;
        tokio::select! {
            biased;
            ends = &mut *outputs => return Some(ends),
            changed = seen.changed() => if changed.is_err() { return None },
            () = sleep(SILENCE), if !writing => return None,
        }
    }
}

/// What a process's output streams are doing.
#[derive(Debug, Clone, Copy, Default)]
struct Activity {
    /// Data arrived and is being handed on.
    writing: bool,
}

/// A writer that tells when it is at work.
#[derive(Debug)]
struct Watched<W> {
    to: W,
    activity: watch::Sender<Activity>,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Watched<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.activity.send_replace(Activity { writing: true });
        Pin::new(&mut self.to).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.to).poll_flush(task));
        self.activity.send_replace(Activity { writing: false });
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_shutdown(task)
    }
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

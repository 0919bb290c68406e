//! Requests to a running process: its streams, its signals, its end.

use virtcontainers_agent_proto::agent::{
    ReadStreamRequest, ReadStreamResponse, SignalProcessRequest, TtyWinResizeRequest,
    WaitProcessRequest, WriteStreamRequest, WriteStreamResponse,
};

use std::sync::Arc;

use crate::agent::Agent;
use crate::process::{Process, signal_number};
use crate::status::{Failure, Result};
use crate::stdio::Streams;

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Standard output, or the terminal.
    Output,
    /// Standard error; of a terminal there is none.
    Errors,
}

/// Signals a process. SIGKILL without an exec id ends all of the container, any other signal
/// without one goes to its init, which SIGTERM ends even if it has no handler for it.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container or signal, NOT_FOUND for an unknown process.
pub(crate) async fn signal(agent: &Agent, request: &SignalProcessRequest) -> Result<()> {
    let container = agent.containers.get(&request.container_id)?;
    let signal = signal_number(request.signal)?;
    if request.exec_id.is_empty() && signal == libc::SIGKILL {
        return Ok(agent.engine.kill_all(&container.id).await?);
    }
    let process = match container.process(&request.exec_id) {
        // It has ended, which the sender may not know yet.
        Err(_) if container.collected_status(&request.exec_id).is_some() => return Ok(()),
        found => found?,
    };
    if container.is_init(&request.exec_id) {
        return process.signal(process.effective_for_init(signal));
    }
    process.signal(signal)
}

/// Waits for a process to end and gives its status. The first completed wait forgets the process;
/// waits already under way then get the status too, and later ones that of an init. Cancel-safe: a
/// wait that is given up takes nothing with it.
///
/// # Errors
/// INVALID_ARGUMENT for an unknown container, NOT_FOUND for an unknown or forgotten process.
pub(crate) async fn wait(agent: &Agent, request: &WaitProcessRequest) -> Result<i32> {
    let container = agent.containers.get(&request.container_id)?;
    let process = match container.process(&request.exec_id) {
        Ok(process) => process,
        Err(failure) => return container.collected_status(&request.exec_id).ok_or(failure),
    };
    let status = process
        .exit
        .wait()
        .await
        .ok_or_else(|| Failure::internal("the status of the process is lost"))?;
    container.forget(&request.exec_id, &process);
    Ok(status)
}

fn process(agent: &Agent, container: &str, exec: &str) -> Result<Arc<Process>> {
    agent.containers.get(container)?.process(exec)
}

/// Writes all of the data; without data, closes standard input.
///
/// # Errors
/// As for [`process`](crate::containers::Container::process), FAILED_PRECONDITION when closed,
/// INTERNAL when the process does not read any more.
pub(crate) async fn write(
    agent: &Agent,
    request: &WriteStreamRequest,
) -> Result<WriteStreamResponse> {
    let process = process(agent, &request.container_id, &request.exec_id)?;
    match &process.streams {
        streams if request.data.is_empty() => close_streams(streams).await,
        Streams::Pipes { stdin, .. } => stdin.write(&request.data).await?,
        Streams::Terminal(terminal) => terminal.write(&request.data).await?,
    }
    let len = u32::try_from(request.data.len()).unwrap_or(u32::MAX);
    Ok(WriteStreamResponse {
        len,
        ..Default::default()
    })
}

/// Closes standard input. Twice is no error.
///
/// # Errors
/// As for [`process`](crate::containers::Container::process).
pub(crate) async fn close(agent: &Agent, container: &str, exec: &str) -> Result<()> {
    close_streams(&process(agent, container, exec)?.streams).await;
    Ok(())
}

async fn close_streams(streams: &Streams) {
    match streams {
        Streams::Pipes { stdin, .. } => stdin.close(),
        Streams::Terminal(terminal) => terminal.close_input().await,
    }
}

/// Waits for output and gives some of it; empty means the end. What a process has written can be
/// read after its status was collected too.
///
/// # Errors
/// As for [`readable`](crate::containers::Container::readable), INTERNAL when reading fails.
pub(crate) async fn read(
    agent: &Agent,
    request: &ReadStreamRequest,
    source: Source,
) -> Result<ReadStreamResponse> {
    let container = agent.containers.get(&request.container_id)?;
    let process = container.readable(&request.exec_id)?;
    let length = request.len as usize;
    let data = match (&process.streams, source) {
        _ if length == 0 => return Err(Failure::invalid("a read of 0 bytes")),
        (Streams::Pipes { stdout, .. }, Source::Output) => stdout.read(length).await?,
        (Streams::Pipes { stderr, .. }, Source::Errors) => stderr.read(length).await?,
        (Streams::Terminal(terminal), Source::Output) => {
            terminal.read(length, &process.exit).await?
        }
        (Streams::Terminal(_), Source::Errors) => Vec::new(),
    };
    if data.is_empty() {
        process.note_end(source);
        if process.is_drained() {
            container.release(&process);
        }
    }
    Ok(ReadStreamResponse {
        data,
        ..Default::default()
    })
}

/// Sets the size of a process's terminal.
///
/// # Errors
/// UNAVAILABLE when it has none, else as for
/// [`process`](crate::containers::Container::process).
pub(crate) fn resize(agent: &Agent, request: &TtyWinResizeRequest) -> Result<()> {
    let process = process(agent, &request.container_id, &request.exec_id)?;
    match &process.streams {
        Streams::Terminal(terminal) => terminal.resize(request.row, request.column),
        Streams::Pipes { .. } => Err(Failure::new(ttrpc::Code::UNAVAILABLE, "no tty")),
    }
}

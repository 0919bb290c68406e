//! Copying a process's streams between guest and host.
//!
//! One call is under way for each stream at any time, and its data is handed on before the next:
//! a slow reader on the host holds back the process in the guest, and no buffer grows.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::{Error, ErrorKind, Result};
use crate::port::AgentPort;
use crate::process::{OutputStream, ProcessRef};

/// How much is written in one call, in bytes: what a pipe holds (pipe(7)). Half of it made a third
/// less throughput.
const WRITE: u32 = 64 * 1024;

/// How much is asked for in one call, in bytes: our guest agent makes a pipe as large when its
/// writer is fast.
const READ: u32 = 256 * 1024;

/// End-of-file, as typed at a terminal (termios(3), `VEOF`).
const END_OF_FILE: u8 = 4;

/// How the copying of output ended, and how many bytes were handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputEnd {
    /// The stream ended: all of it was handed on and flushed.
    Finished {
        /// Bytes handed on.
        bytes: u64,
    },
    /// The writer was closed (a broken pipe). Nothing more is read, so that the process blocks
    /// when its pipe is full, as it would before a reader that pauses: the caller decides, and
    /// normally sends it SIGPIPE, as the kernel would have.
    ReaderLeft {
        /// Bytes handed on.
        bytes: u64,
    },
}

/// How the copying of input ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputEnd {
    /// The reader ended; the process was told.
    Finished,
    /// The process, or its end of the stream, is gone: nobody wants the rest.
    ProcessLeft,
}

/// Copies output of a process to `writer` until it ends.
///
/// Data that has arrived is written and flushed before more is asked for. Fails with `Gone` when
/// the connection ends, and with the kind of the writer's error when that is not a broken pipe.
/// Dropping the future may lose the data of the call under way.
pub async fn pump_output(
    agent: &dyn AgentPort,
    process: &ProcessRef,
    stream: OutputStream,
    writer: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<OutputEnd> {
    let mut bytes = 0;
    while let Some(data) = agent.read_output(process, stream, READ).await? {
        let written = async {
            writer.write_all(&data).await?;
            writer.flush().await
        };
        match written.await {
            Ok(()) => bytes += data.len() as u64,
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return Ok(OutputEnd::ReaderLeft { bytes });
            }
            Err(error) => return Err(Error::new("pump_output", error).of_process(process)),
        }
    }
    Ok(OutputEnd::Finished { bytes })
}

/// Copies `reader` to the standard input of a process until either ends.
///
/// At the reader's end the process's input is closed; one with a `terminal` gets the end-of-file
/// character instead, because closing would hang up. Fails with `Gone` when the connection ends,
/// and with the kind of the reader's error. Dropping the future is safe; what was read and not
/// yet sent is lost.
pub async fn pump_input(
    agent: &dyn AgentPort,
    process: &ProcessRef,
    terminal: bool,
    reader: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<InputEnd> {
    let mut buffer = Vec::with_capacity(WRITE as usize);
    loop {
        buffer.clear();
        let mut bounded = (&mut *reader).take(WRITE.into());
        let read = bounded.read_buf(&mut buffer).await;
        let read = read.map_err(|error| Error::new("pump_input", error).of_process(process))?;
        let sent = match (read, terminal) {
            (0, true) => agent.write_stdin(process, vec![END_OF_FILE]).await,
            (0, false) => agent.close_stdin(process).await,
            _ => agent.write_stdin(process, buffer.clone()).await,
        };
        match sent {
            Ok(()) if read == 0 => return Ok(InputEnd::Finished),
            Ok(()) => {}
            Err(error) if has_left(&error) => return Ok(InputEnd::ProcessLeft),
            Err(error) => return Err(error),
        }
    }
}

/// The agent's answer means that nobody reads any more. It has one code for a closed pipe and for
/// faults of its own.
fn has_left(error: &Error) -> bool {
    error.is_answer() && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Internal)
}

//! From an [`AgentEndpoint`] to a byte stream into the guest.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_vsock::{VsockAddr, VsockStream};
use virtcontainers_types::AgentEndpoint;

use crate::error::{Cause, Error, Result};
use crate::socket_path;

/// The longest answer to a `CONNECT` line, in bytes; a real one is `OK <port>`.
const MAX_ANSWER: usize = 64;

/// A connected byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static> ByteStream for S {}

/// Opens a stream to a port of the guest: the agent's own (`AGENT_PORT`), or kata-agent's log
/// (`LOG_PORT`, which accepts one connection in its life). One attempt; an endpoint of the kind
/// `Unix` has one port only, so `port` means nothing there.
///
/// With hybrid vsock a stream can be handed out although nobody listens in the guest: the machine
/// monitor may accept first and reset later. Only an answer of the agent proves the agent.
///
/// Fails with `Timeout` after `deadline`, `NotFound` when there is no socket, `Gone` when nobody
/// listens, `Corrupt` when the answer is not that of a hybrid vsock. Dropping the future is safe.
pub async fn open(
    endpoint: &AgentEndpoint,
    port: u32,
    deadline: Duration,
) -> Result<Box<dyn ByteStream>> {
    timeout(deadline, open_now(endpoint, port))
        .await
        .unwrap_or_else(|_| Err(Error::new("open", Cause::Deadline(deadline))))
}

async fn open_now(endpoint: &AgentEndpoint, port: u32) -> Result<Box<dyn ByteStream>> {
    match endpoint {
        AgentEndpoint::Vsock { cid } => {
            let stream = VsockStream::connect(VsockAddr::new(*cid, port)).await;
            let failed = |source| at(Path::new(&format!("vsock {cid}:{port}")), source);
            Ok(Box::new(stream.map_err(failed)?))
        }
        AgentEndpoint::HybridVsock { path } => {
            let failed = |source| at(path, source);
            let mut stream = socket_path::connect(path).await.map_err(failed)?;
            ask_for_port(&mut stream, port).await?;
            Ok(Box::new(stream))
        }
        AgentEndpoint::Unix { path } => {
            let failed = |source| at(path, source);
            Ok(Box::new(socket_path::connect(path).await.map_err(failed)?))
        }
    }
}

/// The handshake of hybrid vsock. The answer is read byte by byte, because what follows its line
/// already belongs to the agent.
async fn ask_for_port(stream: &mut UnixStream, port: u32) -> Result<()> {
    let lost = |source: io::Error| Error::new("open", source);
    let request = format!("CONNECT {port}\n");
    stream.write_all(request.as_bytes()).await.map_err(lost)?;
    let mut answer = Vec::new();
    loop {
        match stream.read_u8().await.map_err(lost)? {
            b'\n' => break,
            _ if answer.len() == MAX_ANSWER => {
                let reason = format!(
                    "the answer to {:?} is longer than {MAX_ANSWER} bytes",
                    request.trim()
                );
                return Err(Error::corrupt("open", reason));
            }
            byte => answer.push(byte),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    if answer.split_whitespace().next() == Some("OK") {
        return Ok(());
    }
    let reason = format!("the answer to {:?} is {answer:?}, not OK", request.trim());
    Err(Error::corrupt("open", reason))
}

fn at(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    Error::new("open", Cause::Socket { path, source })
}

//! The guest's first call: our agent connects to the host once, as soon as it listens, so that
//! the host need not ask again and again.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::UnixListener;
use tokio::time::{Instant, timeout_at};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};
use tracing::{debug, warn};
use virtcontainers_agent_proto::ANNOUNCE_PORT;
use virtcontainers_types::AgentEndpoint;

use crate::error::{Cause, Error, Result};
use crate::socket_path;

/// The longest line an announcement may have, in bytes; what it says is not trusted.
const MAX_LINE: usize = 128;
/// How long an announcement may take once it has connected.
const MAX_SILENCE: Duration = Duration::from_secs(2);

/// Waits for the announcement of one guest. Bind it before the machine starts.
#[derive(Debug)]
pub struct AnnounceListener {
    listener: Listener,
    port: u32,
    /// Removed with the listener.
    _socket: Option<OwnedSocket>,
}

#[derive(Debug)]
enum Listener {
    Hybrid(UnixListener),
    Vsock { listener: VsockListener, cid: u32 },
}

/// A socket file that goes with its owner.
#[derive(Debug)]
struct OwnedSocket(PathBuf);

impl Drop for OwnedSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            debug!(subsystem = "agent", %error, path = %self.0.display(), "socket stays");
        }
    }
}

impl AnnounceListener {
    /// Binds the socket on which the guest behind `endpoint` will announce itself.
    ///
    /// With hybrid vsock that is `<path>_1023`; a socket left there by a run that died is replaced.
    /// With vsock it is the port of the host with the number of the guest's context id, because
    /// all guests of a host share its ports. [`port`](Self::port) is to be told to the guest. An
    /// endpoint of the kind `Unix` has no announcement: `Unsupported`.
    ///
    /// Must be called within a tokio runtime.
    pub fn bind(endpoint: &AgentEndpoint) -> Result<Self> {
        match endpoint {
            AgentEndpoint::HybridVsock { path } => {
                let mut name = path.as_os_str().to_owned();
                name.push(format!("_{ANNOUNCE_PORT}"));
                let path = PathBuf::from(name);
                let listener = bind_replacing(&path).map_err(|source| {
                    let path = path.clone();
                    Error::new("announce", Cause::Socket { path, source })
                })?;
                Ok(Self {
                    listener: Listener::Hybrid(listener),
                    port: ANNOUNCE_PORT,
                    _socket: Some(OwnedSocket(path)),
                })
            }
            AgentEndpoint::Vsock { cid } => {
                let failed = |source: io::Error| Error::new("announce", source);
                let port = *cid;
                let address = VsockAddr::new(VMADDR_CID_ANY, port);
                let listener = VsockListener::bind(address).map_err(failed)?;
                Ok(Self {
                    listener: Listener::Vsock {
                        listener,
                        cid: *cid,
                    },
                    port,
                    _socket: None,
                })
            }
            AgentEndpoint::Unix { .. } => Err(Error::unsupported(
                "announce",
                "an agent on a unix socket does not announce itself; connect to it",
            )),
        }
    }

    /// The port on the host that the guest has to call.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Waits until the guest has announced itself; then its agent listens.
    ///
    /// Fails with `Gone` as soon as `give_up` completes (the machine ended) and with `Timeout`
    /// after `deadline`. Connections of other guests are closed and do not count. The listener is
    /// closed at the end. Dropping the future is safe.
    pub async fn wait(
        self,
        deadline: Duration,
        give_up: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        let end = Instant::now() + deadline;
        let announced = async {
            tokio::select! {
                biased;
                result = self.listener.announcement() => {
                    result.map_err(|source| Error::new("announce", source))
                }
                () = give_up => Err(Error::new("announce", Cause::GivenUp)),
            }
        };
        let late = |_| Err(Error::new("announce", Cause::Deadline(deadline)));
        timeout_at(end, announced).await.unwrap_or_else(late)
    }
}

impl Listener {
    async fn announcement(&self) -> io::Result<()> {
        match self {
            Self::Hybrid(listener) => {
                let (stream, _) = listener.accept().await?;
                read_line(stream).await;
                Ok(())
            }
            Self::Vsock { listener, cid } => loop {
                let (stream, peer) = listener.accept().await?;
                if peer.cid() == *cid {
                    read_line(stream).await;
                    return Ok(());
                }
                warn!(
                    subsystem = "agent",
                    from = peer.cid(),
                    "announcement of another guest"
                );
            },
        }
    }
}

/// Reads the line that the guest says, for the log only: that it called is the message.
async fn read_line(mut stream: impl AsyncRead + Unpin) {
    let mut line = Vec::with_capacity(MAX_LINE);
    let read = async {
        while line.len() < MAX_LINE && !line.contains(&b'\n') {
            match stream.read_buf(&mut line).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    let in_time = timeout_at(Instant::now() + MAX_SILENCE, read).await.is_ok();
    line.truncate(MAX_LINE);
    let said = String::from_utf8_lossy(&line)
        .trim_end()
        .escape_debug()
        .to_string();
    debug!(subsystem = "agent", said, in_time, "guest announced itself");
}

fn bind_replacing(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        Err(_) => {}
    }
    socket_path::bind(path)
}

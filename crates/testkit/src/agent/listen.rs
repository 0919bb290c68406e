//! How clients reach the fake: plain unix sockets, and such with the handshake of hybrid vsock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use ttrpc::r#async::Server;
use ttrpc::r#async::transport::Listener;
use virtcontainers_agent_proto::agent_ttrpc::create_agent_service;
use virtcontainers_agent_proto::health_ttrpc::create_health;
use virtcontainers_agent_proto::process_ttrpc::create_process_service;
use virtcontainers_agent_proto::{AGENT_PORT, ANNOUNCE_PORT};

use super::service::Service;
use super::{Flavor, Shared};

/// What a connection begins with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handshake {
    None,
    /// `CONNECT <port>`, answered with `OK <port>`.
    Connect,
}

pub(super) fn serve(shared: &Arc<Shared>, path: &Path, handshake: Handshake) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let weak = Arc::downgrade(shared);
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Some(shared) = weak.upgrade() else {
                return;
            };
            let inner = Arc::clone(&shared);
            shared.connections().spawn(async move {
                if let Some(stream) = shake_hands(stream, handshake).await {
                    converse(inner, stream).await;
                }
            });
        }
    };
    shared.connections().spawn(accept);
    Ok(())
}

pub(super) fn serve_one(shared: &Arc<Shared>, stream: UnixStream) {
    let inner = Arc::clone(shared);
    shared.connections().spawn(converse(inner, stream));
}

pub(super) async fn announce(socket: &Path) -> io::Result<()> {
    let mut path = socket.as_os_str().to_owned();
    path.push(format!("_{ANNOUNCE_PORT}"));
    let mut host = UnixStream::connect(PathBuf::from(path)).await?;
    host.write_all(b"ready\n").await
}

/// The answer of a vsock device; a wrong request is answered by closing.
async fn shake_hands(mut stream: UnixStream, handshake: Handshake) -> Option<UnixStream> {
    let Handshake::Connect = handshake else {
        return Some(stream);
    };
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.ok()? {
            b'\n' => break,
            byte => line.push(byte),
        }
        if line.len() > 32 {
            return None;
        }
    }
    let request = String::from_utf8(line).ok()?.to_ascii_uppercase();
    if request != format!("CONNECT {AGENT_PORT}") {
        return None;
    }
    stream.write_all(b"OK 1073741824\n").await.ok()?;
    Some(stream)
}

/// Serves one connection until either side closes it. The bytes go through a relay that ends when
/// this future is dropped, which is how the fake dies.
async fn converse(shared: Arc<Shared>, mut outside: UnixStream) {
    let Ok((inside, mut relay)) = UnixStream::pair() else {
        return;
    };
    let hang_up = Arc::new(Notify::new());
    let health = create_health(Arc::new(Service::new(
        Arc::clone(&shared),
        Arc::clone(&hang_up),
    )));
    let flavor = shared.model().flavor;
    let service = Arc::new(Service::new(shared, Arc::clone(&hang_up)));
    let agent = create_agent_service(Arc::clone(&service) as _);
    let streams = futures_util::stream::iter([Ok(inside)]);
    let mut server = Server::new()
        .add_listener(Listener::new(streams))
        .register_service(health)
        .register_service(agent);
    if flavor == Flavor::Exact {
        server = server.register_service(create_process_service(service));
    }
    if server.start().await.is_ok() {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut outside, &mut relay) => {}
            () = hang_up.notified() => {}
        }
    }
}

//! The first call to the host: "the agent listens", so that nobody over there has to poll.

use std::io::{self, Write as _};
use std::time::Duration;

use vsock::{VMADDR_CID_HOST, VsockStream};

/// Longest that the line may take to be taken.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pauses between attempts. Once in some hundred starts `vhost-device-vsock` 0.3 does not look at a
/// call, and the kernel gives it up after 2 s.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// Connects to the host's vsock `port`, writes one line, closes; tries again if that fails. In the
/// end failure is only logged: a host that did not ask is free not to listen.
pub(crate) async fn announce(port: u32) {
    let pauses = PAUSES.into_iter().map(Some).chain([None]);
    for pause in pauses {
        let called = tokio::task::spawn_blocking(move || call(port)).await;
        match called.map_err(io::Error::other).flatten() {
            Ok(()) => return,
            Err(error) => log::info!("announce on host port {port}: {error}"),
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Blocks for as long as the kernel waits for an answer, at most 2 s.
fn call(port: u32) -> io::Result<()> {
    let mut host = VsockStream::connect_with_cid_port(VMADDR_CID_HOST, port)?;
    host.set_write_timeout(Some(PATIENCE))?;
    host.write_all(concat!("vc-guest-agent ", env!("CARGO_PKG_VERSION"), "\n").as_bytes())?;
    host.shutdown(std::net::Shutdown::Both)
}

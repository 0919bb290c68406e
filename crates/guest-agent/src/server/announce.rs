//! The first call to the host: "the agent listens", so that nobody over there has to poll.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio_vsock::{VMADDR_CID_HOST, VsockAddr, VsockStream};

/// Longest that the call may take; a host that does not listen must not keep a task alive.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to the host's vsock `port`, writes one line, closes. Failure is only logged: a host
/// that did not ask is free not to listen.
pub(crate) async fn announce(port: u32) {
    let call = async {
        let mut host = VsockStream::connect(VsockAddr::new(VMADDR_CID_HOST, port)).await?;
        host.write_all(concat!("vc-guest-agent ", env!("CARGO_PKG_VERSION"), "\n").as_bytes())
            .await?;
        host.shutdown(std::net::Shutdown::Both)
    };
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::info!("announce on host port {port}: {error}"),
        Err(_) => log::info!("announce on host port {port}: no answer"),
    }
}

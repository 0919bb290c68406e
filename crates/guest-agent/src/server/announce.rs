//! The first call to the host: "the agent listens", so that nobody over there has to poll.

use std::io::{self, Write as _};
use std::time::Duration;

use vsock::{VMADDR_CID_HOST, VsockStream};

/// Longest that the line may take to be taken.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connects to the host's vsock `port`, writes one line, closes. Failure is only logged: a host
/// that did not ask is free not to listen.
///
/// Blocks: the answer is immediate from a host that listens and from one that refuses, and the
/// kernel gives up after 2 s (af_vsock's connect time-out). Nobody has called the agent by then.
pub(crate) fn announce(port: u32) {
    if let Err(error) = call(port) {
        log::info!("announce on host port {port}: {error}");
    }
}

fn call(port: u32) -> io::Result<()> {
    let mut host = VsockStream::connect_with_cid_port(VMADDR_CID_HOST, port)?;
    host.set_write_timeout(Some(PATIENCE))?;
    host.write_all(concat!("vc-guest-agent ", env!("CARGO_PKG_VERSION"), "\n").as_bytes())?;
    host.shutdown(std::net::Shutdown::Both)
}

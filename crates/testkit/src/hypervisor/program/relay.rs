//! The way to the agent inside a fake machine. It leads through here so that the guest of a machine
//! that is halted is silent, and so that violations are written down before their caller knows.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use super::Inside;
use crate::hypervisor::Power;

const CHUNK: usize = 64 * 1024;

/// Takes connections until the machine ends.
pub(super) async fn serve(listener: UnixListener, machine: Arc<Inside>) {
    while let Ok((outside, _)) = listener.accept().await {
        let Ok((inside, agent)) = UnixStream::pair() else {
            return;
        };
        machine.agent.serve_stream(agent);
        tokio::spawn(carry(outside, inside, Arc::clone(&machine)));
    }
}

/// Carries one connection until either side has closed it.
async fn carry(outside: UnixStream, inside: UnixStream, machine: Arc<Inside>) {
    let (from_client, to_client) = outside.into_split();
    let (from_agent, to_agent) = inside.into_split();
    tokio::select! {
        () = pump(from_client, to_agent, &machine) => {}
        () = pump(from_agent, to_client, &machine) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, machine: &Inside) {
    let mut chunk = vec![0; CHUNK];
    let mut power = machine.power.subscribe();
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        if let Err(error) = machine.report() {
            eprintln!("vc-fake-machine: cannot report a violation: {error}");
            return;
        }
        let runs = power.wait_for(|power| *power == Power::Running).await;
        if runs.map(drop).is_err() || to.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}

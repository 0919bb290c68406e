//! The debug shell, only for those who asked for it on the kernel command line.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

use crate::reaper::{Exit, Reaper};
use crate::status::{Doing as _, Failure, Result};
use crate::stdio::Terminal;
use crate::sys;

/// Where a shell may be, the first that exists is taken.
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// Serves shells: one per connection on a vsock port, or, with port 0, one on the console.
pub(crate) async fn serve(reaper: Reaper, port: u32) {
    let result = if port == 0 {
        on_console(&reaper)
    } else {
        on_port(reaper, port).await
    };
    if let Err(failure) = result {
        log::warn!("debug console: {failure}");
    }
}

fn on_console(reaper: &Reaper) -> Result<()> {
    let console = File::options()
        .read(true)
        .write(true)
        .open("/dev/console")
        .doing(|| "open /dev/console".to_owned())?;
    start(reaper, console.into()).map(drop)
}

async fn on_port(reaper: Reaper, port: u32) -> Result<()> {
    let listener = VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port))
        .doing(|| format!("listen on vsock port {port}"))?;
    loop {
        let (peer, _) = listener
            .accept()
            .await
            .doing(|| format!("accept on vsock port {port}"))?;
        let reaper = reaper.clone();
        tokio::spawn(async move {
            if let Err(failure) = session(&reaper, peer).await {
                log::warn!("debug console: {failure}");
            }
        });
    }
}

/// A shell on a terminal of its own, for one connection.
async fn session(reaper: &Reaper, mut peer: VsockStream) -> Result<()> {
    let (master, slave) = sys::open_terminal().doing(|| "open a terminal".to_owned())?;
    let exit = start(reaper, slave)?;
    let terminal = Terminal::new(master)?;
    let mut typed = [0u8; 4096];
    loop {
        tokio::select! {
            output = terminal.read(4096, &exit) => {
                let output = output?;
                if output.is_empty() || peer.write_all(&output).await.is_err() {
                    return Ok(());
                }
            }
            count = peer.read(&mut typed) => match count {
                Ok(count @ 1..) => terminal.write(typed.get(..count).unwrap_or_default()).await?,
                _ => return Ok(()),
            },
        }
    }
}

fn start(reaper: &Reaper, terminal: OwnedFd) -> Result<Exit> {
    let shell = SHELLS
        .into_iter()
        .find(|path| Path::new(path).exists())
        .ok_or_else(|| Failure::not_found("no shell in the guest"))?;
    let copy = || terminal.as_fd().try_clone_to_owned().map(Stdio::from);
    let what = || format!("run {shell}");
    #[expect(
        clippy::disallowed_methods,
        reason = "the guest agent reaps for itself and does not use the host's process crate"
    )]
    let mut command = Command::new(shell);
    command
        .arg("-i")
        .env("PATH", "/bin:/sbin:/usr/bin:/usr/sbin")
        .env("TERM", "vt100");
    command
        .stdin(copy().doing(what)?)
        .stdout(copy().doing(what)?)
        .stderr(copy().doing(what)?);
    sys::with_terminal_session(&mut command);
    let spawning = reaper.spawning();
    let child = command.spawn().doing(what)?;
    let exit = reaper.watch(child.id().cast_signed());
    drop(spawning);
    Ok(exit)
}

//! The carrier of the guest's vsock, made ready before QEMU is started.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use virtcontainers_hypervisor::{Error, ErrorKind};
use virtcontainers_process::Launcher;
use virtcontainers_types::{AgentEndpoint, SandboxId};

use crate::choice::Vsock;
use crate::error::{of_exit, of_system};
use crate::names::{HYBRID_SOCKET, VHOST_SOCKET, VSOCK_HELPER};
use crate::program::{Program, Setting};
use crate::readiness::NewFiles;
use crate::sys;

/// The guest's context id behind a helper. It means something only between the two, so all guests
/// have the same: the first that is not reserved (vsock(7)).
const HELPER_CID: u32 = 3;

impl Vsock {
    /// Where the guest's agent will answer.
    pub(crate) fn endpoint(&self, directory: &Path) -> AgentEndpoint {
        match self {
            Self::Vhost { cid } => AgentEndpoint::Vsock { cid: *cid },
            Self::VhostUser { .. } => AgentEndpoint::HybridVsock {
                path: directory.join(HYBRID_SOCKET),
            },
        }
    }
}

/// The context id of a sandbox's guest in the host's kernel: known before the machine is made, and
/// spread (FNV-1a, 32 bit) so that two sandboxes hardly ever want the same.
pub(crate) fn context_id(sandbox: &SandboxId) -> u32 {
    const BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    /// 0 to 2 are reserved (vsock(7)).
    const FIRST: u32 = 3;
    /// Below the sign bit, which some programs read as such, and below "any".
    const COUNT: u32 = 0x7fff_ffff - FIRST;
    let add = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(PRIME);
    FIRST + sandbox.as_str().as_bytes().iter().fold(BASIS, add) % COUNT
}

/// Takes a context id from the kernel; it is held by the descriptor.
pub(crate) fn open_vhost(cid: u32) -> Result<OwnedFd, Error> {
    let node = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/vhost-vsock")
        .map_err(|error| of_system("cannot open /dev/vhost-vsock", error))?;
    sys::set_guest_cid(&node, cid).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let message = format!(
                "vsock context id {cid} is taken by another virtual machine: choose another \
                 sandbox id, or set vsock = \"vhost-user\""
            );
            Error::new(ErrorKind::Busy, message).with_source(error)
        }
        _ => of_system(format!("cannot take vsock context id {cid}"), error),
    })?;
    Ok(node.into())
}

/// Starts the helper and returns when QEMU can connect to it. Dropping the future ends the helper.
pub(crate) async fn start_helper(
    program: &Path,
    setting: &Setting<'_>,
    network_namespace: Option<OwnedFd>,
    deadline: Duration,
) -> Result<Program, Error> {
    let watching = |error| of_system("cannot watch the machine's directory", error);
    let new_files = NewFiles::watch(setting.directory).map_err(watching)?;
    let machine = format!("guest-cid={HELPER_CID},uds-path={HYBRID_SOCKET},socket={VHOST_SOCKET}");
    let mut launcher = Launcher::new(PathBuf::from(program)).args(["--vm", &machine]);
    if let Some(namespace) = network_namespace {
        launcher = launcher.network_namespace(namespace);
    }
    let helper = setting.start(VSOCK_HELPER, launcher)?;
    let pid = helper.identity().pid;
    let listening = new_files.until_listening(setting.directory, VHOST_SOCKET, pid);
    tokio::select! {
        biased;
        exit = helper.ended() => Err(of_exit("start the machine's vsock helper", &exit)),
        ready = tokio::time::timeout(deadline, listening) => match ready {
            Ok(Ok(())) => Ok(helper),
            Ok(Err(error)) => Err(watching(error)),
            Err(_elapsed) => {
                let message = format!(
                    "{VSOCK_HELPER} does not listen after {} ms: raise the deadlines' factor if \
                     the host is busy",
                    deadline.as_millis()
                );
                Err(Error::new(ErrorKind::Timeout, message))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_ids_are_stable_and_never_reserved() {
        let id = |text: &str| context_id(&SandboxId::new(text).expect("a good id"));
        assert_eq!(id("web-1"), id("web-1"));
        assert_ne!(id("web-1"), id("web-2"));
        for number in 0..1000 {
            let cid = id(&format!("s{number}"));
            assert!((3..0x7fff_ffff).contains(&cid), "{cid}");
        }
    }
}

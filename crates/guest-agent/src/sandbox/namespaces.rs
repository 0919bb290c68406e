//! The IPC and UTS namespaces that all containers of a sandbox share.
//!
//! A namespace lives as long as something refers to it; here that is a bind mount of its handle,
//! made by the short-lived thread that entered it.

use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use crate::status::{Doing as _, Failure, Result};
use crate::sys;

/// The handles, as paths that setns(2) takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Namespaces {
    pub(super) ipc: PathBuf,
    pub(super) uts: PathBuf,
}

/// Stack of the thread, which makes a few system calls.
const STACK: usize = 64 * 1024;

/// Longest host name of Linux.
const LONGEST_NAME: usize = 64;

impl Namespaces {
    /// Makes both in `folder` and names the host.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a name that is too long, INTERNAL when a step fails.
    pub(super) fn make(folder: &Path, hostname: &str) -> Result<Self> {
        if hostname.len() > LONGEST_NAME || hostname.contains('\0') {
            return Err(Failure::invalid(format!(
                "host name {hostname:?} is not one"
            )));
        }
        std::fs::create_dir_all(folder).doing(|| format!("create {}", folder.display()))?;
        let made = Self {
            ipc: folder.join("ipc"),
            uts: folder.join("uts"),
        };
        for handle in [&made.ipc, &made.uts] {
            std::fs::write(handle, "").doing(|| format!("create {}", handle.display()))?;
        }
        let (inside, name) = (made.clone(), hostname.to_owned());
        let thread = std::thread::Builder::new()
            .name("namespaces".to_owned())
            .stack_size(STACK)
            .spawn(move || enter_and_bind(&inside, &name))
            .doing(|| "start a thread".to_owned())?;
        let entered = thread
            .join()
            .unwrap_or_else(|_| Err(Failure::internal("the thread for namespaces failed")));
        if let Err(failure) = entered {
            made.unmake();
            return Err(failure.within("shared namespaces"));
        }
        Ok(made)
    }

    /// Lets go of both. Those who are inside keep them.
    pub(super) fn unmake(&self) {
        for handle in [&self.ipc, &self.uts] {
            match rustix::mount::unmount(handle, UnmountFlags::DETACH) {
                Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
                Err(errno) => log::warn!("unmount {}: {errno}", handle.display()),
            }
        }
    }
}

fn enter_and_bind(handles: &Namespaces, hostname: &str) -> Result<()> {
    sys::unshare_ipc_and_uts().doing(|| "unshare".to_owned())?;
    if !hostname.is_empty() {
        rustix::system::sethostname(hostname.as_bytes())
            .doing(|| "set the host name".to_owned())?;
    }
    for (name, handle) in [("ipc", &handles.ipc), ("uts", &handles.uts)] {
        rustix::mount::mount_bind(format!("/proc/thread-self/ns/{name}"), handle)
            .doing(|| format!("bind the {name} namespace on {}", handle.display()))?;
    }
    Ok(())
}

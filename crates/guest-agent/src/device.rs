//! Devices that the host names by address: found in sysfs, or awaited.
//!
//! The tree is looked at first, so a device that was there at boot is found as well as one that is
//! plugged in later; then again at every event of the kernel until the time is up.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent::Agent;
use crate::descriptor::asynchronous;
use crate::status::{Doing as _, Failure, Result};
use crate::sys;

mod address;
pub(crate) mod patch;

pub(crate) use address::PciPath;

/// What PCI calls network devices of virtio: as of version 1, and before.
const NETWORK_IDS: [&str; 2] = ["0x1041", "0x1000"];

/// A block device of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Its node below `/dev`.
    pub(crate) node: PathBuf,
    /// Device number.
    pub(crate) major: u32,
    /// Device number.
    pub(crate) minor: u32,
}

/// Finds the block device that `source` means to `driver`, waiting up to the hotplug time-out.
///
/// # Errors
/// INVALID_ARGUMENT for an address that is none, INTERNAL when the device does not appear.
pub(crate) async fn find(agent: &Agent, driver: &str, source: &str) -> Result<Block> {
    if source.starts_with("/dev/") {
        let node = PathBuf::from(source);
        return wait_for(agent.config.hotplug_timeout, source, || at_node(&node)).await;
    }
    match driver {
        "blk" => {
            let path: PciPath = source.parse()?;
            wait_for(agent.config.hotplug_timeout, source, || {
                block_below(&path.sysfs(Path::new("/sys"))?)
            })
            .await
        }
        "scsi" => {
            let target = address::ScsiTarget::parse(source)?;
            rescan_scsi(&target);
            wait_for(agent.config.hotplug_timeout, source, || {
                block_below(&target.sysfs(Path::new("/sys"))?)
            })
            .await
        }
        _ => Err(Failure::invalid(format!(
            "{driver}: {source:?} is not a path below /dev"
        ))),
    }
}

/// Finds the network interface of a PCI function, waiting up to the hotplug time-out. Gives its
/// index, which stays the same when somebody renames it.
///
/// # Errors
/// INTERNAL when it does not appear; the path is named.
pub(crate) async fn find_interface(agent: &Agent, path: &PciPath) -> Result<u32> {
    let what = format!("a network interface at the PCI path {path}");
    let sys = Path::new("/sys");
    wait_for(agent.config.hotplug_timeout, &what, || {
        interface_below(&path.sysfs(sys)?)
    })
    .await
}

/// Whether the machine has a virtio network device (virtio 1.2, 4.1.2: device type 1).
pub(crate) fn has_network_device(sys: &Path) -> bool {
    let devices = std::fs::read_dir(sys.join("bus/pci/devices"));
    let is_one = |entry: std::fs::DirEntry| {
        let read = |name| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        read("vendor").trim() == "0x1af4" && NETWORK_IDS.contains(&read("device").trim())
    };
    devices.is_ok_and(|entries| entries.flatten().any(is_one))
}

/// Scans now and at every device event until something is found or the time is up.
///
/// # Errors
/// INTERNAL when the time is up.
pub(crate) async fn wait_for<T>(
    patience: Duration,
    what: &str,
    scan: impl Fn() -> Option<T>,
) -> Result<T> {
    if let Some(found) = scan() {
        return Ok(found);
    }
    let listen = || "listen for devices".to_owned();
    let events = asynchronous(sys::uevent_socket().doing(listen)?)?;
    let search = async {
        loop {
            // After the socket is open: what appeared before is seen here, later ones wake us.
            if let Some(found) = scan() {
                return Ok(found);
            }
            let mut ready = events.readable().await.doing(listen)?;
            let mut ignored = [0u8; 4096];
            while rustix::io::read(&events, &mut ignored[..]).is_ok() {}
            ready.clear_ready();
        }
    };
    tokio::time::timeout(patience, search)
        .await
        .unwrap_or_else(|_| {
            Err(Failure::internal(format!(
                "{what} did not appear within {} s",
                patience.as_secs()
            )))
        })
}

fn at_node(node: &Path) -> Option<Block> {
    let data = std::fs::metadata(node)
        .ok()
        .filter(|data| data.file_type().is_block_device())?;
    let number = data.rdev();
    Some(Block {
        node: node.to_owned(),
        major: rustix::fs::major(number),
        minor: rustix::fs::minor(number),
    })
}

/// The whole disk at or one level below a device's folder: `…/virtioN/block/vda`.
fn block_below(device: &Path) -> Option<Block> {
    std::iter::once(device.to_owned())
        .chain(children(device))
        .flat_map(|folder| children(&folder.join("block")))
        .find_map(|disk| {
            let number = std::fs::read_to_string(disk.join("dev")).ok()?;
            let (major, minor) = number.trim().split_once(':')?;
            let node = Path::new("/dev").join(disk.file_name()?);
            Some(Block {
                node,
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
            })
        })
}

/// The interface at or one level below a device's folder: `…/virtioN/net/eth0`.
fn interface_below(device: &Path) -> Option<u32> {
    std::iter::once(device.to_owned())
        .chain(children(device))
        .flat_map(|folder| children(&folder.join("net")))
        .find_map(|link| {
            let index = std::fs::read_to_string(link.join("ifindex")).ok()?;
            index.trim().parse().ok()
        })
}

/// The entries of a folder, sorted; none when it is not there.
pub(crate) fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Asks every SCSI host to look for the disk.
fn rescan_scsi(target: &address::ScsiTarget) {
    for host in children(Path::new("/sys/class/scsi_host")) {
        if let Err(error) = std::fs::write(host.join("scan"), target.scan_line()) {
            log::debug!("scan {}: {error}", host.display());
        }
    }
}

#[cfg(test)]
mod tests;

//! The descriptors by which a machine reads and writes the frames of its interfaces.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::thread::apart;
use crate::{Error, sys};

/// Where taps are made.
const TUN: &str = "/dev/net/tun";
/// The kernel's data path for virtio network devices.
const VHOST: &str = "/dev/vhost-net";

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map(OwnedFd::from)
}

/// Makes a tap in the calling thread's namespace, one descriptor for each queue. It goes when all of
/// them are closed. Error: `EBUSY` when the name is taken.
pub(crate) fn make_tap(name: &str, queues: u16) -> io::Result<Vec<OwnedFd>> {
    let mut descriptors = Vec::new();
    for queue in 0..queues {
        let descriptor = open(Path::new(TUN))?;
        sys::set_tap(&descriptor, name, queues > 1, queue == 0)?;
        descriptors.push(descriptor);
    }
    Ok(descriptors)
}

/// Opens a macvtap of the calling thread's namespace, one descriptor for each queue.
///
/// Its device is `/dev/tapN`, N the link's index: the same file for two links in two namespaces. So
/// the device's numbers are read from a sysfs of this namespace, and the file is made where nobody
/// else sees it.
pub(crate) fn open_macvtap(name: &str, queues: u16) -> Result<Vec<OwnedFd>, Error> {
    let failed = |source| Error::link("open the macvtap", name, source);
    apart("vc-macvtap", || {
        sys::unshare_mounts().map_err(failed)?;
        let descriptors = open_privately(name, queues).map_err(failed)?;
        for descriptor in &descriptors {
            sys::set_macvtap(descriptor, queues > 1).map_err(failed)?;
        }
        Ok(descriptors)
    })
}

/// Runs in a mount namespace that ends with the thread.
fn open_privately(name: &str, queues: u16) -> io::Result<Vec<OwnedFd>> {
    let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", all)?;
    rustix::mount::mount("sysfs", "/sys", "sysfs", MountFlags::RDONLY, None)?;
    let device = device_number(&Path::new("/sys/class/net").join(name))?;
    rustix::mount::mount("tmpfs", "/dev", "tmpfs", MountFlags::empty(), None)?;
    let file = Path::new("/dev/tap");
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        file,
        FileType::CharacterDevice,
        mode,
        device,
    )?;
    (0..queues).map(|_| open(file)).collect()
}

/// The number of the device of a macvtap, from its folder in sysfs: `tapN/dev` holds `246:1`.
fn device_number(folder: &Path) -> io::Result<u64> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b"tap") {
            continue;
        }
        let text = fs::read_to_string(entry.path().join("dev"))?;
        let numbers = text.trim().split_once(':');
        let numbers = numbers.and_then(|(major, minor)| {
            Some(rustix::fs::makedev(
                major.parse().ok()?,
                minor.parse().ok()?,
            ))
        });
        return numbers.ok_or_else(|| io::ErrorKind::InvalidData.into());
    }
    Err(io::ErrorKind::NotFound.into())
}

/// One descriptor of vhost-net for each queue; none where the host does not have it.
pub(crate) fn open_vhost(queues: u16) -> Result<Vec<OwnedFd>, Error> {
    let path = Path::new(VHOST);
    let mut descriptors = Vec::new();
    for _ in 0..queues {
        match open(path) {
            Ok(descriptor) => descriptors.push(descriptor),
            // Without it the machine moves the frames itself.
            Err(error) if is_absent(&error) && descriptors.is_empty() => {
                tracing::debug!(%error, "vhost-net is not used");
                return Ok(Vec::new());
            }
            Err(source) => return Err(Error::system("open", path, source)),
        }
    }
    Ok(descriptors)
}

fn is_absent(error: &io::Error) -> bool {
    let absent = [
        libc::ENOENT,
        libc::ENXIO,
        libc::ENODEV,
        libc::EACCES,
        libc::EPERM,
    ];
    error
        .raw_os_error()
        .is_some_and(|number| absent.contains(&number))
}

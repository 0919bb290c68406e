//! Device nodes of a container.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use serde::{Deserialize, Serialize};

use super::absolute;
use crate::container::error::{EngineError, Result};

/// Largest numbers that the kernel's 32-bit device numbers hold.
const MOST_MAJOR: u32 = (1 << 12) - 1;
const MOST_MINOR: u32 = (1 << 20) - 1;

/// One node to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodePlan {
    /// Where, in the container.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) kind: NodeKind,
    /// Device numbers.
    pub(crate) major: u32,
    /// See [`Self::major`].
    pub(crate) minor: u32,
    /// Permissions.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

/// Kinds of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NodeKind {
    /// Block device.
    Block,
    /// Character device.
    Char,
    /// Named pipe.
    Fifo,
}

impl NodePlan {
    /// A character device that everybody may use.
    pub(crate) fn public(path: &str, major: u32, minor: u32) -> Self {
        let path = PathBuf::from(path);
        Self {
            path,
            kind: NodeKind::Char,
            major,
            minor,
            mode: 0o666,
            uid: 0,
            gid: 0,
        }
    }
}

pub(super) fn nodes(devices: &[LinuxDevice]) -> Result<Vec<NodePlan>> {
    devices.iter().map(node).collect()
}

fn node(device: &LinuxDevice) -> Result<NodePlan> {
    let path = absolute("linux.devices", device.path())?;
    let kind = match device.typ() {
        LinuxDeviceType::B => NodeKind::Block,
        LinuxDeviceType::C | LinuxDeviceType::U => NodeKind::Char,
        LinuxDeviceType::P => NodeKind::Fifo,
        LinuxDeviceType::A => {
            return Err(EngineError::invalid(format!(
                "linux.devices: {} cannot be of type \"a\"",
                path.display()
            )));
        }
    };
    let number = |value: i64, most: u32| {
        u32::try_from(value)
            .ok()
            .filter(|value| *value <= most || kind == NodeKind::Fifo)
    };
    let (Some(major), Some(minor)) = (
        number(device.major(), MOST_MAJOR),
        number(device.minor(), MOST_MINOR),
    ) else {
        return Err(EngineError::invalid(format!(
            "linux.devices: {} cannot have the numbers {}:{}",
            path.display(),
            device.major(),
            device.minor()
        )));
    };
    Ok(NodePlan {
        path,
        kind,
        major,
        minor,
        // The upper bits tell the kind, which has a field of its own; 0 is "not given".
        mode: device
            .file_mode()
            .map(|mode| mode & 0o7777)
            .filter(|m| *m != 0)
            .unwrap_or(0o666),
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

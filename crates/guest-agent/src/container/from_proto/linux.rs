//! The Linux part: namespaces, devices, paths. Mappings of ids belong to user namespaces, which
//! the plan refuses.

use std::path::PathBuf;

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;

use super::{resources, seccomp, text};
use crate::container::error::{EngineError, Result};

pub(super) fn linux(linux: &wire::Linux) -> Result<oci::Linux> {
    let mut read = oci::Linux::default();
    read.set_sysctl(Some(linux.Sysctl.clone().into_iter().collect()));
    read.set_resources(linux.Resources.as_ref().map(resources).transpose()?);
    read.set_cgroups_path(text(&linux.CgroupsPath).map(PathBuf::from));
    read.set_namespaces(Some(
        linux
            .Namespaces
            .iter()
            .map(namespace)
            .collect::<Result<_>>()?,
    ));
    read.set_devices(Some(
        linux.Devices.iter().map(device).collect::<Result<_>>()?,
    ));
    read.set_seccomp(linux.Seccomp.as_ref().map(seccomp::seccomp).transpose()?);
    read.set_rootfs_propagation(text(&linux.RootfsPropagation));
    read.set_masked_paths(Some(linux.MaskedPaths.clone()));
    read.set_readonly_paths(Some(linux.ReadonlyPaths.clone()));
    read.set_mount_label(text(&linux.MountLabel));
    Ok(read)
}

/// Clients differ in the words: some write what the kernel calls the namespace.
fn namespace(namespace: &wire::LinuxNamespace) -> Result<oci::LinuxNamespace> {
    let word = match namespace.Type.as_str() {
        "mnt" => "mount",
        "net" => "network",
        other => other,
    };
    let kind = oci::LinuxNamespaceType::try_from(word)
        .map_err(|_| EngineError::invalid(format!("linux.namespaces: {word:?} does not exist")))?;
    let mut read = oci::LinuxNamespace::default();
    read.set_typ(kind);
    read.set_path(text(&namespace.Path).map(PathBuf::from));
    Ok(read)
}

fn device(device: &wire::LinuxDevice) -> Result<oci::LinuxDevice> {
    let mut read = oci::LinuxDevice::default();
    read.set_path(PathBuf::from(&device.Path));
    read.set_typ(device_type("linux.devices", &device.Type)?);
    read.set_major(device.Major);
    read.set_minor(device.Minor);
    read.set_file_mode(Some(device.FileMode).filter(|mode| *mode != 0));
    read.set_uid(Some(device.UID));
    read.set_gid(Some(device.GID));
    Ok(read)
}

pub(super) fn device_type(property: &str, word: &str) -> Result<oci::LinuxDeviceType> {
    Ok(match word {
        "a" => oci::LinuxDeviceType::A,
        "b" => oci::LinuxDeviceType::B,
        "c" => oci::LinuxDeviceType::C,
        "u" => oci::LinuxDeviceType::U,
        "p" => oci::LinuxDeviceType::P,
        other => {
            return Err(EngineError::invalid(format!(
                "{property}: {other:?} is not a kind of device"
            )));
        }
    })
}

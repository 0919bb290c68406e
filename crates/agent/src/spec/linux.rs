//! The Linux part: namespaces, devices, paths, user mappings.

use oci_spec::runtime::{self as oci, LinuxNamespaceType as Kind};
use virtcontainers_agent_proto::oci as wire;

use super::resources::resources;
use super::{NO_FIELD, Notes, OF_HOST, Target, seccomp};
use crate::error::Result;

pub(super) fn linux(
    linux: &oci::Linux,
    target: &Target<'_>,
    notes: &mut Notes,
) -> Result<wire::Linux> {
    note_left_out(linux, notes);
    let limits = linux.resources().clone().unwrap_or_default();
    let (limits, left_out) = resources(&limits, target.dialect);
    notes.0.extend(left_out);
    let filter = match linux.seccomp() {
        Some(filter) if target.seccomp => {
            let filter = seccomp::filter(filter, notes);
            Some(filter.map_err(|error| error.of_container(target.id.as_str()))?)
        }
        Some(_) => {
            notes.add_if(
                true,
                "linux.seccomp",
                "the guest's agent cannot apply filters",
            );
            None
        }
        None => None,
    };
    Ok(wire::Linux {
        UIDMappings: linux.uid_mappings().iter().flatten().map(mapping).collect(),
        GIDMappings: linux.gid_mappings().iter().flatten().map(mapping).collect(),
        Sysctl: linux
            .sysctl()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect(),
        // Always there: without it the container is in no cgroup, and cannot be killed whole.
        Resources: Some(limits).into(),
        CgroupsPath: format!("/{}", target.id),
        Namespaces: namespaces(linux),
        Devices: devices(linux, notes),
        Seccomp: filter.into(),
        RootfsPropagation: linux.rootfs_propagation().clone().unwrap_or_default(),
        MaskedPaths: linux.masked_paths().clone().unwrap_or_default(),
        ReadonlyPaths: linux.readonly_paths().clone().unwrap_or_default(),
        ..Default::default()
    })
}

/// A pid namespace with a path belongs to another container of the pod.
pub(super) fn shares_pids(linux: &oci::Linux) -> bool {
    let mut all = linux.namespaces().iter().flatten();
    all.any(|namespace| namespace.typ() == Kind::Pid && namespace.path().is_some())
}

/// Those that the guest makes for the container, without the host's paths. Pid, network and time
/// are never sent, mount, ipc and uts always: the agent needs them.
fn namespaces(linux: &oci::Linux) -> Vec<wire::LinuxNamespace> {
    let mut words = vec!["mount", "ipc", "uts"];
    for namespace in linux.namespaces().iter().flatten() {
        let word = match namespace.typ() {
            Kind::Cgroup => "cgroup",
            Kind::User => "user",
            _ => continue,
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let namespace = |word: &str| wire::LinuxNamespace {
        Type: word.to_owned(),
        ..Default::default()
    };
    words.into_iter().map(namespace).collect()
}

fn devices(linux: &oci::Linux, notes: &mut Notes) -> Vec<wire::LinuxDevice> {
    let all = || linux.devices().iter().flatten();
    let is_vfio = |device: &&oci::LinuxDevice| device.path().starts_with("/dev/vfio");
    let is_block = |device: &&oci::LinuxDevice| device.typ() == oci::LinuxDeviceType::B;
    notes.add_if(
        all().any(|d| is_vfio(&d)),
        "linux.devices of /dev/vfio",
        OF_HOST,
    );
    // In the guest the numbers are those of its own disks, its root file system among them.
    notes.add_if(
        all().any(|d| is_block(&d)),
        "linux.devices of type b",
        OF_HOST,
    );
    let device = |device: &oci::LinuxDevice| wire::LinuxDevice {
        Path: device.path().display().to_string(),
        Type: device.typ().as_str().to_owned(),
        Major: device.major(),
        Minor: device.minor(),
        FileMode: device.file_mode().unwrap_or(0),
        UID: device.uid().unwrap_or(0),
        GID: device.gid().unwrap_or(0),
        ..Default::default()
    };
    all()
        .filter(|d| !is_vfio(d) && !is_block(d))
        .map(device)
        .collect()
}

fn mapping(mapping: &oci::LinuxIdMapping) -> wire::LinuxIDMapping {
    wire::LinuxIDMapping {
        HostID: mapping.host_id(),
        ContainerID: mapping.container_id(),
        Size: mapping.size(),
        ..Default::default()
    }
}

fn note_left_out(linux: &oci::Linux, notes: &mut Notes) {
    notes.add_if(linux.mount_label().is_some(), "linux.mountLabel", OF_HOST);
    notes.add_if(linux.intel_rdt().is_some(), "linux.intelRdt", OF_HOST);
    notes.add_if(linux.net_devices().is_some(), "linux.netDevices", OF_HOST);
    notes.add_if(
        linux.memory_policy().is_some(),
        "linux.memoryPolicy",
        OF_HOST,
    );
    notes.add_if(linux.personality().is_some(), "linux.personality", NO_FIELD);
    notes.add_if(
        linux.time_offsets().is_some(),
        "linux.timeOffsets",
        NO_FIELD,
    );
}

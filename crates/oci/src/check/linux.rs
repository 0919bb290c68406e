//! Namespaces, devices and limits that a guest cannot have.

use std::path::Path;

use oci_spec::runtime::{
    Linux, LinuxDevice, LinuxDeviceType, LinuxNamespaceType as Kind, LinuxPersonalityDomain,
    LinuxSeccompAction, Spec,
};

use super::{LABEL, NO_FIELD, Notes, unsupported};
use crate::pod::{PodRole, pod_role};
use crate::{Error, ErrorKind};

/// What `linux.rootfsPropagation` may be (mount_namespaces(7)).
const PROPAGATIONS: [&str; 8] = [
    "private",
    "rprivate",
    "slave",
    "rslave",
    "shared",
    "rshared",
    "unbindable",
    "runbindable",
];

pub(super) fn check(spec: &Spec, linux: &Linux, notes: &mut Notes) -> Result<(), Error> {
    namespaces(spec, linux, notes)?;
    let mappings = [linux.uid_mappings(), linux.gid_mappings()];
    let mapped = mappings.into_iter().flatten().flatten().next().is_some();
    notes.refuse_if(
        mapped,
        "linux.uidMappings",
        "the machine is what keeps users apart; leave the mappings and the user namespace out",
    )?;
    let offsets = linux.time_offsets().as_ref();
    notes.refuse_if(
        offsets.is_some_and(|offsets| !offsets.is_empty()),
        "linux.timeOffsets",
        "all containers of a machine share its clocks; leave it out",
    )?;
    notes.refuse_if(
        linux.intel_rdt().is_some(),
        "linux.intelRdt",
        "it divides caches of the host among its processes; leave it out",
    )?;
    let devices = linux.net_devices().as_ref();
    notes.refuse_if(
        devices.is_some_and(|devices| !devices.is_empty()),
        "linux.netDevices",
        "put the interface into the network namespace instead",
    )?;
    notes.refuse_if(
        linux.memory_policy().is_some(),
        "linux.memoryPolicy",
        "it numbers memory nodes of the host; leave it out",
    )?;
    let personality = linux.personality().as_ref();
    notes.refuse_if(
        personality.is_some_and(|it| it.domain() != LinuxPersonalityDomain::PerLinux),
        "linux.personality",
        "programs run as on the guest's kernel; leave it out",
    )?;
    let flags = personality.and_then(|it| it.flags().as_ref());
    let flags = flags.is_some_and(|flags| !flags.is_empty());
    notes.ignore_if(flags, "linux.personality.flags", NO_FIELD);
    let label = linux.mount_label().as_ref();
    let label = label.is_some_and(|label| !label.is_empty());
    notes.ignore_if(label, "linux.mountLabel", LABEL);
    propagation(linux)?;
    seccomp(linux, notes)?;
    devices_of(linux, notes)
}

fn namespaces(spec: &Spec, linux: &Linux, notes: &mut Notes) -> Result<(), Error> {
    let member = matches!(pod_role(spec)?, PodRole::Member { .. });
    for namespace in linux.namespaces().iter().flatten() {
        let kind = namespace.typ();
        let word = word(kind);
        let path = namespace.path().as_deref();
        let path = path.filter(|path| !path.as_os_str().is_empty());
        let property = format!("the {word} namespace");
        match (kind, path) {
            (Kind::User, _) => {
                let advice = "the machine is what keeps users apart; leave the namespace out";
                return Err(unsupported(&property, advice));
            }
            (Kind::Time, None) => notes.ignore_if(
                true,
                "linux.namespaces of time",
                "all containers of a machine share its clocks",
            ),
            (Kind::Mount | Kind::Cgroup | Kind::Time, Some(path)) => {
                return Err(foreign(&property, path));
            }
            (Kind::Pid | Kind::Ipc | Kind::Uts, Some(path)) if !member => {
                // That of a live process is another container's. Others are prepared for this one.
                if path.starts_with("/proc") {
                    return Err(foreign(&property, path));
                }
                let property = format!("linux.namespaces of {word}");
                notes.ignore_if(true, property, "the machine has its own");
            }
            _ => {}
        }
    }
    Ok(())
}

/// As the specification writes it.
const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Mount => "mount",
        Kind::Cgroup => "cgroup",
        Kind::Uts => "uts",
        Kind::Ipc => "ipc",
        Kind::User => "user",
        Kind::Pid => "pid",
        Kind::Network => "network",
        Kind::Time => "time",
    }
}

fn foreign(property: &str, path: &Path) -> Error {
    let advice = "a container can only join namespaces within its pod; leave the path out";
    unsupported(&format!("{property} at {}", path.display()), advice)
}

fn propagation(linux: &Linux) -> Result<(), Error> {
    let word = linux.rootfs_propagation().as_deref().unwrap_or_default();
    if word.is_empty() || PROPAGATIONS.contains(&word) {
        return Ok(());
    }
    let message = format!(
        "linux.rootfsPropagation is {word:?}: it may be {}",
        PROPAGATIONS.join(", ")
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

fn seccomp(linux: &Linux, notes: &Notes) -> Result<(), Error> {
    let Some(filter) = linux.seccomp() else {
        return Ok(());
    };
    let rules = filter.syscalls().iter().flatten();
    let mut actions =
        std::iter::once(filter.default_action()).chain(rules.map(|rule| rule.action()));
    let asks = filter.listener_path().is_some()
        || actions.any(|action| action == LinuxSeccompAction::ScmpActNotify);
    notes.refuse_if(
        asks,
        "linux.seccomp with a process of the host that decides",
        "calls are made in the guest; use a filter without SCMP_ACT_NOTIFY and listenerPath",
    )
}

/// Block devices are the host's. Where everything is allowed, all devices of the host are listed,
/// and none of them is a wish.
fn devices_of(linux: &Linux, notes: &mut Notes) -> Result<(), Error> {
    let privileged = allows_everything(linux);
    for device in linux.devices().iter().flatten() {
        let path = device.path().display();
        if is_vfio(device) {
            notes.ignore_if(privileged, format!("linux.devices {path}"), NOT_PASSED);
            notes.refuse_if(
                !privileged,
                &format!("the device {path}"),
                "devices of the host are not passed through yet; leave it out",
            )?;
        }
        if device.typ() == LinuxDeviceType::B {
            notes.ignore_if(privileged, format!("linux.devices {path}"), NOT_PASSED);
            notes.refuse_if(
                !privileged,
                &format!("the block device {path}"),
                "devices of the host are not passed through yet; mount it on the host and share a \
                 directory",
            )?;
        }
    }
    Ok(())
}

const NOT_PASSED: &str = "devices of the host are not passed through";

fn is_vfio(device: &LinuxDevice) -> bool {
    device.path().starts_with("/dev/vfio")
}

/// As managers write it for privileged containers: a rule that allows every device.
fn allows_everything(linux: &Linux) -> bool {
    let resources = linux.resources().as_ref();
    let rules = resources.and_then(|resources| resources.devices().as_deref());
    rules.unwrap_or_default().iter().any(|rule| {
        let any_type = rule.typ().is_none_or(|kind| kind == LinuxDeviceType::A);
        let any_number = |number: Option<i64>| number.is_none_or(|number| number < 0);
        rule.allow() && any_type && any_number(rule.major()) && any_number(rule.minor())
    })
}

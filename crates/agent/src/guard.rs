//! Checks of requests before they are sent: what a kata-agent answers with a panic, which is no
//! answer at all, with silence or with damage, is refused here with words.

use std::path::{Component, Path};

use virtcontainers_agent_proto::{agent, oci, types};

use crate::error::{Error, Result};
use crate::guest_path::SHARED;
use crate::words;

/// The most data in one call, in bytes; a whole message is limited to 4 MiB.
pub(crate) const MAX_CHUNK: usize = 1 << 20;
/// The smallest MTU a link takes (IPv4, RFC 791).
const MIN_MTU: u64 = 68;
/// Container ids that collide with directories of the guest.
const RESERVED_IDS: [&str; 4] = ["shared", "sandbox", "image", "virtual-volumes"];

pub(crate) fn create_container(request: &agent::CreateContainerRequest) -> Result<()> {
    let refuse = |reason: String| {
        Err(Error::refused("create_container", reason).of_container(&request.container_id))
    };
    if RESERVED_IDS.contains(&request.container_id.as_str()) {
        return refuse(format!(
            "a container cannot be called {:?}",
            request.container_id
        ));
    }
    let Some(spec) = request.OCI.as_ref() else {
        return refuse("the specification is missing".to_owned());
    };
    for device in &request.devices {
        let addressed = !device.id.is_empty() || !device.vm_path.is_empty();
        if device.type_.is_empty() || device.container_path.is_empty() || !addressed {
            return refuse(format!(
                "device {:?} needs a type, a path in the container, and an id or a path in the guest",
                device.container_path
            ));
        }
    }
    spec_is_safe(spec).or_else(refuse)
}

pub(crate) fn exec(spec: &oci::Process) -> Result<()> {
    process_is_safe(spec).map_err(|reason| Error::refused("exec_process", reason))
}

/// What every specification needs, and what none may hold.
fn spec_is_safe(spec: &oci::Spec) -> Result<(), String> {
    let missing = |what: &str| Err(format!("the specification has no {what}"));
    let Some(process) = spec.Process.as_ref() else {
        return missing("process");
    };
    process_is_safe(process)?;
    if process.Capabilities.is_none() {
        return missing("capabilities; send empty lists for none");
    }
    let Some(root) = spec.Root.as_ref() else {
        return missing("root");
    };
    absolute("root path", &root.Path)?;
    for mount in &spec.Mounts {
        mount_is_safe(mount)?;
    }
    let Some(linux) = spec.Linux.as_ref() else {
        return missing("linux part");
    };
    if linux.Resources.is_none() {
        return missing("resources; send an empty message, or the container has no cgroup");
    }
    namespaces_are_safe(&linux.Namespaces)?;
    for device in &linux.Devices {
        one_of("device type", &device.Type, &words::DEVICE_TYPES)?;
    }
    let rules = linux
        .Resources
        .iter()
        .flat_map(|resources| &resources.Devices);
    for rule in rules {
        one_of("device rule type", &rule.Type, &words::DEVICE_TYPES)?;
    }
    linux.Seccomp.as_ref().map_or(Ok(()), seccomp_is_safe)
}

pub(crate) fn process_is_safe(process: &oci::Process) -> Result<(), String> {
    if process.Args.first().is_none_or(String::is_empty) {
        return Err("the process has no program to run; give at least one argument".to_owned());
    }
    absolute("working directory", &process.Cwd)?;
    let texts = process.Args.iter().chain(&process.Env);
    for text in texts {
        if text.contains('\0') {
            return Err(format!("{text:?} contains a zero byte"));
        }
    }
    if let Some(sets) = process.Capabilities.as_ref() {
        let lists = [
            &sets.Bounding,
            &sets.Effective,
            &sets.Inheritable,
            &sets.Permitted,
            &sets.Ambient,
        ];
        for capability in lists.into_iter().flatten() {
            one_of("capability", capability, &words::CAPABILITIES)?;
        }
    }
    for limit in &process.Rlimits {
        one_of("resource limit", &limit.Type, &words::RLIMITS)?;
    }
    Ok(())
}

fn mount_is_safe(mount: &oci::Mount) -> Result<(), String> {
    absolute("mount destination", &mount.destination)?;
    let binds = mount
        .options
        .iter()
        .any(|word| word == "bind" || word == "rbind");
    if mount.source.is_empty() || mount.type_.is_empty() && !binds {
        return Err(format!(
            "the mount at {} needs a source, and a type unless it is a bind",
            mount.destination
        ));
    }
    Ok(())
}

fn namespaces_are_safe(namespaces: &[oci::LinuxNamespace]) -> Result<(), String> {
    for namespace in namespaces {
        one_of("namespace", &namespace.Type, &words::NAMESPACES)?;
        if words::UNSENT_NAMESPACES.contains(&namespace.Type.as_str()) {
            return Err(format!(
                "a {} namespace must not be sent: the guest makes its own",
                namespace.Type
            ));
        }
    }
    let has = |names: &[&str]| namespaces.iter().any(|n| names.contains(&n.Type.as_str()));
    for (names, name) in [
        (&["mount", "mnt"][..], "mount"),
        (&["ipc"], "ipc"),
        (&["uts"], "uts"),
    ] {
        if !has(names) {
            return Err(format!("the {name} namespace is missing"));
        }
    }
    Ok(())
}

fn seccomp_is_safe(filter: &oci::LinuxSeccomp) -> Result<(), String> {
    one_of(
        "seccomp action",
        &filter.DefaultAction,
        &words::SECCOMP_ACTIONS,
    )?;
    for architecture in &filter.Architectures {
        one_of(
            "seccomp architecture",
            architecture,
            &words::SECCOMP_ARCHITECTURES,
        )?;
    }
    for flag in &filter.Flags {
        one_of("seccomp flag", flag, &words::SECCOMP_FLAGS)?;
    }
    for rule in &filter.Syscalls {
        one_of("seccomp action", &rule.Action, &words::SECCOMP_ACTIONS)?;
        for argument in &rule.Args {
            one_of("seccomp operator", &argument.Op, &words::SECCOMP_OPERATORS)?;
        }
    }
    Ok(())
}

pub(crate) fn interface(interface: &types::Interface) -> Result<()> {
    let refuse = |reason: String| Err(Error::refused("update_interface", reason));
    if interface.mtu < MIN_MTU {
        return refuse(format!(
            "link {:?} has the mtu {}; it must be set, and at least {MIN_MTU}",
            interface.name, interface.mtu
        ));
    }
    if interface.hwAddr.is_empty() || interface.name.is_empty() {
        return refuse("a link needs a name and a hardware address".to_owned());
    }
    for address in &interface.IPAddresses {
        let longest = if address.address.contains(':') {
            128
        } else {
            32
        };
        let prefix = address.mask.parse::<u8>();
        if address.address.parse::<std::net::IpAddr>().is_err()
            || prefix.map_or(true, |length| length > longest)
        {
            return refuse(format!(
                "{}/{} is not an address with a prefix length",
                address.address, address.mask
            ));
        }
    }
    Ok(())
}

pub(crate) fn chunk(operation: &'static str, length: usize) -> Result<()> {
    match length {
        0 => Err(Error::refused(
            operation,
            "empty data would close the stream",
        )),
        1..=MAX_CHUNK => Ok(()),
        _ => Err(Error::refused(
            operation,
            format!("{length} bytes are more than the {MAX_CHUNK} of one call"),
        )),
    }
}

pub(crate) fn copy(part: &agent::CopyFileRequest) -> Result<()> {
    let refuse = |reason: String| Err(Error::refused("copy_file", reason));
    let path = Path::new(&part.path);
    let inside = path.strip_prefix(SHARED).is_ok_and(|rest| {
        let mut names = rest.components();
        rest.file_name().is_some() && names.all(|name| matches!(name, Component::Normal(_)))
    });
    if !inside {
        return refuse(format!("{:?} is not below {SHARED}", part.path));
    }
    if part.data.len() > MAX_CHUNK {
        return refuse(format!(
            "{} bytes are more than the {MAX_CHUNK} of one part",
            part.data.len()
        ));
    }
    let end = i64::try_from(part.data.len())
        .ok()
        .and_then(|n| part.offset.checked_add(n));
    if part.offset < 0 || end.is_none() {
        return refuse(format!("the offset {} is out of range", part.offset));
    }
    Ok(())
}

fn absolute(what: &str, path: &str) -> Result<(), String> {
    let path = Path::new(path);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if path.is_absolute() && !climbs {
        return Ok(());
    }
    Err(format!(
        "the {what} {} must be absolute and without ..",
        path.display()
    ))
}

fn one_of(what: &str, word: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&word) {
        return Ok(());
    }
    Err(format!(
        "the {what} {word:?} is not known to the guest agent"
    ))
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;

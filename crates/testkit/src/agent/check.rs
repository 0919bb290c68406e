//! The trap list for requests: what makes a real kata-agent panic, hang or do something else.
//! Written from the protocol, not from the client, so that each checks the other.

use std::path::Path;

use virtcontainers_agent_proto::agent::{CopyFileRequest, CreateContainerRequest, Storage};
use virtcontainers_agent_proto::oci;

use super::Flavor;

type Checked = Result<(), String>;

/// The most data in one call, in bytes.
pub(super) const MAX_CHUNK: usize = 1 << 20;
const SHARED: &str = "/run/kata-containers/shared/containers/";
const STORAGE_DRIVERS: [&str; 11] = [
    "blk",
    "ephemeral",
    "erofs.multi-layer",
    "image_guest_pull",
    "local",
    "mmioblk",
    "nvdimm",
    "overlayfs",
    "scsi",
    "virtio-fs",
    "watchable-bind",
];

fn rule(holds: bool, otherwise: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// kata-agent's syntax of container ids.
pub(super) fn id(id: &str) -> Checked {
    let begins = id.starts_with(|c: char| c.is_ascii_alphanumeric());
    let consists = id
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    rule(begins && consists && id.len() >= 2, "invalid container ID")
}

pub(super) fn storages(storages: &[Storage]) -> Checked {
    for storage in storages {
        let driver = storage.driver.as_str();
        rule(
            STORAGE_DRIVERS.contains(&driver),
            format!("storage with the driver {driver:?}"),
        )?;
        let place = &storage.mount_point;
        rule(
            place.starts_with('/'),
            format!("storage at {place:?}, not an absolute path"),
        )?;
    }
    Ok(())
}

pub(super) fn create(request: &CreateContainerRequest, flavor: Flavor) -> Checked {
    let reserved = ["shared", "sandbox", "image", "virtual-volumes"];
    let id = request.container_id.as_str();
    rule(
        !reserved.contains(&id),
        format!("container id {id:?}, a directory of the guest"),
    )?;
    rule(
        request.stdin_port == 0 && request.stdout_port == 0 && request.stderr_port == 0,
        "CreateContainer with ports for passed descriptors",
    )?;
    storages(&request.storages)?;
    let spec = request.OCI.as_ref().ok_or("CreateContainer without OCI")?;
    let init = spec.Process.as_ref().ok_or("OCI without Process")?;
    process(init)?;
    rule(
        init.Capabilities.is_some(),
        "OCI without Capabilities of the init process",
    )?;
    let root = spec.Root.as_ref().ok_or("OCI without Root")?;
    rule(root.Path.starts_with('/'), "Root.Path is not absolute")?;
    spec.Mounts.iter().try_for_each(mount)?;
    if let Some(hooks) = spec.Hooks.as_ref() {
        let host_side = hooks.Prestart.len() + hooks.CreateRuntime.len();
        let distorted = hooks.Poststart.len() + hooks.Poststop.len();
        rule(
            host_side + distorted == 0,
            "Hooks other than those of the container",
        )?;
        rule(
            *hooks != oci::Hooks::default(),
            "empty Hooks: the guest's own are not run",
        )?;
    }
    let linux = spec.Linux.as_ref().ok_or("OCI without Linux")?;
    linux_part(linux, flavor)?;
    for device in &request.devices {
        let path = &device.container_path;
        let listed = linux.Devices.iter().any(|listed| listed.Path == *path);
        rule(listed, format!("device {path:?} is not in Linux.Devices"))?;
        let addressed = !device.id.is_empty() || !device.vm_path.is_empty();
        rule(
            addressed && !device.type_.is_empty(),
            format!("device {path:?} without address"),
        )?;
    }
    Ok(())
}

pub(super) fn process(process: &oci::Process) -> Checked {
    rule(
        !process.Args.is_empty(),
        "Process without Args: the set-up child panics",
    )?;
    rule(process.Cwd.starts_with('/'), "Process.Cwd is not absolute")?;
    let sets = process.Capabilities.get_or_default();
    let lists = [&sets.Bounding, &sets.Effective, &sets.Inheritable];
    let lists = lists.into_iter().chain([&sets.Permitted, &sets.Ambient]);
    for name in lists.flatten() {
        let known = name.strip_prefix("CAP_").is_some_and(is_upper);
        rule(
            known && !name.contains("BOGUS"),
            format!("capability {name:?}: panic"),
        )?;
    }
    for limit in &process.Rlimits {
        let known = limit.Type.strip_prefix("RLIMIT_").is_some_and(is_upper);
        let kind = &limit.Type;
        rule(
            known && !kind.contains("BOGUS"),
            format!("resource limit {kind:?}: panic"),
        )?;
    }
    Ok(())
}

fn is_upper(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

fn mount(mount: &oci::Mount) -> Checked {
    let at = &mount.destination;
    rule(
        at.starts_with('/') && !at.contains("/.."),
        format!("mount at {at:?}"),
    )?;
    let binds = mount
        .options
        .iter()
        .any(|option| option == "bind" || option == "rbind");
    let whole = !mount.source.is_empty() && (!mount.type_.is_empty() || binds);
    rule(
        whole,
        format!("mount at {at} without type or source: panic"),
    )
}

fn linux_part(linux: &oci::Linux, flavor: Flavor) -> Checked {
    let namespaces: Vec<&str> = linux.Namespaces.iter().map(|n| n.Type.as_str()).collect();
    for namespace in &namespaces {
        let sendable = ["mount", "mnt", "ipc", "uts", "cgroup", "user"].contains(namespace);
        rule(
            sendable,
            format!("namespace {namespace:?} must not be sent"),
        )?;
    }
    let has = |name: &str| namespaces.contains(&name);
    let whole = (has("mount") || has("mnt")) && has("ipc") && has("uts");
    rule(whole, "mount, ipc or uts namespace is missing")?;
    let pathless = linux
        .Namespaces
        .iter()
        .all(|namespace| namespace.Path.is_empty());
    rule(pathless, "namespace with a path of the host")?;
    let resources = linux.Resources.as_ref();
    let resources = resources.ok_or("Linux without Resources: the container has no cgroup")?;
    for device in &linux.Devices {
        let known = ["a", "b", "c", "p", "u"].contains(&device.Type.as_str());
        rule(known, format!("device type {:?}: panic", device.Type))?;
        rule(
            device.Path.starts_with("/dev/"),
            format!("device at {:?}", device.Path),
        )?;
    }
    if flavor == Flavor::Kata {
        distorted(resources)?;
    }
    linux.Seccomp.as_ref().map_or(Ok(()), seccomp)
}

/// What kata-agent makes something else of.
fn distorted(resources: &oci::LinuxResources) -> Checked {
    rule(
        resources.Pids.is_none(),
        "Pids is set: dropped by kata-agent",
    )?;
    rule(
        resources.Devices.is_empty(),
        "device rules: numbers are distorted by kata-agent",
    )?;
    let memory = resources.Memory.get_or_default();
    let cpu = resources.CPU.get_or_default();
    let signed = [memory.Limit, memory.Reservation, memory.Swap, cpu.Quota];
    rule(
        signed.iter().all(|limit| *limit >= 0),
        "negative limit: dropped by kata-agent",
    )
}

fn seccomp(filter: &oci::LinuxSeccomp) -> Checked {
    let action = |word: &str| {
        rule(
            is_scmp(word, "SCMP_ACT_"),
            format!("action {word:?}: panic"),
        )
    };
    action(&filter.DefaultAction)?;
    for word in &filter.Architectures {
        rule(
            is_scmp(word, "SCMP_ARCH_"),
            format!("architecture {word:?}: panic"),
        )?;
    }
    for word in &filter.Flags {
        rule(
            is_scmp(word, "SECCOMP_FILTER_FLAG_"),
            format!("flag {word:?}: panic"),
        )?;
    }
    for syscall in &filter.Syscalls {
        action(&syscall.Action)?;
        let errno = syscall.ErrnoRet.is_some();
        let sound = syscall.Action != "SCMP_ACT_ERRNO" || errno;
        rule(
            sound,
            "SCMP_ACT_ERRNO without a number: the call would seem to succeed",
        )?;
        for argument in &syscall.Args {
            let word = &argument.Op;
            rule(
                is_scmp(word, "SCMP_CMP_"),
                format!("operator {word:?}: panic"),
            )?;
        }
    }
    Ok(())
}

fn is_scmp(word: &str, prefix: &str) -> bool {
    let digits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    word.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest != "BOGUS" && rest.chars().all(digits))
}

pub(super) fn copy(request: &CopyFileRequest) -> Checked {
    let path = &request.path;
    let inside = path.starts_with(SHARED) && !path.contains("/..");
    rule(
        inside,
        format!("CopyFile to {path:?}, outside the shared directory"),
    )?;
    let length = request.data.len();
    rule(
        length <= MAX_CHUNK,
        format!("CopyFile with {length} bytes at once"),
    )
}

pub(super) fn is_regular(mode: u32) -> bool {
    mode & 0o170_000 == 0o100_000
}

/// The name under which parts of a file are gathered: siblings with one stem share it.
pub(super) fn temporary_name(path: &str) -> String {
    Path::new(path).with_extension("tmp").display().to_string()
}

//! From an OCI bundle to the configuration of a sandbox, or of a container that joins one.

mod bound;
mod hosts;
mod machine;
mod network;
mod resolver;
mod size;

use oci_spec::runtime::Spec;
use virtcontainers_oci::Bundle;
use virtcontainers_runtime::ErrorKind;
use virtcontainers_types::{CgroupPath, ContainerConfig, ContainerId, SandboxConfig};

use crate::registry::sandbox_config;
use crate::{Config, Error};

/// The configuration of a sandbox whose first container is `bundle`'s: that of `config`, changed by
/// the annotations that `[runtime]` allows, and by the specification's `vm` object, which may come
/// from whoever may run this program and needs no leave. The machine has the configured memory and
/// what the container may use beside it, and as many CPUs as the container may keep busy.
///
/// The network is that of the specification's namespace, connected as `[network]` says; one is made
/// when it names none, and there is no network when it asks for the host's. The guest resolves names
/// as the container does.
///
/// Errors: those of [`container_of_bundle`] and [`sandbox_config`](crate::sandbox_config);
/// `NotFound`, `Denied`, `Invalid` for files that cannot be used: those of the `vm` object, and one
/// that is bound on `/etc/resolv.conf`.
pub fn sandbox_of_bundle(
    config: &Config,
    mut bundle: Bundle,
    id: ContainerId,
    systemd_cgroup: bool,
) -> Result<SandboxConfig, Error> {
    let wishes = bundle.vm.take().unwrap_or_default();
    let container = container_of_bundle(bundle, id, systemd_cgroup)?;
    let config = machine::configured(config, &wishes)?;
    let mut sandbox = sandbox_config(&config, container)?;
    network::connect(&config, &mut sandbox)?;
    machine::apply(wishes, &mut sandbox);
    Ok(sandbox)
}

/// The configuration of `bundle`'s container. `systemd_cgroup` says how its `cgroupsPath` is written,
/// and who makes the cgroup. What the specification asks for in vain is logged.
///
/// Errors: `Unsupported` for what a virtual machine cannot do for it, naming the property and what
/// to do; `Invalid` for what nobody can do, and a `cgroupsPath` that cannot be understood.
pub fn container_of_bundle(
    bundle: Bundle,
    id: ContainerId,
    systemd_cgroup: bool,
) -> Result<ContainerConfig, Error> {
    let refused = |kind| Error::new(kind, format!("cannot make container {id} of its bundle"));
    let ignored = virtcontainers_oci::check(&bundle.spec)
        .map_err(|error| refused(error.kind()).because(error))?;
    for note in ignored {
        let (property, reason) = (note.property, note.reason);
        tracing::info!(container = %id, property, reason, "left out of the container");
    }
    if bundle.vm.is_some() {
        tracing::warn!(container = %id, "it joins a sandbox whose machine is there: its vm object changes nothing");
    }
    let cgroup = cgroup(&bundle.spec, systemd_cgroup)
        .map_err(|error| refused(ErrorKind::Invalid).because(error))?;
    let mut container = bundle.into_container(id);
    container.cgroup = cgroup;
    Ok(container)
}

fn cgroup(spec: &Spec, systemd: bool) -> Result<Option<CgroupPath>, virtcontainers_types::Error> {
    let path = spec
        .linux()
        .as_ref()
        .and_then(|l| l.cgroups_path().as_ref());
    let text = path.map(|path| path.to_string_lossy()).unwrap_or_default();
    match text.is_empty() {
        true => Ok(None),
        false => CgroupPath::parse(&text, systemd).map(Some),
    }
}

#[cfg(test)]
mod tests;

//! What the annotations of a container change: another guest, another size, another hypervisor,
//! another connection to its network.
//!
//! `[runtime]` says which annotations may do so; by default none may.

use std::collections::BTreeMap;
use std::path::Path;

use virtcontainers_oci::{AnnotationPolicy, Asset, NetworkOverrides, Overrides, overrides};
use virtcontainers_runtime::ErrorKind;
use virtcontainers_types::{
    BootConfig, ContainerConfig, GuestRoot, HypervisorOverride, Mebibytes, NetworkConfig, VcpuCount,
};

use crate::config::{ByteRate, Config, GuestAssets, NetworkSection, RuntimeSection};
use crate::{Error, verified};

impl RuntimeSection {
    /// Errors: `Invalid` for entries of the lists that cannot be meant.
    pub(crate) fn annotation_policy(&self) -> Result<AnnotationPolicy, Error> {
        let (names, paths) = (&self.enable_annotations, &self.annotation_paths);
        AnnotationPolicy::new(names.clone(), paths.clone()).map_err(|error| {
            Error::new(
                error.kind(),
                "[runtime] has a list of annotations that does not fit",
            )
            .because(error)
        })
    }
}

/// The machine and the guest of a sandbox, after annotations.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) assets: GuestAssets,
    pub(crate) boot: BootConfig,
    pub(crate) memory: Mebibytes,
    pub(crate) vcpus: VcpuCount,
    pub(crate) network: NetworkConfig,
}

/// The annotations that a container brings.
pub(crate) fn of(container: &ContainerConfig) -> BTreeMap<String, String> {
    let annotations = container.spec.annotations().iter().flatten();
    annotations
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The guest that `config` and `annotations` describe. Files with a digest are copied to `copies`.
pub(crate) fn guest(
    config: &Config,
    annotations: &BTreeMap<String, String>,
    copies: Option<&Path>,
) -> Result<Guest, Error> {
    let wanted = wanted(config, annotations)?;
    let mut config = config.clone();
    let section = &mut config.hypervisor.qemu;
    if let Some(kernel) = &wanted.kernel {
        section.kernel.clone_from(&kernel.path);
    }
    if let Some(image) = &wanted.image {
        section.image.clone_from(&image.path);
        section.initrd.clear();
    }
    if let Some(initrd) = &wanted.initrd {
        section.initrd.clone_from(&initrd.path);
        section.image.clear();
    }
    let assets = GuestAssets::find(&config)?;
    // Only now: what lies beside a file, such as its manifest, is not beside a copy.
    let kernel = match &wanted.kernel {
        Some(asset) => verified::file(asset, copies)?,
        None => assets.kernel.clone(),
    };
    let root = match (&wanted.image, &wanted.initrd) {
        (Some(image), _) => GuestRoot::Image(verified::file(image, copies)?),
        (None, Some(initrd)) => GuestRoot::Initrd(verified::file(initrd, copies)?),
        (None, None) => assets.root.clone(),
    };
    let program = wanted.hypervisor.map(|asset| -> Result<_, Error> {
        verified::program(&asset)?;
        Ok(asset.path)
    });
    let hypervisor = HypervisorOverride {
        program: program.transpose()?,
        arguments: Vec::new(),
    };
    Ok(Guest {
        assets,
        boot: BootConfig {
            kernel,
            root,
            kernel_params: wanted.kernel_params,
            hypervisor,
        },
        memory: wanted.memory.unwrap_or(config.hypervisor.qemu.memory),
        vcpus: wanted.vcpus.unwrap_or(config.hypervisor.qemu.vcpus),
        network: network(&config.network, wanted.network)?,
    })
}

/// The network that `section` describes, after annotations, which may contradict it.
fn network(section: &NetworkSection, wanted: NetworkOverrides) -> Result<NetworkConfig, Error> {
    let mut section = section.clone();
    section.model = wanted.model.unwrap_or(section.model);
    section.vhost = wanted.vhost.unwrap_or(section.vhost);
    let disabled = wanted.disable_new_netns;
    section.disable_new_netns = disabled.unwrap_or(section.disable_new_netns);
    // Of every interface, as kata-containers has it: also of those with a rate of their own.
    for rate in std::iter::once(&mut section.rate).chain(section.rates.values_mut()) {
        rate.inbound = wanted.inbound.map_or(rate.inbound, ByteRate);
        rate.outbound = wanted.outbound.map_or(rate.outbound, ByteRate);
    }
    section.check().map_err(|error| {
        let message = "annotations and the section [network] do not fit together";
        Error::new(error.kind(), message).because(error)
    })?;
    Ok(section.settings())
}

fn wanted(config: &Config, annotations: &BTreeMap<String, String>) -> Result<Overrides, Error> {
    let policy = config.runtime.annotation_policy()?;
    let wanted = overrides(annotations, &policy).map_err(|error| {
        Error::new(
            error.kind(),
            "the container has an annotation that is refused",
        )
        .because(error)
    })?;
    match &wanted.firmware {
        None => Ok(wanted),
        Some(Asset { path, .. }) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "an annotation names the firmware {}: machines start their kernel without one of \
                 their own; leave the annotation out",
                path.display()
            ),
        )),
    }
}

#[cfg(test)]
mod tests;

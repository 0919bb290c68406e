//! The `vm` object of a specification, over the configuration.

use std::path::Path;

use virtcontainers_oci::VmWishes;
use virtcontainers_runtime::ErrorKind;
use virtcontainers_types::SandboxConfig;

use super::size;
use crate::{Config, Error};

/// `config` with the kernel and root file system of the wishes, whose files are looked at.
pub(super) fn configured(config: &Config, wishes: &VmWishes) -> Result<Config, Error> {
    let files = [
        ("vm.hypervisor.path", &wishes.hypervisor),
        ("vm.kernel.path", &wishes.kernel),
        ("vm.kernel.initrd", &wishes.initrd),
        ("vm.image.path", &wishes.image),
    ];
    for (field, path) in files {
        path.as_deref()
            .map_or(Ok(()), |path| require(field, path))?;
    }
    let mut config = config.clone();
    let section = &mut config.hypervisor.qemu;
    if let Some(kernel) = &wishes.kernel {
        section.kernel.clone_from(kernel);
    }
    if let Some(image) = &wishes.image {
        section.image.clone_from(image);
        section.initrd.clear();
    }
    if let Some(initrd) = &wishes.initrd {
        section.initrd.clone_from(initrd);
        section.image.clear();
    }
    Ok(config)
}

/// What is the sandbox's own: sizes, words for the kernel, the program and its arguments.
pub(super) fn apply(wishes: VmWishes, sandbox: &mut SandboxConfig) {
    let limits = sandbox
        .containers
        .first()
        .map(|first| size::limits(&first.spec));
    let limits = limits.unwrap_or_default();
    let host = size::Host::here();
    sandbox.memory = wishes
        .memory
        .unwrap_or_else(|| size::memory(sandbox.memory, limits, host));
    sandbox.vcpus = wishes
        .vcpus
        .unwrap_or_else(|| size::vcpus(sandbox.vcpus, limits, host));
    let boot = &mut sandbox.boot;
    boot.kernel_params.extend(wishes.kernel_parameters);
    boot.hypervisor.program = wishes.hypervisor.or(boot.hypervisor.program.take());
    boot.hypervisor
        .arguments
        .extend(wishes.hypervisor_parameters);
}

fn require(field: &str, path: &Path) -> Result<(), Error> {
    let problem = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return Ok(()),
        Ok(_) => Error::new(
            ErrorKind::Invalid,
            format!("{field} names {}, which is not a file", path.display()),
        ),
        Err(error) => {
            let message = format!(
                "{field} names {}, which cannot be used: correct the path",
                path.display()
            );
            Error::new(ErrorKind::NotFound, message).because(error)
        }
    };
    Err(problem)
}

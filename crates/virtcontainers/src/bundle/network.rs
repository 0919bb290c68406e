//! The network of a bundle's sandbox: its namespace, whether somebody promised it an interface, and
//! where names are resolved.

use oci_spec::runtime::{Hook, LinuxNamespaceType, Spec};
use virtcontainers_runtime::ErrorKind;
use virtcontainers_types::SandboxConfig;

use super::{hosts, resolver};
use crate::{Config, Error};

/// What Docker calls the hook by which it moves a container's interfaces into the namespace.
const DOCKER_HOOK: &str = "libnetwork-setkey";

/// Gives `sandbox`, which is connected as the configuration says, the namespace of its container's
/// specification. One is made when the specification asks for one and names none. One that asks for
/// none asks for the host's, and is refused unless machines may be without a network.
///
/// Errors: `Unsupported`; those of [`resolver::lines`].
pub(super) fn connect(config: &Config, sandbox: &mut SandboxConfig) -> Result<(), Error> {
    let Some(first) = sandbox.containers.first() else {
        return Ok(());
    };
    let (spec, network) = (&first.spec, &mut sandbox.network);
    let linux = spec.linux().as_ref();
    let mut namespaces = linux.iter().flat_map(|l| l.namespaces().iter().flatten());
    let Some(entry) = namespaces.find(|one| one.typ() == LinuxNamespaceType::Network) else {
        return match network.disabled {
            true => Ok(()),
            false => Err(hosts_network()),
        };
    };
    let path = entry.path().clone();
    network.namespace = path.filter(|path| !path.as_os_str().is_empty());
    let is_given = network.namespace.is_some();
    // What is given is not new: it is used, also where none is to be made.
    network.disabled &= !is_given;
    if network.disabled {
        return Ok(());
    }
    network.required = is_given && config.network.required || promised(spec);
    network.dns = resolver::lines(spec)?;
    Ok(())
}

fn hosts_network() -> Error {
    let message = "the bundle asks for the host's network, which a virtual machine cannot join: add a \
                   network namespace to linux.namespaces (Podman: any --network but host), or have \
                   disable_new_netns in the configuration's [network], with which such a machine has \
                   no network";
    Error::new(ErrorKind::Unsupported, message)
}

/// Whether a hook brings an interface. Docker has its hook for `--network none` too, but only for
/// other networks does its hosts file say what the container's address is.
fn promised(spec: &Spec) -> bool {
    let hooks = spec.hooks().as_ref();
    let prestart = hooks.and_then(|hooks| hooks.prestart().as_ref());
    let create_runtime = hooks.and_then(|hooks| hooks.create_runtime().as_ref());
    let mut early = prestart.into_iter().chain(create_runtime).flatten();
    early.any(is_dockers) && hosts::tell_an_address(spec)
}

fn is_dockers(hook: &Hook) -> bool {
    let mut args = hook.args().iter().flatten();
    args.any(|arg| arg == DOCKER_HOOK) || hook.path().ends_with(DOCKER_HOOK)
}

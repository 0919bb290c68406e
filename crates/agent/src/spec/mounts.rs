//! Mounts inside the container.

use std::path::Path;

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;

use crate::guest_path::SANDBOX_SHM;

/// Where shared memory is expected (POSIX shm_open(3)).
const SHM: &str = "/dev/shm";

pub(super) fn mounts(mounts: &[oci::Mount], shared_shm: bool) -> Result<Vec<wire::Mount>, String> {
    mounts.iter().map(|mount| one(mount, shared_shm)).collect()
}

fn one(mount: &oci::Mount, shared_shm: bool) -> Result<wire::Mount, String> {
    let destination = mount.destination();
    let at = destination.display();
    let text = destination
        .to_str()
        .ok_or(format!("the mount point {at} is not UTF-8"))?;
    let options = mount.options().clone().unwrap_or_default();
    if shared_shm && destination == Path::new(SHM) {
        return Ok(wire::Mount {
            destination: text.to_owned(),
            source: SANDBOX_SHM.to_owned(),
            type_: "bind".to_owned(),
            options: vec!["rbind".to_owned()],
            ..Default::default()
        });
    }
    let binds = options.iter().any(|word| word == "bind" || word == "rbind");
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    let source = source
        .to_str()
        .ok_or(format!("the source of {at} is not UTF-8"))?;
    let type_ = match mount.typ().as_deref().unwrap_or_default() {
        "" | "none" if binds => "bind",
        given => given,
    };
    // The agent panics without a source, which pseudo file systems do not need.
    let source = match source {
        "" if binds => return Err(format!("the bind mount at {at} has no source")),
        "" => type_,
        given => given,
    };
    if type_.is_empty() {
        return Err(format!("the mount at {at} has no type"));
    }
    Ok(wire::Mount {
        destination: text.to_owned(),
        source: source.to_owned(),
        type_: type_.to_owned(),
        options,
        ..Default::default()
    })
}

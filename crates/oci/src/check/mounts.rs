//! Mounts that a guest cannot make.

use std::path::Component;

use oci_spec::runtime::Mount;

use super::unsupported;
use crate::{Error, ErrorKind};

pub(super) fn check(mounts: &[Mount]) -> Result<(), Error> {
    for (index, mount) in mounts.iter().enumerate() {
        one(index, mount)?;
    }
    Ok(())
}

fn one(index: usize, mount: &Mount) -> Result<(), Error> {
    let destination = mount.destination();
    let named = format!("mounts[{index}] at {}", destination.display());
    let climbs = destination
        .components()
        .any(|part| part == Component::ParentDir);
    if !destination.is_absolute() || climbs {
        let message = format!("{named} is not an absolute path without \"..\": correct it");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let options = mount.options().iter().flatten();
    let maps = options
        .clone()
        .any(|word| matches!(word_of(word), "idmap" | "ridmap"));
    let mapped = [mount.uid_mappings(), mount.gid_mappings()]
        .into_iter()
        .flatten();
    if maps || mapped.flatten().next().is_some() {
        let advice = "owners of files are the same in the guest as on the host: leave the mappings \
                      out, or change the owners on the host";
        return Err(unsupported(
            &format!("the mapping of user ids of {named}"),
            advice,
        ));
    }
    let binds = mount.typ().as_deref() == Some("bind")
        || options
            .clone()
            .any(|word| matches!(word.as_str(), "bind" | "rbind"));
    if binds && mount.source().is_none() {
        let message = format!("{named} binds nothing: give it a source");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(())
}

/// The name of an option that may have a value.
fn word_of(option: &str) -> &str {
    option.split_once('=').map_or(option, |(name, _)| name)
}

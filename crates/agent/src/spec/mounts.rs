//! Mounts inside the container.

use std::path::Path;

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;

use super::{Dialect, Notes};
use crate::guest_path::SANDBOX_SHM;

/// Where shared memory is expected (POSIX shm_open(3)).
const SHM: &str = "/dev/shm";

/// Of shared memory that one container has for itself.
const OWN_SHM: [&str; 5] = ["noexec", "nosuid", "nodev", "mode=1777", "size=65536k"];

/// An option that kata-agent would hand to the kernel, which does not know it.
const COPY_UP: &str = "tmpcopyup";

pub(super) fn mounts(
    mounts: &[oci::Mount],
    shared_shm: bool,
    dialect: Dialect,
    notes: &mut Notes,
) -> Result<Vec<wire::Mount>, String> {
    let mut guest: Vec<wire::Mount> = mounts
        .iter()
        .map(|mount| one(mount, shared_shm))
        .collect::<Result<_, _>>()?;
    if dialect == Dialect::Kata {
        let mut found = false;
        for mount in &mut guest {
            let before = mount.options.len();
            mount.options.retain(|word| word != COPY_UP);
            found |= mount.options.len() != before;
        }
        let reason = "kata-agent does not know it: the file system begins empty";
        notes.add_if(found, "the mount option tmpcopyup", reason);
    }
    Ok(guest)
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
    if destination == Path::new(SHM) && (binds || mount.typ().as_deref() == Some("bind")) {
        // The source would be the host's. The container gets memory of its own.
        return Ok(wire::Mount {
            destination: text.to_owned(),
            source: "shm".to_owned(),
            type_: "tmpfs".to_owned(),
            options: OWN_SHM.map(str::to_owned).to_vec(),
            ..Default::default()
        });
    }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn guest(mount: Value, dialect: Dialect) -> (wire::Mount, usize) {
        let mut notes = Notes::default();
        let mount = serde_json::from_value(mount).unwrap();
        let mut made = mounts(&[mount], false, dialect, &mut notes).unwrap();
        (made.remove(0), notes.0.len())
    }

    #[test]
    fn a_copy_of_what_is_covered_is_a_matter_of_our_agent() {
        let mount = json!({
            "destination": "/t", "type": "tmpfs", "options": ["nosuid", "tmpcopyup", "size=1m"],
        });
        let (exact, notes) = guest(mount.clone(), Dialect::Exact);
        assert_eq!((exact.options.len(), notes), (3, 0));
        let (kata, notes) = guest(mount, Dialect::Kata);
        assert_eq!(kata.options, ["nosuid", "size=1m"]);
        assert_eq!(notes, 1);
    }

    #[test]
    fn the_hosts_shared_memory_is_never_bound() {
        let mount = json!({
            "destination": "/dev/shm", "type": "bind", "source": "/host/shm", "options": ["bind"],
        });
        let (own, _) = guest(mount, Dialect::Exact);
        assert_eq!((own.type_.as_str(), own.source.as_str()), ("tmpfs", "shm"));
        assert_eq!(own.options, OWN_SHM);
    }
}

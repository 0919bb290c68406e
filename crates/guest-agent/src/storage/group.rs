//! Gives the files of a volume to a group, for containers that do not run as root.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;

use virtcontainers_agent_proto::agent::FSGroup;
use virtcontainers_agent_proto::types::FSGroupChangePolicy;

use crate::status::{Doing as _, Result};

/// Deepest folder that is walked into.
const DEEPEST: usize = 256;

/// Changes group and mode of everything below `root`, unless the policy is to trust a root that
/// is right already.
pub(super) fn apply(root: &Path, wanted: &FSGroup) -> Result<()> {
    let what = || format!("give {} to group {}", root.display(), wanted.group_id);
    let data = std::fs::symlink_metadata(root).doing(what)?;
    let only_on_mismatch =
        wanted.group_change_policy.enum_value() == Ok(FSGroupChangePolicy::OnRootMismatch);
    if only_on_mismatch && data.gid() == wanted.group_id && data.mode() & 0o2060 == 0o2060 {
        return Ok(());
    }
    let read_only = rustix::fs::statvfs(root)
        .is_ok_and(|fs| fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if read_only {
        return Ok(());
    }
    walk(root, wanted.group_id, 0).doing(what)
}

fn walk(path: &Path, group: u32, depth: usize) -> io::Result<()> {
    let data = std::fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if data.is_symlink() {
        return Ok(());
    }
    let extra = if data.is_dir() { 0o2770 } else { 0o0660 };
    std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(data.mode() & 0o7777 | extra),
    )?;
    if data.is_dir() && depth < DEEPEST {
        for entry in std::fs::read_dir(path)? {
            walk(&entry?.path(), group, depth + 1)?;
        }
    }
    Ok(())
}

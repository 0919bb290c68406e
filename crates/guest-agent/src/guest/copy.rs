//! `CopyFile`: the host writes files, folders and links below the shared folder, and nowhere else.
//!
//! Every step is taken with openat2(2) relative to the shared folder: no `..`, no link in between
//! leads out of it, whatever containers have put there. A file grows under another name and takes
//! its own when it is complete.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use virtcontainers_agent_proto::agent::CopyFileRequest;

use crate::agent::Agent;
use crate::status::{Doing as _, Failure, Result};
use crate::sys;

/// What an unfinished file is called after its own name.
const UNFINISHED: &str = ".vc-copy";

/// Writes one entry, or one piece of a file.
///
/// # Errors
/// INVALID_ARGUMENT for a path outside or a piece that does not fit, INTERNAL when a step fails.
pub(crate) fn copy_file(agent: &Agent, request: &CopyFileRequest) -> Result<()> {
    let shared = agent.config.shared_dir();
    let (folders, name) = split(&shared, Path::new(&request.path))?;
    std::fs::create_dir_all(&shared).doing(|| format!("create {}", shared.display()))?;
    let root = rustix::fs::open(
        &shared,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing(|| format!("open {}", shared.display()))?;
    let parent = make_parents(root, &folders, request)?;
    let target = Target {
        parent,
        name,
        request,
    };
    match FileType::from_raw_mode(request.file_mode) {
        FileType::RegularFile => target.file(),
        FileType::Directory => target.folder(),
        FileType::Symlink => target.link(),
        _ => Err(Failure::invalid(format!(
            "file mode {:o} is neither a file nor a folder nor a link",
            request.file_mode
        ))),
    }
}

/// The parts of a path below the shared folder: folders, then the name.
fn split<'a>(shared: &Path, path: &'a Path) -> Result<(Vec<&'a str>, &'a str)> {
    let outside = || Failure::invalid(format!("{path:?} is not below {}", shared.display()));
    let below = path.strip_prefix(shared).map_err(|_| outside())?;
    let mut parts = Vec::new();
    for part in below.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str().ok_or_else(outside)?),
            _ => return Err(outside()),
        }
    }
    let name = parts.pop().ok_or_else(outside)?;
    Ok((parts, name))
}

fn beneath(dir: impl AsFd, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(
        dir,
        name,
        flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        mode,
        resolve,
    )
    .doing(|| format!("open {name:?} in the shared folder"))
}

/// Goes down the folders, making those that are missing; the last one made gets the owner.
fn make_parents(root: OwnedFd, folders: &[&str], request: &CopyFileRequest) -> Result<OwnedFd> {
    let mut here = root;
    for (index, folder) in folders.iter().enumerate() {
        let made = rustix::fs::mkdirat(
            &here,
            *folder,
            Mode::from_raw_mode(request.dir_mode & 0o777),
        );
        let next = beneath(
            &here,
            folder,
            OFlags::PATH | OFlags::DIRECTORY,
            Mode::empty(),
        )?;
        match made {
            Ok(()) if index + 1 == folders.len() => {
                sys::own(&next, "", request.uid, request.gid)
                    .doing(|| format!("set the owner of {folder:?}"))?;
            }
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).doing(|| format!("create folder {folder:?}")),
        }
        here = next;
    }
    Ok(here)
}

struct Target<'a> {
    parent: OwnedFd,
    name: &'a str,
    request: &'a CopyFileRequest,
}

impl Target<'_> {
    fn what(&self) -> String {
        format!("copy to {:?}", self.request.path)
    }

    fn mode(&self) -> Mode {
        Mode::from_raw_mode(self.request.file_mode & 0o7777)
    }

    /// One piece of a file. Pieces come in order; the first one starts anew.
    fn file(&self) -> Result<()> {
        let CopyFileRequest {
            offset,
            file_size,
            data,
            ..
        } = self.request;
        let (Ok(offset), Ok(size)) = (u64::try_from(*offset), u64::try_from(*file_size)) else {
            return Err(Failure::invalid(format!(
                "{}: negative offset or size",
                self.what()
            )));
        };
        let end = offset.saturating_add(data.len() as u64);
        if end > size {
            return Err(Failure::invalid(format!(
                "{}: a piece that ends at {end} of {size} bytes",
                self.what()
            )));
        }
        let unfinished = format!("{}{UNFINISHED}", self.name);
        let start = if offset == 0 {
            OFlags::CREATE | OFlags::TRUNC
        } else {
            OFlags::empty()
        };
        let mode = Mode::RUSR | Mode::WUSR;
        let created = if start.is_empty() {
            Mode::empty()
        } else {
            mode
        };
        let file = beneath(&self.parent, &unfinished, OFlags::WRONLY | start, created)?;
        let length = rustix::fs::fstat(&file).doing(|| self.what())?.st_size;
        if u64::try_from(length) != Ok(offset) {
            return Err(Failure::invalid(format!(
                "{}: a piece for offset {offset}, but {length} bytes are there",
                self.what()
            )));
        }
        let mut rest = data.as_slice();
        let mut at = offset;
        while !rest.is_empty() {
            let written = rustix::io::pwrite(&file, rest, at).doing(|| self.what())?;
            rest = rest.get(written..).unwrap_or_default();
            at += written as u64;
        }
        if end < size {
            return Ok(());
        }
        sys::own(&file, "", self.request.uid, self.request.gid).doing(|| self.what())?;
        rustix::fs::fchmod(&file, self.mode()).doing(|| self.what())?;
        rustix::fs::renameat(&self.parent, unfinished.as_str(), &self.parent, self.name)
            .doing(|| self.what())
    }

    fn folder(&self) -> Result<()> {
        match rustix::fs::mkdirat(&self.parent, self.name, self.mode()) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).doing(|| self.what()),
        }
        let folder = beneath(
            &self.parent,
            self.name,
            OFlags::RDONLY | OFlags::DIRECTORY,
            Mode::empty(),
        )?;
        // By descriptor and after mkdir, so that the umask has no say.
        rustix::fs::fchmod(&folder, self.mode()).doing(|| self.what())?;
        sys::own(&folder, "", self.request.uid, self.request.gid).doing(|| self.what())
    }

    fn link(&self) -> Result<()> {
        let target = OsStr::from_bytes(&self.request.data);
        match rustix::fs::unlinkat(&self.parent, self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).doing(|| self.what()),
        }
        rustix::fs::symlinkat(target, &self.parent, self.name).doing(|| self.what())?;
        sys::own(&self.parent, self.name, self.request.uid, self.request.gid).doing(|| self.what())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_share_are_split() {
        let shared = Path::new("/run/shared");
        let below = split(shared, Path::new("/run/shared/a/b/c")).unwrap();
        assert_eq!(below, (vec!["a", "b"], "c"));
        assert_eq!(
            split(shared, Path::new("/run/shared/c")).unwrap(),
            (vec![], "c")
        );
        for bad in [
            "",
            "/",
            "c",
            "/run/shared",
            "/run/sharedx",
            "/run/shared/../x",
            "/run/shared/a/../../x",
        ] {
            assert!(split(shared, Path::new(bad)).is_err(), "{bad}");
        }
    }
}

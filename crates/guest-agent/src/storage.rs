//! Storages: mounts that a sandbox or a container asks for, counted by mount point.
//!
//! A mount point named twice is mounted once and unmounted when its last user has gone. Each mount
//! point has a lock of its own, so waiting for one device holds up nobody else.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::mount::UnmountFlags;
use virtcontainers_agent_proto::agent::Storage;

use crate::agent::Agent;
use crate::status::{Failure, Result};

mod driver;
mod group;
mod options;

pub(crate) use driver::{HANDLERS, update_ephemeral};

/// All storages of the sandbox.
#[derive(Debug, Default)]
pub(crate) struct Storages {
    points: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<Point>>>>,
}

/// One mount point.
#[derive(Debug, Default)]
struct Point {
    users: usize,
    /// Kept until the sandbox ends.
    shared: bool,
    /// Whether there is something to unmount when the last user goes.
    mounted: bool,
}

impl Storages {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<tokio::sync::Mutex<Point>>>> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all of `wanted` in order and gives their mount points. If one fails, those before it
    /// are released again.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an unknown driver or option, INTERNAL when a mount fails or a device
    /// does not appear.
    pub(crate) async fn add_all(&self, agent: &Agent, wanted: &[Storage]) -> Result<Vec<PathBuf>> {
        let mut added = Vec::with_capacity(wanted.len());
        for storage in wanted {
            match self.add(agent, storage).await {
                Ok(point) => added.push(point),
                Err(failure) => {
                    self.release_all(&added).await;
                    return Err(failure.within(format!("storage on {:?}", storage.mount_point)));
                }
            }
        }
        Ok(added)
    }

    async fn add(&self, agent: &Agent, storage: &Storage) -> Result<PathBuf> {
        let path = PathBuf::from(storage.mount_point.trim_end_matches('/'));
        check_mount_point(&path)?;
        let point = Arc::clone(self.lock().entry(path.clone()).or_default());
        let mut point = point.lock().await;
        if point.users == 0 && !point.mounted {
            point.mounted = driver::mount(agent, storage, &path).await?;
        }
        point.users += 1;
        point.shared |= storage.shared;
        Ok(path)
    }

    /// One user less for each of `paths`; what has none left is unmounted. Problems are logged:
    /// there is nobody who could do better.
    pub(crate) async fn release_all(&self, paths: &[PathBuf]) {
        for path in paths.iter().rev() {
            let Some(point) = self.lock().get(path).cloned() else {
                continue;
            };
            let mut point = point.lock().await;
            point.users = point.users.saturating_sub(1);
            if point.users == 0 && !point.shared {
                if point.mounted {
                    unmount(path);
                    point.mounted = false;
                }
                self.lock().remove(path);
            }
        }
    }

    /// Unmounts everything, when the sandbox ends.
    pub(crate) async fn release_everything(&self) {
        let points: Vec<_> = self.lock().drain().collect();
        for (path, point) in points {
            if std::mem::take(&mut *point.lock().await).mounted {
                unmount(&path);
            }
        }
    }
}

/// Lazily: whoever still has a file open keeps it, nobody new gets in.
fn unmount(path: &Path) {
    if let Err(errno) = rustix::mount::unmount(path, UnmountFlags::DETACH) {
        log::warn!("unmount {}: {errno}", path.display());
    }
}

fn check_mount_point(path: &Path) -> Result<()> {
    let upward = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if !path.is_absolute() || upward || path == Path::new("/") {
        return Err(Failure::invalid(format!(
            "mount point {path:?} must be an absolute path without .."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points() {
        for good in ["/run/x", "/a"] {
            assert!(check_mount_point(Path::new(good)).is_ok(), "{good}");
        }
        for bad in ["", "a", "/", "/a/../b", ".."] {
            assert!(check_mount_point(Path::new(bad)).is_err(), "{bad}");
        }
    }
}

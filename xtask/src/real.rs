//! What tasks that start real virtual machines need, and how the programs and tests that they run
//! are told about it: by environment variables.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::build::{self, Profile};
use crate::cache::Cache;
use crate::guest::{self, Guest};
use crate::rootfs;
use crate::setup::{self, Purpose};

/// All that a virtual machine with a container takes.
#[derive(Debug)]
pub(crate) struct Real {
    guest: Guest,
    vc: PathBuf,
    rootfs: TempDir,
}

impl Real {
    /// Sets up and builds what is missing.
    pub(crate) fn prepare(profile: Profile) -> Result<Self> {
        let cache = Cache::open()?;
        setup::ensure(&cache, Purpose::Tests)?;
        let guest = guest::ensure(&cache)?;
        let vc = build::vc(profile)?;
        Self::of(&cache, guest, vc)
    }

    /// Puts together what was built before.
    pub(crate) fn of(cache: &Cache, guest: Guest, vc: PathBuf) -> Result<Self> {
        let rootfs = rootfs::copy(&rootfs::ensure(cache)?)?;
        Ok(Self { guest, vc, rootfs })
    }

    /// The environment that points at all of it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        environment(&self.guest, &self.vc, self.rootfs.path())
    }
}

/// The environment that points programs and tests at what was built.
pub(crate) fn environment(
    guest: &Guest,
    vc: &Path,
    rootfs: &Path,
) -> Vec<(&'static str, OsString)> {
    vec![
        ("VC_BIN", vc.into()),
        ("VC_GUEST_DIR", guest.dir.clone().into()),
        ("VC_AGENT_BIN", guest.agent.clone().into()),
        ("VC_TEST_ROOTFS", rootfs.into()),
    ]
}

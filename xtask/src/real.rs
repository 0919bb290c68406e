//! What tasks that start real virtual machines tell the programs they run.

use std::ffi::OsString;
use std::path::Path;

use crate::guest::Guest;

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

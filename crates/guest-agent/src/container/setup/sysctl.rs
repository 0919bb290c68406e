//! Writes kernel parameters.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use crate::container::error::{Result, Step as _};
use crate::container::plan::SysctlPlan;

/// Writes through the agent's `/proc`: what is behind these names depends on the namespaces of
/// the writer, and the container's own `/proc` may be read-only by now.
pub(super) fn write(sysctls: &[SysctlPlan]) -> Result<()> {
    for SysctlPlan { file, value } in sysctls {
        OpenOptions::new()
            .write(true)
            .open(Path::new("/proc/sys").join(file))
            .and_then(|mut open| open.write_all(value.as_bytes()))
            .step(|| format!("set linux.sysctl {file} to {value:?}"))?;
    }
    Ok(())
}

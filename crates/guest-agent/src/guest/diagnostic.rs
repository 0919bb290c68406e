//! Small services for the host's runtime: a container's last words, and stale mounts of the share.

use std::io::Read as _;

use virtcontainers_agent_proto::agent::GetDiagnosticDataRequest;

use crate::agent::Agent;
use crate::status::{Doing as _, Failure, Result};

/// Most that is read of a termination message, in bytes.
const LONGEST: u64 = 4096;

/// The beginning of a container's termination message; empty when it wrote none.
///
/// # Errors
/// INVALID_ARGUMENT for another kind of data or an unknown container, FAILED_PRECONDITION when
/// the container has no such file.
pub(crate) fn diagnostic_data(agent: &Agent, asked: &GetDiagnosticDataRequest) -> Result<String> {
    if asked.log_type != "termination_log" {
        return Err(Failure::invalid(format!(
            "no diagnostic data {:?}",
            asked.log_type
        )));
    }
    let container = agent.containers.get(&asked.container_id)?;
    let Some(path) = &container.termination_log else {
        return Err(Failure::wrong_state(format!(
            "container {} has no termination message path",
            container.id
        )));
    };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        file => file.doing(|| format!("open {}", path.display()))?,
    };
    let mut bytes = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut bytes)
        .doing(|| format!("read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Looks at every mount below the share, which lets the kernel drop those whose source is gone.
///
/// # Errors
/// INTERNAL when the list of mounts cannot be read.
pub(crate) fn touch_share_mounts(agent: &Agent) -> Result<()> {
    let share = agent.config.shared_dir();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")
        .doing(|| "read the list of mounts".to_owned())?;
    for point in mounts.lines().filter_map(|line| line.split(' ').nth(4)) {
        if std::path::Path::new(point).starts_with(&share) {
            // The look is the effect; what it shows does not matter.
            drop(std::fs::metadata(point));
        }
    }
    Ok(())
}

//! Kernel parameters that a container may set: those that belong to its namespaces, and those of
//! the network, which in the guest is the sandbox's alone.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::no_nul;
use crate::container::error::{EngineError, Result};

/// One parameter to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SysctlPlan {
    /// File below `/proc/sys`.
    pub(crate) file: String,
    /// What to write.
    pub(crate) value: String,
}

/// Parameters of ipc and uts namespaces; those of `fs.mqueue.` and `net.` go by their prefix.
const OF_NAMESPACES: [&str; 9] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
    "kernel/domainname",
];

pub(super) fn sysctls(wanted: Option<&HashMap<String, String>>) -> Result<Vec<SysctlPlan>> {
    let mut plans = wanted
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            no_nul("linux.sysctl", value)?;
            Ok(SysctlPlan {
                file: file(name)?,
                value: value.clone(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    plans.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(plans)
}

/// `a.b.c` or `a/b/c`; where the first separator is a slash, dots belong to the names.
fn file(name: &str) -> Result<String> {
    let refuse = |why: &str| EngineError::invalid(format!("linux.sysctl: {name:?} {why}"));
    no_nul("linux.sysctl", name)?;
    let dotted = name
        .find(['.', '/'])
        .is_some_and(|at| name.as_bytes()[at] == b'.');
    let file = if dotted {
        let swap = |letter| match letter {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        name.chars().map(swap).collect()
    } else {
        name.to_owned()
    };
    if file.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(refuse("is not the name of a parameter"));
    }
    let allowed = OF_NAMESPACES.contains(&file.as_str())
        || file.starts_with("net/")
        || file.starts_with("fs/mqueue/");
    if !allowed {
        return Err(refuse("does not belong to a container's namespaces"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files() {
        for (name, expected) in [
            ("net.ipv4.ip_forward", Some("net/ipv4/ip_forward")),
            (
                "net/ipv4/conf/eth0.1/forwarding",
                Some("net/ipv4/conf/eth0.1/forwarding"),
            ),
            (
                "net.ipv4.conf.eth0/1.forwarding",
                Some("net/ipv4/conf/eth0.1/forwarding"),
            ),
            ("fs.mqueue.msg_max", Some("fs/mqueue/msg_max")),
            ("kernel.shmmax", Some("kernel/shmmax")),
            ("kernel.core_pattern", None),
            ("vm.overcommit_memory", None),
            ("net", None),
            ("net..", None),
            ("net/../kernel/core_pattern", None),
            ("net.//.kernel.core_pattern", None),
            ("kernel.shmmax.", None),
            ("", None),
        ] {
            assert_eq!(file(name).ok().as_deref(), expected, "{name}");
        }
    }
}

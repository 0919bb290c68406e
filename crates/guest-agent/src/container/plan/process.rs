//! The program of a container or an exec: arguments, identity, rights and limits.

use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities as CapabilityNames, PosixRlimit, PosixRlimitType as Limit, Process, User,
};
use serde::{Deserialize, Serialize};

use super::{ExecPlan, SeccompPlan, absolute, no_nul};
use crate::container::error::{EngineError, Result};

/// Permissions that new files do not get, unless the specification says otherwise.
const UMASK: u32 = 0o022;

/// How the program is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessPlan {
    /// `argv`, not empty.
    pub(crate) args: Vec<String>,
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    /// Where it starts.
    pub(crate) cwd: PathBuf,
    /// As whom.
    pub(crate) user: UserPlan,
    /// With which rights.
    pub(crate) capabilities: Capabilities,
    /// With which limits.
    pub(crate) rlimits: Vec<Rlimit>,
    /// Whether it can gain rights by executing files.
    pub(crate) no_new_privileges: bool,
    /// Its place among the victims of the out-of-memory killer.
    pub(crate) oom_score_adj: i32,
    /// The system calls that it may make.
    pub(crate) seccomp: Option<SeccompPlan>,
    /// Its terminal, if it gets one.
    pub(crate) terminal: Option<TerminalPlan>,
}

/// A terminal, with rows and columns if they are known already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TerminalPlan {
    /// Rows, columns.
    pub(crate) size: Option<(u16, u16)>,
}

/// Who runs the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserPlan {
    /// `name`, `name:group` or numbers, to be looked up in the container's own files; goes before
    /// the numbers below.
    pub(crate) name: Option<String>,
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Further groups.
    pub(crate) groups: Vec<u32>,
    /// Permissions that new files do not get.
    pub(crate) umask: u32,
}

/// The five sets, as bits by capability number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capabilities {
    /// What files can give.
    pub(crate) bounding: u64,
    /// What counts now.
    pub(crate) effective: u64,
    /// What files may pass on.
    pub(crate) inheritable: u64,
    /// What can be made effective.
    pub(crate) permitted: u64,
    /// What is passed on without a file's help.
    pub(crate) ambient: u64,
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rlimit {
    /// `RLIMIT_*`.
    pub(crate) resource: u32,
    /// What is enforced.
    pub(crate) soft: u64,
    /// How far it can be raised.
    pub(crate) hard: u64,
}

/// Plans one more process of a container whose own program is `base`.
///
/// # Errors
/// Invalid, as for a container.
pub(crate) fn exec(
    program: &Process,
    base: &ProcessPlan,
    terminal: Option<TerminalPlan>,
) -> Result<ExecPlan> {
    let mut process = process(program, terminal)?;
    process.seccomp.clone_from(&base.seccomp);
    if program.capabilities().is_none() {
        process.capabilities = base.capabilities;
    }
    if program.no_new_privileges().is_none() {
        process.no_new_privileges = base.no_new_privileges;
    }
    if program.oom_score_adj().is_none() {
        process.oom_score_adj = base.oom_score_adj;
    }
    Ok(ExecPlan { process })
}

pub(super) fn process(program: &Process, terminal: Option<TerminalPlan>) -> Result<ProcessPlan> {
    let args = program.args().clone().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(EngineError::invalid(
            "process.args: there is no program to run",
        ));
    }
    args.iter()
        .try_for_each(|arg| no_nul("process.args", arg))?;
    if program
        .selinux_label()
        .as_ref()
        .is_some_and(|label| !label.is_empty())
    {
        return Err(EngineError::invalid(
            "process.selinuxLabel: SELinux is not in this guest",
        ));
    }
    let cwd = program.cwd();
    Ok(ProcessPlan {
        args,
        env: environment(program.env().as_deref().unwrap_or_default())?,
        cwd: if cwd.as_os_str().is_empty() {
            PathBuf::from("/")
        } else {
            absolute("process.cwd", cwd)?
        },
        user: user(program.user())?,
        capabilities: capabilities(program),
        rlimits: rlimits(program.rlimits().as_deref().unwrap_or_default())?,
        no_new_privileges: program.no_new_privileges().unwrap_or(false),
        oom_score_adj: oom_score_adj(program.oom_score_adj().unwrap_or(0))?,
        seccomp: None,
        terminal,
    })
}

fn environment(env: &[String]) -> Result<Vec<String>> {
    env.iter()
        .map(|entry| {
            no_nul("process.env", entry)?;
            match entry.find('=') {
                Some(at) if at > 0 => Ok(entry.clone()),
                _ => Err(EngineError::invalid(format!(
                    "process.env: {entry:?} is not NAME=value"
                ))),
            }
        })
        .collect()
}

fn user(user: &User) -> Result<UserPlan> {
    let name = user.username().clone().filter(|name| !name.is_empty());
    if let Some(name) = &name
        && name.contains(['\0', '\n'])
    {
        return Err(EngineError::invalid(format!(
            "process.user.username: {name:?}"
        )));
    }
    let all = [user.uid(), user.gid()];
    let groups = user.additional_gids().clone().unwrap_or_default();
    // The kernel takes -1 for "leave it as it is", which is root here.
    if all.iter().chain(&groups).any(|id| *id == u32::MAX) {
        return Err(EngineError::invalid(format!(
            "process.user: {} is not an id",
            u32::MAX
        )));
    }
    Ok(UserPlan {
        name,
        uid: user.uid(),
        gid: user.gid(),
        groups,
        umask: user.umask().unwrap_or(UMASK) & 0o777,
    })
}

fn oom_score_adj(value: i32) -> Result<i32> {
    if !(-1000..=1000).contains(&value) {
        return Err(EngineError::invalid(format!(
            "process.oomScoreAdj: {value} is not between -1000 and 1000"
        )));
    }
    Ok(value)
}

/// Names of capabilities, by number.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

fn capabilities(program: &Process) -> Capabilities {
    let Some(sets) = program.capabilities() else {
        return Capabilities::default();
    };
    let bounding = bits(sets.bounding().as_ref());
    let permitted = bits(sets.permitted().as_ref());
    let inheritable = bits(sets.inheritable().as_ref());
    Capabilities {
        bounding,
        effective: bits(sets.effective().as_ref()) & permitted,
        inheritable,
        permitted,
        // The kernel refuses ambient capabilities that are not in both of these.
        ambient: bits(sets.ambient().as_ref()) & permitted & inheritable,
    }
}

fn bits(names: Option<&CapabilityNames>) -> u64 {
    names.into_iter().flatten().fold(0, |bits, capability| {
        let name = capability.to_string();
        let number = CAPABILITIES.iter().position(|known| *known == name);
        bits | number.map_or(0, |number| 1 << number)
    })
}

fn rlimits(limits: &[PosixRlimit]) -> Result<Vec<Rlimit>> {
    let mut plans: Vec<Rlimit> = Vec::with_capacity(limits.len());
    for limit in limits {
        let resource = resource(limit.typ());
        if limit.soft() > limit.hard() {
            return Err(EngineError::invalid(format!(
                "process.rlimits: {} has a soft limit above its hard limit",
                limit.typ()
            )));
        }
        if plans.iter().any(|other| other.resource == resource) {
            let typ = limit.typ();
            return Err(EngineError::invalid(format!(
                "process.rlimits: {typ} is there twice"
            )));
        }
        plans.push(Rlimit {
            resource,
            soft: limit.soft(),
            hard: limit.hard(),
        });
    }
    Ok(plans)
}

fn resource(limit: Limit) -> u32 {
    match limit {
        Limit::RlimitCpu => libc::RLIMIT_CPU,
        Limit::RlimitFsize => libc::RLIMIT_FSIZE,
        Limit::RlimitData => libc::RLIMIT_DATA,
        Limit::RlimitStack => libc::RLIMIT_STACK,
        Limit::RlimitCore => libc::RLIMIT_CORE,
        Limit::RlimitRss => libc::RLIMIT_RSS,
        Limit::RlimitNproc => libc::RLIMIT_NPROC,
        Limit::RlimitNofile => libc::RLIMIT_NOFILE,
        Limit::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        Limit::RlimitAs => libc::RLIMIT_AS,
        Limit::RlimitLocks => libc::RLIMIT_LOCKS,
        Limit::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        Limit::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        Limit::RlimitNice => libc::RLIMIT_NICE,
        Limit::RlimitRtprio => libc::RLIMIT_RTPRIO,
        Limit::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}

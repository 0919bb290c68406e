//! The program of a container or an exec.

use std::path::PathBuf;

use oci_spec::runtime::{self as oci, Capabilities};
use virtcontainers_agent_proto::oci as wire;

use super::{built, text, word};
use crate::container::error::{EngineError, Result};

/// Reads a process. Capabilities that are not there at all stay so: an exec has the container's.
///
/// # Errors
/// Invalid, naming the property, for capabilities, limits and scores that do not exist.
pub(crate) fn process(process: &wire::Process) -> Result<oci::Process> {
    let mut read = oci::Process::default();
    read.set_terminal(Some(process.Terminal));
    read.set_user(process.User.as_ref().map(user).unwrap_or_default());
    read.set_args(Some(process.Args.clone()));
    // Kata-agent trims the entries, so clients may rely on it.
    read.set_env(Some(
        process
            .Env
            .iter()
            .map(|entry| entry.trim().to_owned())
            .collect(),
    ));
    read.set_cwd(PathBuf::from(&process.Cwd));
    read.set_capabilities(
        process
            .Capabilities
            .as_ref()
            .map(capabilities)
            .transpose()?,
    );
    read.set_rlimits(Some(
        process.Rlimits.iter().map(rlimit).collect::<Result<_>>()?,
    ));
    // False is "not given", too: an exec has what the container has.
    read.set_no_new_privileges(Some(process.NoNewPrivileges).filter(|set| *set));
    read.set_apparmor_profile(None);
    read.set_oom_score_adj(oom_score(process.OOMScoreAdj)?);
    read.set_selinux_label(text(&process.SelinuxLabel));
    Ok(read)
}

fn user(user: &wire::User) -> oci::User {
    let mut read = oci::User::default();
    read.set_uid(user.UID);
    read.set_gid(user.GID);
    read.set_additional_gids(Some(user.AdditionalGids.clone()));
    read.set_username(text(&user.Username));
    read
}

fn oom_score(score: i64) -> Result<Option<i32>> {
    let score = i32::try_from(score).map_err(|_| {
        EngineError::invalid(format!(
            "process.oomScoreAdj: {score} is not between -1000 and 1000"
        ))
    })?;
    Ok(Some(score).filter(|score| *score != 0))
}

fn capabilities(sets: &wire::LinuxCapabilities) -> Result<oci::LinuxCapabilities> {
    let mut read = oci::LinuxCapabilities::default();
    read.set_bounding(Some(set(&sets.Bounding)?));
    read.set_effective(Some(set(&sets.Effective)?));
    read.set_inheritable(Some(set(&sets.Inheritable)?));
    read.set_permitted(Some(set(&sets.Permitted)?));
    read.set_ambient(Some(set(&sets.Ambient)?));
    Ok(read)
}

fn set(names: &[String]) -> Result<Capabilities> {
    let one = |name: &String| {
        word(
            "process.capabilities",
            name.strip_prefix("CAP_").unwrap_or(name.as_str()),
        )
        .map_err(|_: EngineError| {
            EngineError::invalid(format!("process.capabilities: {name:?} does not exist"))
        })
    };
    names.iter().map(one).collect()
}

fn rlimit(limit: &wire::POSIXRlimit) -> Result<oci::PosixRlimit> {
    let property = "process.rlimits";
    let kind: oci::PosixRlimitType = word(property, &limit.Type)?;
    let builder = oci::PosixRlimitBuilder::default()
        .typ(kind)
        .hard(limit.Hard)
        .soft(limit.Soft);
    built(property, builder.build())
}

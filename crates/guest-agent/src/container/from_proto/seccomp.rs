//! The seccomp profile.

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;
use virtcontainers_agent_proto::oci::linux_syscall::ErrnoRet;

use super::{built, word};
use crate::container::error::{EngineError, Result};

const PROPERTY: &str = "linux.seccomp";

pub(super) fn seccomp(profile: &wire::LinuxSeccomp) -> Result<oci::LinuxSeccomp> {
    let mut read = oci::LinuxSeccomp::default();
    read.set_default_action(word(PROPERTY, &profile.DefaultAction)?);
    read.set_architectures(Some(words(&profile.Architectures)?));
    read.set_flags(Some(words(&profile.Flags)?));
    read.set_syscalls(Some(
        profile.Syscalls.iter().map(rule).collect::<Result<_>>()?,
    ));
    Ok(read)
}

fn words<T: std::str::FromStr>(all: &[String]) -> Result<Vec<T>> {
    all.iter().map(|text| word(PROPERTY, text)).collect()
}

fn rule(rule: &wire::LinuxSyscall) -> Result<oci::LinuxSyscall> {
    let mut read = oci::LinuxSyscall::default();
    read.set_names(rule.Names.clone());
    read.set_action(word(PROPERTY, &rule.Action)?);
    read.set_errno_ret(match &rule.ErrnoRet {
        Some(ErrnoRet::Errnoret(number)) => Some(*number),
        _ => None,
    });
    let conditions = rule
        .Args
        .iter()
        .map(condition)
        .collect::<Result<Vec<_>>>()?;
    read.set_args(Some(conditions).filter(|all| !all.is_empty()));
    Ok(read)
}

fn condition(condition: &wire::LinuxSeccompArg) -> Result<oci::LinuxSeccompArg> {
    let index = usize::try_from(condition.Index)
        .ok()
        .filter(|index| *index < 6);
    let index = index.ok_or_else(|| {
        EngineError::invalid(format!(
            "{PROPERTY}: there is no argument {}",
            condition.Index
        ))
    })?;
    let operator: oci::LinuxSeccompOperator = word(PROPERTY, &condition.Op)?;
    let builder = oci::LinuxSeccompArgBuilder::default()
        .index(index)
        .value(condition.Value)
        .value_two(condition.ValueTwo)
        .op(operator);
    built(PROPERTY, builder.build())
}

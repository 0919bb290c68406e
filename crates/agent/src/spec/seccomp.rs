//! The system call filter.

use oci_spec::runtime::{self as oci, LinuxSeccompAction as Action};
use virtcontainers_agent_proto::oci as wire;

use super::{NO_FIELD, Notes};
use crate::error::{Error, Result};

/// What a refused call returns when the rule does not say (runtime-spec, `errnoRet`).
const EPERM: u32 = 1;

pub(super) fn filter(filter: &oci::LinuxSeccomp, notes: &mut Notes) -> Result<wire::LinuxSeccomp> {
    let rules = filter.syscalls().as_deref().unwrap_or_default();
    let notifies = rules
        .iter()
        .any(|rule| rule.action() == Action::ScmpActNotify)
        || filter.default_action() == Action::ScmpActNotify
        || filter.listener_path().is_some();
    if notifies {
        let reason = "linux.seccomp asks a process of the host about system calls; \
                      a filter in a guest cannot reach it";
        return Err(Error::unsupported("spec", reason));
    }
    let default = filter.default_errno_ret();
    let unusual = default.is_some_and(|errno| errno != EPERM);
    notes.add_if(unusual, "linux.seccomp.defaultErrnoRet", NO_FIELD);
    Ok(wire::LinuxSeccomp {
        DefaultAction: word(filter.default_action())?,
        Architectures: words(filter.architectures().as_deref())?,
        Flags: words(filter.flags().as_deref())?,
        Syscalls: rules.iter().map(rule).collect::<Result<_>>()?,
        ..Default::default()
    })
}

fn rule(rule: &oci::LinuxSyscall) -> Result<wire::LinuxSyscall> {
    use wire::linux_syscall::ErrnoRet;
    // An agent takes a missing number for 0, which would let a refused call seem to succeed.
    let errno = match rule.action() {
        Action::ScmpActErrno => Some(rule.errno_ret().unwrap_or(EPERM)),
        Action::ScmpActTrace => rule.errno_ret(),
        _ => None,
    };
    let argument = |argument: &oci::LinuxSeccompArg| {
        Ok(wire::LinuxSeccompArg {
            Index: argument.index() as u64,
            Value: argument.value(),
            ValueTwo: argument.value_two().unwrap_or(0),
            Op: word(argument.op())?,
            ..Default::default()
        })
    };
    Ok(wire::LinuxSyscall {
        Names: rule.names().clone(),
        Action: word(rule.action())?,
        ErrnoRet: errno.map(ErrnoRet::Errnoret),
        Args: rule
            .args()
            .iter()
            .flatten()
            .map(argument)
            .collect::<Result<_>>()?,
        ..Default::default()
    })
}

fn words<T: serde::Serialize + Copy>(list: Option<&[T]>) -> Result<Vec<String>> {
    list.unwrap_or_default()
        .iter()
        .map(|value| word(*value))
        .collect()
}

/// The word that the specification's JSON has for a value.
fn word<T: serde::Serialize>(value: T) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(Error::unsupported(
            "spec",
            format!("linux.seccomp has {other:?}"),
        )),
    }
}

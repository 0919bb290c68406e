//! A seccomp profile compiled to the filter that the kernel loads.

use std::io::{Read as _, Seek as _};

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};
use serde::{Deserialize, Serialize};

use crate::container::error::{EngineError, Result, Step as _};

/// A filter to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeccompPlan {
    /// Classic BPF, 8 bytes an instruction.
    pub(crate) filter: Vec<u8>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(crate) flags: u64,
}

/// Error number of a refused call that names none.
const EPERM: u32 = 1;

/// Largest error number that the kernel passes to programs.
const MOST_ERRNO: u32 = 4095;

pub(super) fn compile(profile: &LinuxSeccomp) -> Result<SeccompPlan> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut filter = ScmpFilterContext::new(default).map_err(refused("default action"))?;
    for arch in profile.architectures().iter().flatten() {
        filter
            .add_arch(architecture(*arch))
            .map_err(refused("architecture"))?;
    }
    for rule in profile.syscalls().iter().flatten() {
        add(&mut filter, default, rule)?;
    }
    let mut file = std::fs::File::from(
        rustix::fs::memfd_create("seccomp", rustix::fs::MemfdFlags::CLOEXEC)
            .step(|| "make a file for the seccomp filter".to_owned())?,
    );
    filter.export_bpf(&file).map_err(refused("filter"))?;
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .step(|| "read the seccomp filter".to_owned())?;
    let flags = profile
        .flags()
        .iter()
        .flatten()
        .fold(0, |flags, flag| flags | bit(*flag));
    Ok(SeccompPlan {
        filter: bytes,
        flags,
    })
}

fn refused(what: &str) -> impl Fn(libseccomp::error::SeccompError) -> EngineError {
    let what = what.to_owned();
    move |error| EngineError::invalid(format!("linux.seccomp: {what}: {error}"))
}

/// Adds a rule. System calls that this kernel's headers do not know cannot be made, so rules for
/// them say nothing.
fn add(filter: &mut ScmpFilterContext, default: ScmpAction, rule: &LinuxSyscall) -> Result<()> {
    let action = action(rule.action(), rule.errno_ret())?;
    if rule.names().is_empty() {
        return Err(EngineError::invalid(
            "linux.seccomp: a rule names no system call",
        ));
    }
    let conditions: Vec<ScmpArgCompare> = rule
        .args()
        .iter()
        .flatten()
        .map(condition)
        .collect::<Result<_>>()?;
    if action == default {
        return Ok(());
    }
    for name in rule.names() {
        let Ok(call) = ScmpSyscall::from_name(name) else {
            continue;
        };
        let failed = |error| refused(name)(error);
        // Several conditions on one argument are alternatives, as runc has it: the kernel's
        // filter can ask about an argument once only.
        if repeats(&conditions, rule) {
            for condition in &conditions {
                filter
                    .add_rule_conditional(action, call, &[*condition])
                    .map_err(failed)?;
            }
        } else {
            filter
                .add_rule_conditional(action, call, &conditions)
                .map_err(failed)?;
        }
    }
    Ok(())
}

fn repeats(conditions: &[ScmpArgCompare], rule: &LinuxSyscall) -> bool {
    let indices: Vec<usize> = rule
        .args()
        .iter()
        .flatten()
        .map(LinuxSeccompArg::index)
        .collect();
    conditions.len() > 1
        && indices
            .iter()
            .enumerate()
            .any(|(at, index)| indices[..at].contains(index))
}

fn condition(arg: &LinuxSeccompArg) -> Result<ScmpArgCompare> {
    let index = u32::try_from(arg.index())
        .ok()
        .filter(|index| *index < 6)
        .ok_or_else(|| {
            EngineError::invalid(format!(
                "linux.seccomp: there is no argument {}",
                arg.index()
            ))
        })?;
    let (operator, value) = match arg.op() {
        Operator::ScmpCmpNe => (ScmpCompareOp::NotEqual, arg.value()),
        Operator::ScmpCmpLt => (ScmpCompareOp::Less, arg.value()),
        Operator::ScmpCmpLe => (ScmpCompareOp::LessOrEqual, arg.value()),
        Operator::ScmpCmpEq => (ScmpCompareOp::Equal, arg.value()),
        Operator::ScmpCmpGe => (ScmpCompareOp::GreaterEqual, arg.value()),
        Operator::ScmpCmpGt => (ScmpCompareOp::Greater, arg.value()),
        // The first value is the mask, the second what is compared.
        Operator::ScmpCmpMaskedEq => (
            ScmpCompareOp::MaskedEqual(arg.value()),
            arg.value_two().unwrap_or(0),
        ),
    };
    Ok(ScmpArgCompare::new(index, operator, value))
}

fn action(action: Action, number: Option<u32>) -> Result<ScmpAction> {
    let number = number.unwrap_or(EPERM);
    Ok(match action {
        Action::ScmpActKill | Action::ScmpActKillThread => ScmpAction::KillThread,
        Action::ScmpActKillProcess => ScmpAction::KillProcess,
        Action::ScmpActTrap => ScmpAction::Trap,
        Action::ScmpActErrno if number <= MOST_ERRNO => ScmpAction::Errno(number as i32),
        Action::ScmpActErrno => {
            return Err(EngineError::invalid(format!(
                "linux.seccomp: {number} is not an error number"
            )));
        }
        Action::ScmpActTrace => match u16::try_from(number) {
            Ok(number) => ScmpAction::Trace(number),
            Err(_) => {
                return Err(EngineError::invalid(format!(
                    "linux.seccomp: a tracer cannot be told {number}"
                )));
            }
        },
        Action::ScmpActLog => ScmpAction::Log,
        Action::ScmpActAllow => ScmpAction::Allow,
        Action::ScmpActNotify => {
            return Err(EngineError::invalid(
                "linux.seccomp: SCMP_ACT_NOTIFY is not supported",
            ));
        }
    })
}

fn architecture(arch: Arch) -> ScmpArch {
    match arch {
        Arch::ScmpArchNative => ScmpArch::Native,
        Arch::ScmpArchX86 => ScmpArch::X86,
        Arch::ScmpArchX86_64 => ScmpArch::X8664,
        Arch::ScmpArchX32 => ScmpArch::X32,
        Arch::ScmpArchArm => ScmpArch::Arm,
        Arch::ScmpArchAarch64 => ScmpArch::Aarch64,
        Arch::ScmpArchMips => ScmpArch::Mips,
        Arch::ScmpArchMips64 => ScmpArch::Mips64,
        Arch::ScmpArchMips64n32 => ScmpArch::Mips64N32,
        Arch::ScmpArchMipsel => ScmpArch::Mipsel,
        Arch::ScmpArchMipsel64 => ScmpArch::Mipsel64,
        Arch::ScmpArchMipsel64n32 => ScmpArch::Mipsel64N32,
        Arch::ScmpArchPpc => ScmpArch::Ppc,
        Arch::ScmpArchPpc64 => ScmpArch::Ppc64,
        Arch::ScmpArchPpc64le => ScmpArch::Ppc64Le,
        Arch::ScmpArchS390 => ScmpArch::S390,
        Arch::ScmpArchS390x => ScmpArch::S390X,
        Arch::ScmpArchParisc => ScmpArch::Parisc,
        Arch::ScmpArchParisc64 => ScmpArch::Parisc64,
        Arch::ScmpArchRiscv64 => ScmpArch::Riscv64,
        Arch::ScmpArchLoongarch64 => ScmpArch::Loongarch64,
        Arch::ScmpArchM68k => ScmpArch::M68k,
        Arch::ScmpArchSh => ScmpArch::Sh,
        Arch::ScmpArchSheb => ScmpArch::Sheb,
    }
}

/// The process that loads the filter has one thread, so there is none to synchronise.
fn bit(flag: LinuxSeccompFilterFlag) -> u64 {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
            libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
        }
    }
}

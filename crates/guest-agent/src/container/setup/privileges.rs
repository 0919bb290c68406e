//! Gives up what the program shall not have.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::users::Identity;
use crate::container::error::{Result, Step as _};
use crate::container::plan::{Capabilities, ProcessPlan};
use crate::container::sys;

/// Hides this process from others in the container until it is the program: a copy of the agent
/// must not be traced, nor its files be opened through `/proc`.
pub(super) fn hide() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "hide the process".to_owned())
}

/// Writes through the agent's `/proc`. Never left out: the agent's own place is not for others.
pub(super) fn out_of_memory_score(value: i32) -> Result<()> {
    std::fs::write("/proc/self/oom_score_adj", value.to_string())
        .step(|| format!("set process.oomScoreAdj to {value}"))
}

/// Limits, identity, capabilities, filter: in the order in which each can still be set.
pub(super) fn drop(process: &ProcessPlan, identity: &Identity) -> Result<()> {
    for limit in &process.rlimits {
        sys::set_rlimit(limit.resource, limit.soft, limit.hard).step(|| {
            format!(
                "set rlimit {} to {}:{}",
                limit.resource, limit.soft, limit.hard
            )
        })?;
    }
    if process.no_new_privileges {
        set_no_new_privs(true).step(|| "set no_new_privs".to_owned())?;
    } else {
        // Without that, only a privileged process can load a filter.
        filter(process)?;
    }
    bound(process.capabilities.bounding)?;
    set_keep_capabilities(true).step(|| "keep capabilities".to_owned())?;
    become_user(identity)?;
    set_keep_capabilities(false).step(|| "keep capabilities".to_owned())?;
    set(&process.capabilities)?;
    rustix::process::umask(Mode::from_raw_mode(process.user.umask));
    if process.no_new_privileges {
        filter(process)?;
    }
    Ok(())
}

fn filter(process: &ProcessPlan) -> Result<()> {
    let Some(seccomp) = &process.seccomp else {
        return Ok(());
    };
    sys::load_seccomp(&seccomp.filter, seccomp.flags).step(|| "load the seccomp filter".to_owned())
}

fn become_user(identity: &Identity) -> Result<()> {
    use rustix::fs::{Gid, Uid};
    let what = || format!("become user {}:{}", identity.uid, identity.gid);
    let groups: Vec<Gid> = identity
        .groups
        .iter()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    set_thread_groups(&groups).step(what)?;
    let gid = Gid::from_raw(identity.gid);
    set_thread_res_gid(gid, gid, gid).step(what)?;
    let uid = Uid::from_raw(identity.uid);
    set_thread_res_uid(uid, uid, uid).step(what)
}

fn each(bits: u64) -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS)
        .map(|number| 1 << number)
        .filter(move |bit| bits & bit != 0)
        .map(CapabilitySet::from_bits_retain)
}

fn bound(bounding: u64) -> Result<()> {
    for capability in each(!bounding) {
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first number that this kernel does not know: nor does it the rest.
            Err(Errno::INVAL) => break,
            Err(errno) => {
                return Err(errno).step(|| format!("take {capability:?} out of reach"));
            }
        }
    }
    Ok(())
}

fn set(wanted: &Capabilities) -> Result<()> {
    let what = || "set the capabilities".to_owned();
    // A set may not name what this kernel does not know, so only what we have can be asked for.
    let here = rustix::thread::capabilities(None)
        .step(what)?
        .permitted
        .bits();
    let known = |bits: u64| CapabilitySet::from_bits_retain(bits & here);
    let sets = CapabilitySets {
        effective: known(wanted.effective),
        permitted: known(wanted.permitted),
        inheritable: known(wanted.inheritable),
    };
    set_capabilities(None, sets).step(what)?;
    clear_ambient_capability_set().step(what)?;
    for capability in each(wanted.ambient & here) {
        configure_capability_in_ambient_set(capability, true).step(what)?;
    }
    Ok(())
}

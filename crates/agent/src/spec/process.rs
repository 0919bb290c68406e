//! The process of a container, or one to be exec'd.

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;

use super::{DISTORTED, Dialect, NO_FIELD, Notes, OF_HOST};
use crate::guard;

pub(super) fn process(
    process: &oci::Process,
    dialect: Dialect,
    notes: &mut Notes,
) -> Result<wire::Process, String> {
    note_left_out(process, notes);
    let guest = wire::Process {
        Terminal: process.terminal().unwrap_or(false),
        ConsoleSize: process.console_size().map(console_size).into(),
        User: Some(user(process.user(), notes)).into(),
        Args: process.args().clone().unwrap_or_default(),
        Env: process.env().clone().unwrap_or_default(),
        Cwd: process.cwd().display().to_string(),
        Capabilities: process.capabilities().as_ref().map(capabilities).into(),
        Rlimits: process.rlimits().iter().flatten().map(rlimit).collect(),
        NoNewPrivileges: process.no_new_privileges().unwrap_or(false),
        OOMScoreAdj: process.oom_score_adj().map_or(0, i64::from),
        ..Default::default()
    };
    let trimmed = guest.Env.iter().any(|entry| entry.trim() != entry);
    let ends = "white space at the ends of process.env";
    notes.add_if(dialect == Dialect::Kata && trimmed, ends, DISTORTED);
    guard::process_is_safe(&guest)?;
    Ok(guest)
}

fn note_left_out(process: &oci::Process, notes: &mut Notes) {
    let labels = "labels of the host's security modules do not exist in the guest";
    notes.add_if(
        process.apparmor_profile().is_some(),
        "process.apparmorProfile",
        labels,
    );
    notes.add_if(
        process.selinux_label().is_some(),
        "process.selinuxLabel",
        labels,
    );
    notes.add_if(
        process.io_priority().is_some(),
        "process.ioPriority",
        NO_FIELD,
    );
    notes.add_if(process.scheduler().is_some(), "process.scheduler", NO_FIELD);
    let affinity = process.exec_cpu_affinity().is_some();
    notes.add_if(affinity, "process.execCPUAffinity", OF_HOST);
}

fn console_size(size: oci::Box) -> wire::Box {
    let bounded = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    wire::Box {
        Height: bounded(size.height()),
        Width: bounded(size.width()),
        ..Default::default()
    }
}

fn user(user: &oci::User, notes: &mut Notes) -> wire::User {
    notes.add_if(user.umask().is_some(), "process.user.umask", NO_FIELD);
    wire::User {
        UID: user.uid(),
        GID: user.gid(),
        AdditionalGids: user.additional_gids().clone().unwrap_or_default(),
        Username: user.username().clone().unwrap_or_default(),
        ..Default::default()
    }
}

fn capabilities(sets: &oci::LinuxCapabilities) -> wire::LinuxCapabilities {
    let names = |set: &Option<oci::Capabilities>| {
        let mut names: Vec<String> = set.iter().flatten().map(|c| format!("CAP_{c}")).collect();
        names.sort();
        names
    };
    wire::LinuxCapabilities {
        Bounding: names(sets.bounding()),
        Effective: names(sets.effective()),
        Inheritable: names(sets.inheritable()),
        Permitted: names(sets.permitted()),
        Ambient: names(sets.ambient()),
        ..Default::default()
    }
}

fn rlimit(limit: &oci::PosixRlimit) -> wire::POSIXRlimit {
    wire::POSIXRlimit {
        Type: limit.typ().to_string(),
        Hard: limit.hard(),
        Soft: limit.soft(),
        ..Default::default()
    }
}

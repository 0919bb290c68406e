//! What a virtual machine cannot do for a container: refused by name, or left out with a note.

mod linux;
mod mounts;

use oci_spec::runtime::{Process, Spec};

use crate::{Error, ErrorKind};

/// A wish of the specification that has no effect, and takes nothing from the container's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The property, as the specification writes it, such as `process.selinuxLabel`.
    pub property: String,
    /// Why.
    pub reason: &'static str,
}

/// The permissions that new files do not get in a container that says nothing.
const USUAL_UMASK: u32 = 0o022;

/// Looks for what cannot be done, before anything is started. The host is not looked at.
///
/// Errors: `Unsupported` for what a container would miss, naming the property and what to do;
/// `Invalid` for what no runtime can do.
pub fn check(spec: &Spec) -> Result<Vec<Ignored>, Error> {
    let mut notes = Notes::default();
    let foreign = [
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("zos", spec.zos().is_some()),
    ];
    for (section, there) in foreign {
        notes.refuse_if(there, section, "the guest is Linux: leave the section out")?;
    }
    mounts::check(spec.mounts().as_deref().unwrap_or_default())?;
    if let Some(process) = spec.process() {
        note_process(process, &mut notes);
    }
    if let Some(linux) = spec.linux() {
        linux::check(spec, linux, &mut notes)?;
    }
    let domain = spec.domainname().as_ref();
    notes.ignore_if(
        domain.is_some_and(|name| !name.is_empty()),
        "domainname",
        NO_FIELD,
    );
    Ok(notes.0)
}

const NO_FIELD: &str = "the guest's agent cannot be told";
const LABEL: &str = "it names a profile of the host's security module, which is not in the guest";

fn note_process(process: &Process, notes: &mut Notes) {
    let given = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    let apparmor = given(process.apparmor_profile());
    notes.ignore_if(apparmor, "process.apparmorProfile", LABEL);
    let selinux = given(process.selinux_label());
    notes.ignore_if(selinux, "process.selinuxLabel", LABEL);
    let priority = process.io_priority().is_some();
    notes.ignore_if(priority, "process.ioPriority", NO_FIELD);
    notes.ignore_if(process.scheduler().is_some(), "process.scheduler", NO_FIELD);
    let affinity = process.exec_cpu_affinity().is_some();
    let of_host = "it numbers CPUs of the host";
    notes.ignore_if(affinity, "process.execCPUAffinity", of_host);
    let umask = process.user().umask();
    let unusual = umask.is_some_and(|umask| umask != USUAL_UMASK);
    notes.ignore_if(unusual, "process.user.umask", NO_FIELD);
}

/// Collects what is left out; refuses what must not be.
#[derive(Debug, Default)]
struct Notes(Vec<Ignored>);

impl Notes {
    fn ignore_if(&mut self, asked: bool, property: impl Into<String>, reason: &'static str) {
        if asked {
            let property = property.into();
            self.0.push(Ignored { property, reason });
        }
    }

    fn refuse_if(&self, asked: bool, property: &str, advice: &str) -> Result<(), Error> {
        match asked {
            true => Err(unsupported(property, advice)),
            false => Ok(()),
        }
    }
}

fn unsupported(property: &str, advice: &str) -> Error {
    let message = format!("{property} cannot be had in a virtual machine: {advice}");
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests;

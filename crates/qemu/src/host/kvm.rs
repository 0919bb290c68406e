//! Whether KVM can run an ordinary guest. That its node opens does not mean so: a paravirtual KVM
//! answers like a real one and hangs with a distribution's kernel.

use std::io;
use std::path::Path;

use super::{Support, read};
use crate::sys;

/// The interface's version since Linux 2.6.22 (Documentation/virt/kvm/api.rst, 4.1).
const API_VERSION: i32 = 12;

/// What the host says about KVM.
#[derive(Debug)]
pub(super) struct Facts {
    /// The answer of `/dev/kvm`, opened for reading and writing, to the question for its version.
    pub(super) version: io::Result<i32>,
    /// The processor advertises `vmx` or `svm`; not known when `/proc/cpuinfo` could not be read.
    pub(super) virtualises: Option<bool>,
}

impl Facts {
    pub(super) fn read() -> Self {
        let version = read::open_both_ways(Path::new("/dev/kvm"));
        Self {
            version: version.and_then(|node| sys::kvm_api_version(&node)),
            virtualises: read::has_cpu_flag(&["vmx", "svm"]),
        }
    }
}

pub(super) fn decide(facts: &Facts) -> Support {
    let reason = match (&facts.version, facts.virtualises) {
        (Ok(API_VERSION), Some(true)) => return Support::Usable,
        (Ok(API_VERSION), Some(false)) => {
            "/dev/kvm opens, but the processor shows neither vmx nor \
             svm, so an ordinary guest would hang"
                .to_owned()
        }
        (Ok(API_VERSION), None) => {
            "/dev/kvm opens, but /proc/cpuinfo does not tell what the processor can do".to_owned()
        }
        (Ok(version), _) => {
            format!("/dev/kvm speaks version {version} of its interface, not {API_VERSION}")
        }
        (Err(error), Some(false)) if error.kind() == io::ErrorKind::NotFound => {
            "there is no /dev/kvm, and the processor shows neither vmx nor svm (in a virtual \
             machine, nested virtualisation is off)"
                .to_owned()
        }
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {
            "there is no /dev/kvm (load kvm_intel or kvm_amd, or enable virtualisation in the \
             firmware)"
                .to_owned()
        }
        (Err(error), _) => format!("/dev/kvm cannot be used: {error}"),
    };
    Support::Unusable(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_opens_is_not_enough() {
        let missing = || Err(io::Error::from(io::ErrorKind::NotFound));
        let denied = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let rows = [
            (Ok(12), Some(true), None),
            (Ok(12), Some(false), Some("neither vmx nor svm")),
            (Ok(12), None, Some("/proc/cpuinfo")),
            (Ok(11), Some(true), Some("version 11")),
            (missing(), Some(false), Some("nested")),
            (missing(), Some(true), Some("kvm_intel")),
            (denied(), Some(true), Some("permission denied")),
        ];
        for (version, virtualises, expected) in rows {
            let facts = Facts {
                version,
                virtualises,
            };
            match (decide(&facts), expected) {
                (Support::Usable, None) => {}
                (Support::Unusable(reason), Some(part)) => {
                    assert!(reason.contains(part), "{reason}");
                }
                (support, _) => panic!("{facts:?}: {support:?}"),
            }
        }
    }
}

//! What the runtime and its guest can do, as container managers ask for it (OCI runtime-spec 1.2,
//! `features.md`, with the fields of 1.3).

use std::collections::HashMap;

use oci_spec::runtime::{
    ApparmorBuilder, Arch, CgroupBuilder, Features, FeaturesBuilder, IDMapBuilder, IntelRdtBuilder,
    LinuxFeature, LinuxFeatureBuilder, LinuxNamespaceType, LinuxSeccompAction, MemoryPolicyBuilder,
    MountExtensionsBuilder, NetDevicesBuilder, Seccomp, SeccompBuilder, SelinuxBuilder,
};
use virtcontainers_types::CapabilityName;

use crate::command::built;
use crate::{HookKind, State};

/// Options of mounts that are not handed to a file system, as the guest's agent knows them.
const MOUNT_OPTIONS: [&str; 58] = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

/// Oldest version of the specification whose documents are understood.
const OLDEST: &str = "1.0.0";

/// The features document. Nothing of the host is looked at: a missing hypervisor shows in a check.
pub fn features() -> Features {
    let annotations = HashMap::from([(
        "io.virtcontainers.version".to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
    )]);
    let document = FeaturesBuilder::default()
        .oci_version_min(OLDEST)
        .oci_version_max(State::OCI_VERSION)
        .hooks(HookKind::ALL.map(|kind| kind.name().to_owned()))
        .mount_options(MOUNT_OPTIONS.map(str::to_owned))
        .linux(linux())
        .annotations(annotations)
        // They change the machine, where the configuration allows them.
        .potentially_unsafe_config_annotations(vec!["io.katacontainers.config.".to_owned()]);
    built(document.build())
}

fn linux() -> LinuxFeature {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let capabilities: Vec<String> = CapabilityName::all().map(|name| name.to_string()).collect();
    let cgroup = CgroupBuilder::default()
        .v1(true)
        .v2(true)
        .systemd(true)
        .systemd_user(false)
        .rdma(false);
    let policy = MemoryPolicyBuilder::default()
        .modes(Vec::new())
        .flags(Vec::new());
    let rdt = IntelRdtBuilder::default().enabled(false);
    let id_map = built(IDMapBuilder::default().enabled(false).build());
    let extensions = MountExtensionsBuilder::default().idmap(id_map);
    let document = LinuxFeatureBuilder::default()
        // The network namespace is the host's; the others are made in the guest.
        .namespaces(vec![Cgroup, Ipc, Mount, Network, Pid, Uts])
        .capabilities(capabilities)
        .cgroup(built(cgroup.build()))
        .seccomp(seccomp())
        .apparmor(built(ApparmorBuilder::default().enabled(false).build()))
        .selinux(built(SelinuxBuilder::default().enabled(false).build()))
        .intel_rdt(built(rdt.build()))
        .memory_policy(built(policy.build()))
        .mount_extensions(built(extensions.build()))
        .net_devices(built(NetDevicesBuilder::default().enabled(false).build()));
    built(document.build())
}

fn seccomp() -> Seccomp {
    use LinuxSeccompAction::{
        ScmpActAllow, ScmpActErrno, ScmpActKill, ScmpActKillProcess, ScmpActKillThread, ScmpActLog,
        ScmpActTrace, ScmpActTrap,
    };
    let actions = vec![
        ScmpActAllow,
        ScmpActErrno,
        ScmpActKill,
        ScmpActKillProcess,
        ScmpActKillThread,
        ScmpActLog,
        ScmpActTrace,
        ScmpActTrap,
    ];
    let operators = ["EQ", "GE", "GT", "LE", "LT", "MASKED_EQ", "NE"];
    let known = ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"];
    let flag = |name: &str| format!("SECCOMP_FILTER_FLAG_{name}");
    let known = known.map(flag).to_vec();
    // The last is for processes that decide, which there are none of.
    let supported = known[..3].to_vec();
    let document = SeccompBuilder::default()
        .enabled(true)
        .actions(actions)
        .operators(operators.map(|name| format!("SCMP_CMP_{name}")))
        .archs(vec![
            Arch::ScmpArchX86,
            Arch::ScmpArchX86_64,
            Arch::ScmpArchX32,
        ])
        .known_flags(known)
        .supported_flags(supported);
    built(document.build())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// To accept a change, run once with `VC_UPDATE_GOLDEN=1` and read the difference.
    #[test]
    fn the_document_is_the_golden_one() {
        let mut document = serde_json::to_value(features()).unwrap();
        document["annotations"]["io.virtcontainers.version"] = "VERSION".into();
        let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/features.json");
        if std::env::var_os("VC_UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&file).unwrap());
    }

    #[test]
    fn words_are_in_order_and_once() {
        assert!(MOUNT_OPTIONS.is_sorted());
        let mut unique = MOUNT_OPTIONS.to_vec();
        unique.dedup();
        assert_eq!(unique.len(), MOUNT_OPTIONS.len());
    }
}

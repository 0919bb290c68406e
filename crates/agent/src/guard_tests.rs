//! Each request that harms an agent is refused, and the sound one is not.

use super::*;

fn sound() -> agent::CreateContainerRequest {
    let namespace = |kind: &str| oci::LinuxNamespace {
        Type: kind.to_owned(),
        ..Default::default()
    };
    let process = oci::Process {
        Args: vec!["sh".to_owned()],
        Cwd: "/".to_owned(),
        Capabilities: Some(oci::LinuxCapabilities::new()).into(),
        ..Default::default()
    };
    let linux = oci::Linux {
        Namespaces: ["mount", "ipc", "uts"].map(namespace).to_vec(),
        Resources: Some(oci::LinuxResources::new()).into(),
        Seccomp: Some(oci::LinuxSeccomp {
            DefaultAction: "SCMP_ACT_ALLOW".to_owned(),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    };
    let spec = oci::Spec {
        Process: Some(process).into(),
        Root: Some(oci::Root {
            Path: "/rootfs".to_owned(),
            ..Default::default()
        })
        .into(),
        Mounts: vec![oci::Mount {
            destination: "/proc".to_owned(),
            source: "proc".to_owned(),
            type_: "proc".to_owned(),
            ..Default::default()
        }],
        Linux: Some(linux).into(),
        ..Default::default()
    };
    agent::CreateContainerRequest {
        container_id: "c1".to_owned(),
        OCI: Some(spec).into(),
        ..Default::default()
    }
}

/// The reason for which a change to the sound request is refused.
fn refused(change: impl FnOnce(&mut oci::Spec)) -> String {
    let mut request = sound();
    change(request.OCI.mut_or_insert_default());
    let error = create_container(&request).expect_err("refused");
    assert_eq!(error.kind(), crate::ErrorKind::Invalid);
    assert_eq!(error.container(), Some("c1"));
    std::error::Error::source(&error)
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn linux(spec: &mut oci::Spec) -> &mut oci::Linux {
    spec.Linux.mut_or_insert_default()
}

fn process_of(spec: &mut oci::Spec) -> &mut oci::Process {
    spec.Process.mut_or_insert_default()
}

#[test]
fn a_sound_request_passes() {
    create_container(&sound()).unwrap();
}

#[test]
fn missing_parts_are_named() {
    assert!(create_container(&agent::CreateContainerRequest::new()).is_err());
    assert!(refused(|s| s.Process = None.into()).contains("no process"));
    assert!(refused(|s| s.Root = None.into()).contains("no root"));
    assert!(refused(|s| s.Linux = None.into()).contains("no linux part"));
    assert!(refused(|s| linux(s).Resources = None.into()).contains("resources"));
    assert!(refused(|s| process_of(s).Capabilities = None.into()).contains("capabilities"));
    assert!(refused(|s| process_of(s).Args.clear()).contains("no program"));
    assert!(refused(|s| linux(s).Namespaces.clear()).contains("mount namespace is missing"));
}

#[test]
fn unknown_words_are_refused_because_an_agent_panics_at_them() {
    let capabilities = |s: &mut oci::Spec| {
        let sets = process_of(s).Capabilities.mut_or_insert_default();
        sets.Ambient.push("CAP_BOGUS".to_owned());
    };
    assert!(refused(capabilities).contains("CAP_BOGUS"));
    let rlimit = |s: &mut oci::Spec| {
        process_of(s).Rlimits.push(oci::POSIXRlimit {
            Type: "RLIMIT_BOGUS".to_owned(),
            ..Default::default()
        });
    };
    assert!(refused(rlimit).contains("RLIMIT_BOGUS"));
    let device = |s: &mut oci::Spec| linux(s).Devices.push(oci::LinuxDevice::new());
    assert!(refused(device).contains("device type"));
    let rule = |s: &mut oci::Spec| {
        let resources = linux(s).Resources.mut_or_insert_default();
        resources.Devices.push(oci::LinuxDeviceCgroup::new());
    };
    assert!(refused(rule).contains("device rule type"));
    let seccomp = |change: fn(&mut oci::LinuxSeccomp)| {
        refused(|s| change(linux(s).Seccomp.mut_or_insert_default()))
    };
    assert!(seccomp(|f| f.DefaultAction.clear()).contains("action"));
    assert!(seccomp(|f| f.Architectures.push("x86".to_owned())).contains("architecture"));
    assert!(seccomp(|f| f.Flags.push("LOG".to_owned())).contains("flag"));
    let operator = |f: &mut oci::LinuxSeccomp| {
        f.Syscalls.push(oci::LinuxSyscall {
            Action: "SCMP_ACT_ALLOW".to_owned(),
            Args: vec![oci::LinuxSeccompArg::new()],
            ..Default::default()
        });
    };
    assert!(seccomp(operator).contains("operator"));
}

#[test]
fn namespaces_of_the_guest_are_not_sent() {
    for kind in ["pid", "network", "net", "time", "nonsense"] {
        let add = |s: &mut oci::Spec| {
            linux(s).Namespaces.push(oci::LinuxNamespace {
                Type: kind.to_owned(),
                ..Default::default()
            });
        };
        assert!(refused(add).contains(kind));
    }
}

#[test]
fn paths_are_absolute_and_do_not_climb() {
    assert!(refused(|s| s.Root.mut_or_insert_default().Path = "rootfs".into()).contains("root"));
    assert!(refused(|s| process_of(s).Cwd.clear()).contains("working directory"));
    let climbing = |s: &mut oci::Spec| s.Mounts[0].destination = "/a/../../b".to_owned();
    assert!(refused(climbing).contains("destination"));
}

#[test]
fn mounts_have_a_source_and_a_type() {
    assert!(refused(|s| s.Mounts[0].source.clear()).contains("source"));
    assert!(refused(|s| s.Mounts[0].type_.clear()).contains("type"));
    let mut bind = sound();
    let mount = &mut bind.OCI.mut_or_insert_default().Mounts[0];
    mount.type_.clear();
    mount.options.push("rbind".to_owned());
    create_container(&bind).unwrap();
}

#[test]
fn devices_can_be_found() {
    let mut request = sound();
    request.devices.push(agent::Device {
        type_: "blk".to_owned(),
        container_path: "/dev/disk".to_owned(),
        ..Default::default()
    });
    assert!(create_container(&request).is_err());
    request.devices[0].vm_path = "/dev/vda".to_owned();
    create_container(&request).unwrap();
}

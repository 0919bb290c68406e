//! From the wire to a specification: nothing is lost, and nonsense is refused.

use oci_spec::runtime as oci;
use virtcontainers_agent_proto::oci as wire;
use virtcontainers_agent_proto::oci::linux_syscall::ErrnoRet;

use super::{process, resources, spec};

fn limits(change: impl FnOnce(&mut wire::LinuxResources)) -> oci::LinuxResources {
    let mut limits = wire::LinuxResources::new();
    change(&mut limits);
    resources(&limits).unwrap()
}

#[test]
fn an_empty_specification_is_one_without_parts() {
    let read = spec(&wire::Spec::new()).unwrap();
    assert!(read.process().is_none() && read.root().is_none() && read.linux().is_none());
    assert!(read.hooks().is_none());
}

#[test]
fn a_limit_of_processes_is_there_when_its_message_is() {
    assert_eq!(limits(|_| ()).pids(), &None);
    for limit in [0, -1, 32] {
        let read = limits(|limits| {
            let pids = wire::LinuxPids {
                Limit: limit,
                ..Default::default()
            };
            limits.Pids = Some(pids).into();
        });
        assert_eq!(read.pids().as_ref().unwrap().limit(), limit);
    }
}

#[test]
fn no_limit_is_kept_and_zero_is_not_given() {
    let read = limits(|limits| {
        let memory = wire::LinuxMemory {
            Limit: -1,
            ..Default::default()
        };
        limits.Memory = Some(memory).into();
        limits.CPU = Some(wire::LinuxCPU {
            Quota: -1,
            ..Default::default()
        })
        .into();
    });
    let memory = read.memory().as_ref().unwrap();
    assert_eq!((memory.limit(), memory.swap()), (Some(-1), None));
    let cpu = read.cpu().as_ref().unwrap();
    assert_eq!(
        (cpu.quota(), cpu.period(), cpu.shares()),
        (Some(-1), None, None)
    );
}

#[test]
fn numbers_of_device_rules() {
    let rule = |major, minor| {
        let read = limits(|limits| {
            limits.Devices = vec![wire::LinuxDeviceCgroup {
                Allow: true,
                Type: "c".to_owned(),
                Major: major,
                Minor: minor,
                Access: "rw".to_owned(),
                ..Default::default()
            }];
        });
        let rule = read.devices().as_ref().unwrap()[0].clone();
        (rule.major(), rule.minor())
    };
    assert_eq!(rule(-1, -1), (None, None));
    assert_eq!(rule(0, 0), (None, None));
    assert_eq!(rule(5, 0), (Some(5), Some(0)));
    assert_eq!(rule(10, -1), (Some(10), None));
    assert_eq!(rule(10, 200), (Some(10), Some(200)));
}

#[test]
fn hooks_stay_where_they_belong() {
    let hook = |path: &str| {
        vec![wire::Hook {
            Path: path.to_owned(),
            ..Default::default()
        }]
    };
    let mut whole = wire::Spec::new();
    whole.Hooks = Some(wire::Hooks {
        CreateContainer: hook("/create"),
        StartContainer: hook("/start"),
        Poststart: hook("/after"),
        Poststop: hook("/last"),
        ..Default::default()
    })
    .into();
    let read = spec(&whole).unwrap();
    let hooks = read.hooks().as_ref().unwrap();
    let path =
        |hooks: &Option<Vec<oci::Hook>>| hooks.as_ref().unwrap()[0].path().display().to_string();
    assert_eq!(path(hooks.create_container()), "/create");
    assert_eq!(path(hooks.start_container()), "/start");
    assert_eq!(path(hooks.poststart()), "/after");
    assert_eq!(path(hooks.poststop()), "/last");
}

#[test]
fn an_error_number_that_is_not_given_stays_so() {
    let number = |given: Option<u32>| {
        let mut whole = wire::Spec::new();
        let mut linux = wire::Linux::new();
        linux.Seccomp = Some(wire::LinuxSeccomp {
            DefaultAction: "SCMP_ACT_ALLOW".to_owned(),
            Architectures: vec!["SCMP_ARCH_X86_64".to_owned()],
            Syscalls: vec![wire::LinuxSyscall {
                Names: vec!["read".to_owned()],
                Action: "SCMP_ACT_ERRNO".to_owned(),
                ErrnoRet: given.map(ErrnoRet::Errnoret),
                ..Default::default()
            }],
            ..Default::default()
        })
        .into();
        whole.Linux = Some(linux).into();
        let read = spec(&whole).unwrap();
        let seccomp = read.linux().as_ref().unwrap().seccomp().clone().unwrap();
        seccomp.syscalls().as_ref().unwrap()[0].errno_ret()
    };
    assert_eq!(
        (number(None), number(Some(0)), number(Some(38))),
        (None, Some(0), Some(38))
    );
}

#[test]
fn words_of_namespaces() {
    for (word, expected) in [
        ("mnt", Some(oci::LinuxNamespaceType::Mount)),
        ("mount", Some(oci::LinuxNamespaceType::Mount)),
        ("net", Some(oci::LinuxNamespaceType::Network)),
        ("cgroup", Some(oci::LinuxNamespaceType::Cgroup)),
        ("nonsense", None),
        ("", None),
    ] {
        let mut whole = wire::Spec::new();
        let mut linux = wire::Linux::new();
        let namespace = wire::LinuxNamespace {
            Type: word.to_owned(),
            ..Default::default()
        };
        linux.Namespaces = vec![namespace];
        whole.Linux = Some(linux).into();
        let read = spec(&whole).ok().map(|spec| {
            spec.linux()
                .as_ref()
                .unwrap()
                .namespaces()
                .as_ref()
                .unwrap()[0]
                .typ()
        });
        assert_eq!(read, expected, "{word}");
    }
}

#[test]
fn a_process_without_capabilities_has_none_of_its_own() {
    let read = process(&wire::Process::new()).unwrap();
    assert!(read.capabilities().is_none());
    assert_eq!(
        (read.no_new_privileges(), read.oom_score_adj()),
        (None, None)
    );
    let empty = wire::Process {
        Capabilities: Some(wire::LinuxCapabilities::new()).into(),
        ..Default::default()
    };
    assert!(process(&empty).unwrap().capabilities().is_some());
}

#[test]
fn entries_of_the_environment_are_trimmed() {
    let given = wire::Process {
        Env: vec![" A=b \n".to_owned()],
        ..Default::default()
    };
    assert_eq!(
        process(&given).unwrap().env().as_deref(),
        Some(&["A=b".to_owned()][..])
    );
}

#[test]
fn limits_of_version_2_alone_are_carried() {
    let read = limits(|limits| {
        limits
            .Unified
            .insert("memory.high".to_owned(), "7".to_owned());
        limits.CPU = Some(wire::LinuxCPU {
            Idle: 1,
            Burst: 2,
            ..Default::default()
        })
        .into();
    });
    assert_eq!(read.unified().as_ref().unwrap()["memory.high"], "7");
    let cpu = read.cpu().as_ref().unwrap();
    assert_eq!((cpu.idle(), cpu.burst()), (Some(1), Some(2)));
    let none = limits(|limits| limits.CPU = Some(wire::LinuxCPU::new()).into());
    let cpu = none.cpu().as_ref().unwrap();
    assert_eq!(
        (cpu.idle(), cpu.burst(), none.unified()),
        (None, None, &None)
    );
}

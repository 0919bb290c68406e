//! The JSON of what is stored and shown. A change of a golden file is a change for whoever reads it.

mod common;

use std::collections::BTreeMap;

use common::golden;
use serde::Serialize;
use serde::de::DeserializeOwned;
use virtcontainers_types::stats::{
    BlkioEntry, CgroupStats, CpuStats, HugetlbStats, InterfaceStats,
};
use virtcontainers_types::{
    Cmd, ContainerId, ContainerState, ContainerStats, ContainerStatus, DeviceInfo, DeviceKind,
    Drive, DriveFormat, ExitStatus, Interface, IpFamily, LinuxCapabilities, Neighbor, ProcessEntry,
    ProcessIdentity, Resources, Route, SandboxId, SandboxState, SandboxStats, SandboxStatus,
};

/// Compares with the golden file, and reads it back as the same value.
#[track_caller]
fn check<T>(name: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = serde_json::to_string_pretty(value).expect("it is written") + "\n";
    golden(&format!("{name}.json"), &text);
    assert_eq!(
        &serde_json::from_str::<T>(&text).expect("it is read"),
        value
    );
}

fn stopped_container() -> ContainerStatus {
    ContainerStatus {
        id: ContainerId::new("web-1").expect("a good id"),
        state: ContainerState::Stopped,
        exit_status: Some(ExitStatus(137)),
        stand_in: None,
        created_at: Some(1_700_000_000_000),
        bundle: Some("/srv/web-1".into()),
        annotations: BTreeMap::from([("org.example/tier".to_owned(), "front".to_owned())]),
    }
}

fn sandbox(state: SandboxState) -> SandboxStatus {
    SandboxStatus {
        id: SandboxId::new("web").expect("a good id"),
        state,
        hypervisor: "example".to_owned(),
        supervisor: None,
        failure: None,
        generation: 3,
        annotations: BTreeMap::new(),
        containers: Vec::new(),
    }
}

#[test]
fn a_sandbox_that_runs() {
    let mut status = sandbox(SandboxState::Running);
    status.supervisor = Some(ProcessIdentity {
        pid: 4711,
        start_time: 123_456,
    });
    status
        .annotations
        .insert("org.example/owner".to_owned(), "team".to_owned());
    status.containers = vec![
        ContainerStatus {
            id: ContainerId::new("web").unwrap(),
            state: ContainerState::Running,
            exit_status: None,
            stand_in: None,
            created_at: None,
            bundle: None,
            annotations: BTreeMap::new(),
        },
        stopped_container(),
    ];
    check("sandbox-status", &status);
}

#[test]
fn a_sandbox_that_failed() {
    let mut status = sandbox(SandboxState::Failed);
    status.failure = Some("the machine ended".to_owned());
    check("sandbox-status-failed", &status);
}

#[test]
fn a_container() {
    check("container-status", &stopped_container());
}

#[test]
fn words_of_states() {
    let words = ContainerState::ALL.map(|state| serde_json::to_value(state).unwrap());
    assert_eq!(words, ContainerState::ALL.map(ContainerState::as_str));
    let words = SandboxState::ALL.map(|state| serde_json::to_value(state).unwrap());
    assert_eq!(words, SandboxState::ALL.map(SandboxState::as_str));
}

#[test]
fn a_command() {
    let names = ["CAP_KILL", "CAP_CHOWN"].map(|name| name.parse().unwrap());
    let cmd = Cmd {
        args: vec!["sh".to_owned(), "-c".to_owned(), "true".to_owned()],
        envs: vec!["PATH=/bin".parse().unwrap(), "EMPTY=".parse().unwrap()],
        user: "1000:1001".to_owned(),
        primary_group: "1001".to_owned(),
        supplementary_groups: vec!["7".to_owned()],
        work_dir: "/srv".into(),
        console: Some("/dev/pts/3".into()),
        capabilities: LinuxCapabilities {
            bounding: names.into(),
            ..LinuxCapabilities::default()
        },
        interactive: true,
        detach: false,
        no_new_privileges: true,
    };
    check("cmd", &cmd);
    let empty: Cmd = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, Cmd::default());
    assert!(serde_json::from_str::<Cmd>(r#"{"envs":["NAME"]}"#).is_err());
}

#[test]
fn capabilities_in_all_their_shapes() {
    let read = |text: &str| serde_json::from_str::<LinuxCapabilities>(text);
    let kill = ["CAP_KILL".parse().unwrap()];
    let all = LinuxCapabilities::in_all_sets(kill.into());
    assert_eq!(read(r#"["CAP_KILL"]"#).unwrap(), all);
    assert_eq!(read(&serde_json::to_string(&all).unwrap()).unwrap(), all);
    for empty in ["null", "[]", "{}"] {
        assert_eq!(
            read(empty).unwrap(),
            LinuxCapabilities::default(),
            "{empty}"
        );
    }
    for wrong in [
        "7",
        "true",
        "\"CAP_KILL\"",
        r#"{"bound":[]}"#,
        r#"["CAP_NONE"]"#,
        "[7]",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_network() {
    let interface = Interface {
        device: "veth7".to_owned(),
        name: "eth0".to_owned(),
        addresses: vec![
            "192.0.2.7/24".parse().unwrap(),
            "2001:db8::7/64".parse().unwrap(),
        ],
        mtu: 1500,
        raw_flags: 0x80,
        hardware_address: "02:00:5e:10:00:01".parse().unwrap(),
        pci_path: Some("02/01".parse().unwrap()),
        link_type: "veth".to_owned(),
    };
    check("interface", &interface);
    let default = Route {
        family: IpFamily::V4,
        destination: None,
        gateway: Some("192.0.2.1".parse().unwrap()),
        device: "eth0".to_owned(),
        source: None,
        scope: 0,
        flags: 4,
        mtu: 0,
    };
    let on_link = Route {
        family: IpFamily::V6,
        destination: Some("2001:db8::/64".parse().unwrap()),
        gateway: None,
        device: "eth0".to_owned(),
        source: Some("2001:db8::7".parse().unwrap()),
        scope: 253,
        flags: 0,
        mtu: 1400,
    };
    check("routes", &vec![default, on_link]);
    let neighbor = Neighbor {
        address: "192.0.2.1".parse().unwrap(),
        device: "eth0".to_owned(),
        hardware_address: Some("02:00:5e:10:00:02".parse().unwrap()),
        state: 0x80,
        flags: 0,
    };
    check("neighbor", &neighbor);
}

#[test]
fn disks_and_devices() {
    let drive = Drive {
        id: "image".to_owned(),
        path: "/var/lib/images/a.img".into(),
        format: DriveFormat::Raw,
        read_only: true,
    };
    check("drive", &drive);
    let device = DeviceInfo {
        kind: DeviceKind::Block,
        host_path: Some("/dev/vdb".into()),
        container_path: "/dev/data".into(),
        major: 254,
        minor: 16,
        file_mode: 0o660,
        uid: 0,
        gid: 6,
        read_only: false,
    };
    assert_eq!(device.check(), Ok(()));
    check("device", &device);
    let relative = DeviceInfo {
        container_path: "data".into(),
        ..device
    };
    assert!(
        relative
            .check()
            .unwrap_err()
            .to_string()
            .contains("\"data\"")
    );
}

#[test]
fn counters() {
    let stats = ContainerStats {
        cgroup: CgroupStats {
            cpu: CpuStats {
                total: 7,
                user: 4,
                kernel: 3,
                ..CpuStats::default()
            },
            blkio: virtcontainers_types::stats::BlkioStats {
                service_bytes: vec![BlkioEntry {
                    major: 8,
                    minor: 0,
                    op: "Read".to_owned(),
                    value: 9,
                }],
                ..Default::default()
            },
            hugetlb: [(
                "2MB".to_owned(),
                HugetlbStats {
                    usage: 1,
                    max: 2,
                    failcnt: 0,
                },
            )]
            .into(),
            ..CgroupStats::default()
        },
        network: vec![InterfaceStats {
            name: "eth0".to_owned(),
            rx_bytes: 5,
            ..Default::default()
        }],
    };
    check("container-stats", &stats);
    check(
        "sandbox-stats",
        &SandboxStats {
            cpu: 1,
            memory: 2,
            vcpus: 1,
        },
    );
    // Counters that a later version adds are no reason to refuse.
    assert_eq!(
        serde_json::from_str::<ContainerStats>(r#"{"new":1}"#).unwrap(),
        ContainerStats::default()
    );
}

#[test]
fn processes() {
    let list = vec![ProcessEntry {
        pid: 1,
        ppid: 0,
        uid: 1000,
        cpu_ms: 12,
        rss: 1 << 20,
        command: "sleep 1000".to_owned(),
    }];
    check("processes", &list);
}

#[test]
fn resources_are_those_of_the_oci() {
    let text = r#"{"cpu":{"quota":50000,"period":100000},"memory":{"limit":1048576}}"#;
    let resources: Resources = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&resources).unwrap().len(), text.len());
    let limit = resources
        .memory()
        .as_ref()
        .and_then(|memory| memory.limit());
    assert_eq!(limit, Some(1 << 20));
}

//! Field by field: what a specification becomes for the guest.

use serde_json::{Value, json};
use virtcontainers_agent_proto::oci as wire;
use virtcontainers_types::ContainerId;

use super::*;
use crate::ErrorKind;

fn merge(base: &mut Value, change: Value) {
    match (base, change) {
        (Value::Object(base), Value::Object(change)) => {
            for (key, value) in change {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, change) => *base = change,
    }
}

fn spec_with(change: Value) -> oci::Spec {
    let mut spec = json!({
        "ociVersion": "1.2.0",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "linux": {},
    });
    merge(&mut spec, change);
    serde_json::from_value(spec).unwrap()
}

fn convert(dialect: Dialect, change: Value) -> Result<GuestSpec> {
    let id = ContainerId::new("c1").unwrap();
    let target = Target {
        id: &id,
        root: "/guest/rootfs",
        role: Role::Single,
        dialect,
        seccomp: true,
        shared_shm: false,
    };
    let guest = container(&spec_with(change), &target)?;
    // Whatever comes out passes the check before sending.
    let request = virtcontainers_agent_proto::agent::CreateContainerRequest {
        container_id: "c1".to_owned(),
        OCI: Some(guest.spec.clone()).into(),
        ..Default::default()
    };
    crate::guard::create_container(&request)?;
    Ok(guest)
}

fn kata(change: Value) -> GuestSpec {
    convert(Dialect::Kata, change).unwrap()
}

fn exact(change: Value) -> GuestSpec {
    convert(Dialect::Exact, change).unwrap()
}

fn left_out(guest: &GuestSpec) -> Vec<&'static str> {
    guest.left_out.iter().map(|left| left.property).collect()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn the_smallest_specification_gets_what_the_agent_needs() {
    let guest = kata(json!({}));
    let spec = &guest.spec;
    assert_eq!(spec.Version, "1.2.0");
    assert_eq!(spec.Root.Path, "/guest/rootfs");
    assert!(!spec.Root.Readonly);
    assert!(spec.Process.Capabilities.is_some());
    assert!(
        spec.Hooks.is_none(),
        "an empty one would keep the guest's hooks from running"
    );
    assert!(spec.Linux.Resources.is_some());
    assert_eq!(spec.Linux.CgroupsPath, "/c1");
    let kinds: Vec<&str> = spec
        .Linux
        .Namespaces
        .iter()
        .map(|n| n.Type.as_str())
        .collect();
    assert_eq!(kinds, ["mount", "ipc", "uts"]);
    let role = &spec.Annotations["io.katacontainers.pkg.oci.container_type"];
    assert_eq!(role, "single_container");
    assert!(!guest.shares_pids && guest.left_out.is_empty());
}

#[test]
fn the_process_is_carried_whole() {
    let guest = kata(json!({"process": {
        "terminal": true,
        "consoleSize": {"height": 40, "width": 100},
        "user": {"uid": 7, "gid": 8, "additionalGids": [9, 10], "username": "u"},
        "args": ["a", "b c"], "env": ["A=1", "B="], "cwd": "/w",
        "capabilities": {"bounding": ["CAP_SYS_ADMIN", "CAP_CHOWN"], "effective": ["CAP_KILL"],
            "inheritable": ["CAP_FOWNER"], "permitted": ["CAP_BPF"], "ambient": ["CAP_MKNOD"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 20, "soft": 10}],
        "noNewPrivileges": true, "oomScoreAdj": -5,
    }}));
    let process = &guest.spec.Process;
    assert!(process.Terminal && process.NoNewPrivileges);
    assert_eq!(
        (process.ConsoleSize.Height, process.ConsoleSize.Width),
        (40, 100)
    );
    assert_eq!((process.User.UID, process.User.GID), (7, 8));
    assert_eq!(process.User.AdditionalGids, [9, 10]);
    assert_eq!(process.User.Username, "u");
    assert_eq!(process.Args, ["a", "b c"]);
    assert_eq!(process.Env, ["A=1", "B="]);
    assert_eq!(process.Cwd, "/w");
    assert_eq!(process.OOMScoreAdj, -5);
    let sets = &process.Capabilities;
    assert_eq!(sets.Bounding, ["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    assert_eq!(sets.Effective, ["CAP_KILL"]);
    assert_eq!(sets.Inheritable, ["CAP_FOWNER"]);
    assert_eq!(sets.Permitted, ["CAP_BPF"]);
    assert_eq!(sets.Ambient, ["CAP_MKNOD"]);
    let limit = &process.Rlimits[0];
    assert_eq!(
        (limit.Type.as_str(), limit.Hard, limit.Soft),
        ("RLIMIT_NOFILE", 20, 10)
    );
    assert!(guest.left_out.is_empty());
}

#[test]
fn every_resource_limit_has_the_word_of_the_specification() {
    for kind in crate::words::RLIMITS {
        let limit = json!([{"type": kind, "hard": 1, "soft": 1}]);
        let guest = kata(json!({"process": {"rlimits": limit}}));
        assert_eq!(guest.spec.Process.Rlimits[0].Type, kind);
    }
}

#[test]
fn an_exec_without_capabilities_inherits_the_containers() {
    let spec = spec_with(json!({"process": {"apparmorProfile": "p", "user": {"umask": 18}}}));
    let (process, left) = exec(spec.process().as_ref().unwrap(), Dialect::Exact).unwrap();
    assert!(process.Capabilities.is_none());
    let properties: Vec<_> = left.iter().map(|left| left.property).collect();
    assert_eq!(
        properties,
        ["process.apparmorProfile", "process.user.umask"]
    );
    let empty = spec_with(json!({"process": {"args": []}}));
    let error = exec(empty.process().as_ref().unwrap(), Dialect::Exact).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn namespaces_lose_their_paths_and_the_hosts_own() {
    let guest = kata(json!({"linux": {
        "namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}, {"type": "network"},
            {"type": "time"}, {"type": "cgroup"}, {"type": "user"}, {"type": "ipc", "path": "/x"}],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 2}],
        "gidMappings": [{"containerID": 1, "hostID": 2000, "size": 3}],
    }}));
    let linux = &guest.spec.Linux;
    let kinds: Vec<&str> = linux.Namespaces.iter().map(|n| n.Type.as_str()).collect();
    assert_eq!(kinds, ["mount", "ipc", "uts", "cgroup", "user"]);
    assert!(
        linux
            .Namespaces
            .iter()
            .all(|namespace| namespace.Path.is_empty())
    );
    assert!(guest.shares_pids, "a pid namespace with a path is a pod's");
    let uid = &linux.UIDMappings[0];
    assert_eq!((uid.ContainerID, uid.HostID, uid.Size), (0, 1000, 2));
    let gid = &linux.GIDMappings[0];
    assert_eq!((gid.ContainerID, gid.HostID, gid.Size), (1, 2000, 3));
}

#[test]
fn mounts_get_what_an_agent_would_panic_without() {
    let guest = kata(json!({"mounts": [
        {"destination": "/proc", "type": "proc"},
        {"destination": "/data", "source": "/guest/data", "options": ["rbind", "ro"]},
        {"destination": "/other", "type": "none", "source": "/guest/other", "options": ["bind"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["size=64k"]},
    ]}));
    let mounts: Vec<(&str, &str)> = guest
        .spec
        .Mounts
        .iter()
        .map(|m| (m.source.as_str(), m.type_.as_str()))
        .collect();
    let expected = [
        ("proc", "proc"),
        ("/guest/data", "bind"),
        ("/guest/other", "bind"),
        ("shm", "tmpfs"),
    ];
    assert_eq!(mounts, expected);
    assert_eq!(guest.spec.Mounts[1].options, ["rbind", "ro"]);

    for broken in [
        json!({"destination": "/x", "options": ["bind"]}),
        json!({"destination": "/x", "source": "y"}),
        json!({"destination": "x", "source": "y", "type": "tmpfs"}),
        json!({"destination": "/a/../../x", "source": "y", "type": "tmpfs"}),
    ] {
        let error = convert(Dialect::Kata, json!({"mounts": [broken]})).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn shared_memory_of_the_sandbox_is_bound() {
    let id = ContainerId::new("c1").unwrap();
    let target = Target {
        id: &id,
        root: "/guest/rootfs",
        role: Role::PodContainer,
        dialect: Dialect::Kata,
        seccomp: true,
        shared_shm: true,
    };
    let shm = json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm"});
    let guest = container(&spec_with(json!({"mounts": [shm]})), &target).unwrap();
    let mount = &guest.spec.Mounts[0];
    assert_eq!(mount.source, "/run/kata-containers/sandbox/shm");
    assert_eq!(
        (mount.type_.as_str(), &mount.options),
        ("bind", &words(&["rbind"]))
    );
    let role = &guest.spec.Annotations["io.katacontainers.pkg.oci.container_type"];
    assert_eq!(role, "pod_container");
}

const LIMITS: &str = r#"{"linux": {"resources": {
    "devices": [{"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"}],
    "memory": {"limit": 1000, "reservation": 900, "swap": -1, "kernel": 5, "kernelTCP": 6,
        "swappiness": 7, "disableOOMKiller": true},
    "cpu": {"shares": 512, "quota": -1, "period": 100000, "realtimeRuntime": 4,
        "realtimePeriod": 8, "cpus": "0-3", "mems": "0", "idle": 1, "burst": 2},
    "pids": {"limit": 100},
    "blockIO": {"weight": 10}, "network": {"classID": 1}, "unified": {"memory.high": "1", "io.max": "8:0 riops=1"},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}, {"pageSize": "1GB", "limit": -1}]
}}}"#;

#[test]
fn kata_agent_gets_the_limits_it_does_not_distort() {
    let guest = kata(serde_json::from_str(LIMITS).unwrap());
    let limits = &guest.spec.Linux.Resources;
    assert!(limits.Devices.is_empty() && limits.Pids.is_none());
    assert!(limits.BlockIO.is_none() && limits.Network.is_none());
    let memory = &limits.Memory;
    assert_eq!(
        (memory.Limit, memory.Reservation, memory.Swap),
        (1000, 900, 0)
    );
    assert_eq!(
        (memory.Kernel, memory.KernelTCP, memory.Swappiness),
        (5, 6, 7)
    );
    assert!(memory.DisableOOMKiller);
    let cpu = &limits.CPU;
    assert_eq!((cpu.Shares, cpu.Quota, cpu.Period), (512, 0, 100_000));
    assert_eq!((cpu.RealtimeRuntime, cpu.RealtimePeriod), (4, 8));
    assert!(cpu.Cpus.is_empty() && cpu.Mems.is_empty());
    let huge = &limits.HugepageLimits;
    assert_eq!(
        (huge.len(), huge[0].Pagesize.as_str(), huge[0].Limit),
        (1, "2MB", 4096)
    );
    let resources = |name: &str| format!("linux.resources.{name}");
    let expected = [
        "pids",
        "devices",
        "blockIO",
        "network",
        "unified",
        "memory.swap",
        "cpu.cpus",
        "cpu.mems",
        "cpu.idle",
        "cpu.burst",
        "cpu.quota",
    ];
    assert_eq!(left_out(&guest), expected.map(resources));
}

#[test]
fn our_agent_gets_the_limits_as_they_are() {
    let guest = exact(serde_json::from_str(LIMITS).unwrap());
    let limits = &guest.spec.Linux.Resources;
    assert_eq!(
        (limits.Pids.Limit, limits.Memory.Swap, limits.CPU.Quota),
        (100, -1, -1)
    );
    let rules: Vec<(bool, &str, i64, i64, &str)> = limits
        .Devices
        .iter()
        .map(|r| {
            (
                r.Allow,
                r.Type.as_str(),
                r.Major,
                r.Minor,
                r.Access.as_str(),
            )
        })
        .collect();
    assert_eq!(
        rules,
        [(false, "a", -1, -1, "rwm"), (true, "c", 1, 3, "rw")]
    );
    assert_eq!((limits.CPU.Idle, limits.CPU.Burst), (1, 2));
    let files: Vec<_> = limits.Unified.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(
        files,
        [("memory.high", "1")],
        "numbers of devices are the host's"
    );
    assert_eq!(limits.HugepageLimits[1].Limit, u64::MAX);
    let left = ["blockIO", "network", "unified", "cpu.cpus", "cpu.mems"];
    assert_eq!(
        left_out(&guest),
        left.map(|name| format!("linux.resources.{name}"))
    );
}

#[test]
fn a_filter_is_carried_and_a_missing_number_is_not_success() {
    use wire::linux_syscall::ErrnoRet::Errnoret;
    let guest = kata(json!({"linux": {"seccomp": {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    }}}));
    let filter = &guest.spec.Linux.Seccomp;
    assert_eq!(filter.DefaultAction, "SCMP_ACT_ERRNO");
    assert_eq!(filter.Architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]);
    assert_eq!(filter.Flags, ["SECCOMP_FILTER_FLAG_LOG"]);
    let [allow, clone, bpf] = &filter.Syscalls[..] else {
        panic!("three rules");
    };
    assert_eq!(
        (&allow.Names, &allow.ErrnoRet),
        (&words(&["read", "write"]), &None)
    );
    assert_eq!(
        clone.ErrnoRet,
        Some(Errnoret(1)),
        "EPERM, as the specification has it"
    );
    assert_eq!(bpf.ErrnoRet, Some(Errnoret(38)));
    let argument = &clone.Args[0];
    assert_eq!(
        (argument.Index, argument.Value, argument.ValueTwo),
        (1, 2, 3)
    );
    assert_eq!(argument.Op, "SCMP_CMP_MASKED_EQ");
    assert_eq!(left_out(&guest), ["linux.seccomp.defaultErrnoRet"]);
}

#[test]
fn a_filter_that_asks_the_host_is_unsupported() {
    for seccomp in [
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/l"}),
        json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
        json!({"defaultAction": "SCMP_ACT_ALLOW",
               "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]}),
    ] {
        let error = convert(Dialect::Exact, json!({"linux": {"seccomp": seccomp}})).unwrap_err();
        assert_eq!(
            (error.kind(), error.container()),
            (ErrorKind::Unsupported, Some("c1"))
        );
    }
}

#[test]
fn a_filter_is_left_out_with_a_note_where_the_guest_has_none() {
    let id = ContainerId::new("c1").unwrap();
    let target = Target {
        id: &id,
        root: "/r",
        role: Role::PodSandbox,
        dialect: Dialect::Kata,
        seccomp: false,
        shared_shm: false,
    };
    let filter = json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}});
    let guest = container(&spec_with(filter), &target).unwrap();
    assert!(guest.spec.Linux.Seccomp.is_none());
    assert_eq!(left_out(&guest), ["linux.seccomp"]);
}

#[test]
fn the_rest_of_the_linux_part_is_carried_or_noted() {
    let guest = kata(json!({
        "hostname": "h", "domainname": "d",
        "root": {"path": "rootfs", "readonly": true},
        "annotations": {"a": "b"},
        "linux": {
            "sysctl": {"kernel.msgmax": "1"}, "rootfsPropagation": "rslave",
            "maskedPaths": ["/m"], "readonlyPaths": ["/r"], "mountLabel": "l",
            "cgroupsPath": "system.slice:docker:abc", "intelRdt": {"closID": "x"},
            "devices": [
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438,
                 "uid": 1, "gid": 2},
                {"path": "/dev/vfio/7", "type": "c", "major": 1, "minor": 1},
                {"path": "/dev/sda", "type": "b", "major": 8, "minor": 0},
            ],
        },
    }));
    let (spec, linux) = (&guest.spec, &guest.spec.Linux);
    assert_eq!(spec.Hostname, "h");
    assert!(spec.Root.Readonly);
    assert_eq!(spec.Annotations["a"], "b");
    assert_eq!(linux.Sysctl["kernel.msgmax"], "1");
    assert_eq!(linux.RootfsPropagation, "rslave");
    assert_eq!(linux.MaskedPaths, ["/m"]);
    assert_eq!(linux.ReadonlyPaths, ["/r"]);
    assert_eq!(
        linux.CgroupsPath, "/c1",
        "the host's path means nothing in the guest"
    );
    assert_eq!(linux.MountLabel, "");
    let [device] = &linux.Devices[..] else {
        panic!("one device");
    };
    assert_eq!(
        (device.Path.as_str(), device.Type.as_str()),
        ("/dev/fuse", "c")
    );
    assert_eq!(
        (device.Major, device.Minor, device.FileMode),
        (10, 229, 438)
    );
    assert_eq!((device.UID, device.GID), (1, 2));
    let expected = [
        "domainname",
        "linux.mountLabel",
        "linux.intelRdt",
        "linux.devices of /dev/vfio",
        "linux.devices of type b",
    ];
    assert_eq!(left_out(&guest), expected);
}

#[test]
fn only_hooks_inside_the_container_are_the_guests() {
    let hook = json!([{"path": "/h", "args": ["h", "x"], "env": ["E=1"], "timeout": 5}]);
    let guest = kata(json!({"hooks": {"prestart": hook, "poststop": hook}}));
    assert!(guest.spec.Hooks.is_none());
    let guest = kata(json!({"hooks": {"startContainer": hook, "poststart": hook}}));
    let hooks = &guest.spec.Hooks;
    assert!(hooks.Poststart.is_empty() && hooks.Prestart.is_empty());
    let hook = &hooks.StartContainer[0];
    assert_eq!((hook.Path.as_str(), hook.Timeout), ("/h", 5));
    assert_eq!(
        (&hook.Args, &hook.Env),
        (&words(&["h", "x"]), &words(&["E=1"]))
    );
}

#[test]
fn nothing_can_be_made_of_a_specification_without_a_program() {
    let error = convert(Dialect::Kata, json!({"process": null})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = convert(Dialect::Kata, json!({"process": {"args": []}})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

//! Tables: what is refused with which name, what is noted, what passes.

use serde_json::{Value, json};

use super::*;

fn checked(part: Value) -> Result<Vec<Ignored>, Error> {
    let mut document = json!({
        "ociVersion": "1.2.0",
        "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
    });
    let root = document.as_object_mut().unwrap();
    for (key, value) in part.as_object().unwrap().clone() {
        root.insert(key, value);
    }
    check(&serde_json::from_value(document).unwrap())
}

fn linux(part: Value) -> Result<Vec<Ignored>, Error> {
    checked(json!({ "linux": part }))
}

#[test]
fn what_a_machine_cannot_do_is_refused_by_name() {
    let mapping = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let rows = [
        (linux(json!({"uidMappings": mapping})), "linux.uidMappings"),
        (linux(json!({"gidMappings": mapping})), "linux.uidMappings"),
        (
            linux(json!({"namespaces": [{"type": "user"}]})),
            "the user namespace",
        ),
        (
            linux(json!({"namespaces": [{"type": "mount", "path": "/run/m"}]})),
            "the mount namespace at /run/m",
        ),
        (
            linux(json!({"namespaces": [{"type": "time", "path": "/run/t"}]})),
            "the time namespace at /run/t",
        ),
        (
            linux(json!({"namespaces": [{"type": "pid", "path": "/proc/7/ns/pid"}]})),
            "the pid namespace at /proc/7/ns/pid",
        ),
        (
            linux(json!({"timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 0}}})),
            "linux.timeOffsets",
        ),
        (
            linux(json!({"intelRdt": {"closID": "a"}})),
            "linux.intelRdt",
        ),
        (
            linux(json!({"personality": {"domain": "LINUX32"}})),
            "linux.personality",
        ),
        (
            linux(json!({"seccomp": {"defaultAction": "SCMP_ACT_NOTIFY"}})),
            "SCMP_ACT_NOTIFY",
        ),
        (
            linux(json!({"devices": [{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}]})),
            "the block device /dev/sda",
        ),
        (
            linux(
                json!({"devices": [{"path": "/dev/vfio/1", "type": "c", "major": 8, "minor": 0}]}),
            ),
            "the device /dev/vfio/1",
        ),
        (
            checked(
                json!({"mounts": [{"destination": "/a", "source": "/a", "options": ["bind", "idmap=uids=0-1-2"]}]}),
            ),
            "mounts[0] at /a",
        ),
        (
            checked(
                json!({"mounts": [{"destination": "/a", "source": "/a", "type": "bind", "uidMappings": mapping}]}),
            ),
            "mounts[0] at /a",
        ),
        (checked(json!({"windows": {"layerFolders": []}})), "windows"),
    ];
    for (got, part) in rows {
        let error = got.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn what_no_runtime_can_do_is_invalid() {
    let rows = [
        (
            linux(json!({"rootfsPropagation": "up"})),
            "linux.rootfsPropagation",
        ),
        (
            checked(json!({"mounts": [{"destination": "a", "type": "tmpfs"}]})),
            "mounts[0] at a",
        ),
        (
            checked(json!({"mounts": [{"destination": "/a/../b", "type": "tmpfs"}]})),
            "mounts[0]",
        ),
        (
            checked(json!({"mounts": [{"destination": "/a", "type": "bind"}]})),
            "source",
        ),
    ];
    for (got, part) in rows {
        let error = got.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn what_has_no_effect_is_noted() {
    let process = json!({
        "args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0, "umask": 0o77},
        "apparmorProfile": "p", "selinuxLabel": "l", "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
    });
    let notes = checked(json!({
        "process": process,
        "domainname": "d",
        "linux": {
            "mountLabel": "l",
            "namespaces": [{"type": "time"}, {"type": "uts", "path": "/run/utsns/a"}],
        },
    }));
    let names: Vec<String> = notes
        .unwrap()
        .into_iter()
        .map(|note| note.property)
        .collect();
    let expected = [
        "process.apparmorProfile",
        "process.selinuxLabel",
        "process.ioPriority",
        "process.user.umask",
        "linux.namespaces of time",
        "linux.namespaces of uts",
        "linux.mountLabel",
        "domainname",
    ];
    assert_eq!(names, expected);
}

#[test]
fn what_managers_write_passes_without_a_note() {
    let member = json!({
        "annotations": {
            "io.kubernetes.cri-o.ContainerType": "container",
            "io.kubernetes.cri-o.SandboxID": "infra",
        },
        "process": {
            "args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0, "umask": 18},
            "apparmorProfile": "", "selinuxLabel": "",
        },
        "linux": {
            "rootfsPropagation": "rslave", "mountLabel": "",
            "personality": {"domain": "LINUX"},
            "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
            "namespaces": [
                {"type": "pid"}, {"type": "mount"}, {"type": "cgroup"},
                {"type": "network", "path": "/proc/7/ns/net"},
                {"type": "ipc", "path": "/proc/7/ns/ipc"},
                {"type": "uts", "path": "/proc/7/ns/uts"},
            ],
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/v", "type": "bind", "source": "/srv", "options": ["rbind", "rro", "rslave"]},
        ],
    });
    assert_eq!(checked(member).unwrap(), []);
}

#[test]
fn a_privileged_container_does_without_the_hosts_disks() {
    let devices = json!([{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}]);
    let notes = linux(json!({
        "devices": devices, "resources": {"devices": [{"allow": true, "access": "rwm"}]},
    }));
    assert_eq!(notes.unwrap()[0].property, "linux.devices /dev/sda");
    let narrow = json!([{"allow": true, "type": "b", "major": 8, "minor": 0, "access": "rwm"}]);
    let refused = linux(json!({"devices": devices, "resources": {"devices": narrow}}));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}

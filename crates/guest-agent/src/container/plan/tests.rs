//! Plans: what a specification becomes, and what is refused.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::{Circumstances, ContainerPlan, MountKind, SharedNamespaces, container, exec};

const NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
const NEWPID: u64 = libc::CLONE_NEWPID as u64;
const NEWNS: u64 = libc::CLONE_NEWNS as u64;
const NEWNET: u64 = libc::CLONE_NEWNET as u64;

fn plan_with(spec: Value, shared: &SharedNamespaces) -> Result<ContainerPlan, String> {
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let facts = Circumstances {
        id: "c1",
        shared,
        run_dir: Path::new("/run/kata-containers"),
        cgroup: Path::new("/sys/fs/cgroup/c1"),
        terminal: None,
    };
    container(&spec, &facts).map_err(|error| error.to_string())
}

/// The plan for the smallest specification, changed at one place.
fn plan(pointer: &str, value: Value) -> Result<ContainerPlan, String> {
    plan_with(spec(pointer, value), &SharedNamespaces::default())
}

fn spec(pointer: &str, value: Value) -> Value {
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "root": { "path": "/run/kata-containers/c1/rootfs" },
        "process": { "args": ["true"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
        "mounts": [],
        "linux": { "namespaces": [{ "type": "mount" }] },
    });
    if let Some((parent, name)) = pointer.rsplit_once('/') {
        let parent = if parent.is_empty() {
            &mut spec
        } else {
            spec.pointer_mut(parent).unwrap()
        };
        parent[name] = value;
    }
    spec
}

#[test]
fn the_smallest_specification() {
    let plan = plan("", json!(null)).unwrap();
    assert_eq!(plan.namespaces.clone, NEWNS | NEWPID);
    assert!(plan.fill_dev && plan.namespaces.join.is_empty());
    assert_eq!(plan.process.user.umask, 0o022);
}

#[test]
fn namespaces_are_made_joined_or_shared() {
    let all = json!([{ "type": "mount" }, { "type": "ipc" }, { "type": "network" },
        { "type": "cgroup" }, { "type": "uts", "path": "/proc/7/ns/uts" }, { "type": "pid" }]);
    let own = plan("/linux/namespaces", all.clone()).unwrap().namespaces;
    assert_eq!(own.clone, NEWNS | NEWPID | NEWIPC | NEWNET);
    assert_eq!(own.join.len(), 1);
    assert!(own.new_cgroup && own.new_network() && own.join_pid.is_none());
    let shared = SharedNamespaces {
        ipc: Some(PathBuf::from("/ns/ipc")),
        uts: Some(PathBuf::from("/ns/uts")),
        pid: Some(PathBuf::from("/ns/pid")),
    };
    let theirs = plan_with(spec("/linux/namespaces", all), &shared)
        .unwrap()
        .namespaces;
    assert_eq!(theirs.clone, NEWNS | NEWNET);
    let joined: Vec<&Path> = theirs.join.iter().map(|join| join.path.as_path()).collect();
    assert_eq!(joined, [Path::new("/ns/ipc"), Path::new("/ns/uts")]);
    assert_eq!(theirs.join_pid.as_deref(), Some(Path::new("/ns/pid")));
    // What is not listed is not entered.
    let none = plan_with(spec("", json!(null)), &shared)
        .unwrap()
        .namespaces;
    assert_eq!((none.clone, none.join.len()), (NEWNS, 0));
}

#[test]
fn options_of_mounts() {
    let mount = |options: Value| {
        let mount =
            json!({ "type": "tmpfs", "source": "x", "destination": "/t", "options": options });
        plan("/mounts", json!([mount])).unwrap().mounts.remove(0)
    };
    let one = mount(json!([
        "ro", "nosuid", "rw", "noatime", "size=5k", "sync", "rslave"
    ]));
    assert_eq!(
        one.attributes.0,
        libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOATIME
    );
    assert_eq!(
        one.attributes.1,
        libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR__ATIME
    );
    assert!(one.propagation[0].recursive && one.propagation[0].kind == libc::MS_SLAVE);
    let MountKind::Filesystem {
        fstype, parameters, ..
    } = one.kind
    else {
        panic!("no bind")
    };
    assert_eq!(fstype, "tmpfs");
    let size = ("size".to_owned(), Some("5k".to_owned()));
    assert_eq!(parameters, [size, ("sync".to_owned(), None)]);
    let tree = mount(json!(["rro", "relatime"]));
    assert_eq!(tree.tree_attributes, (libc::MOUNT_ATTR_RDONLY, 0));
    assert_eq!(tree.attributes, (0, libc::MOUNT_ATTR__ATIME));
    let bind = json!([{ "destination": "/t", "source": "/s", "options": ["bind", "rbind"] }]);
    let bind = plan("/mounts", bind).unwrap().mounts.remove(0);
    assert_eq!(
        bind.kind,
        MountKind::Bind {
            source: PathBuf::from("/s"),
            recursive: true
        }
    );
}

#[test]
fn a_read_only_disk_is_opened_read_only() {
    let disk = |kind: &str| {
        let disk = json!([{ "type": kind, "source": "/dev/vda", "destination": "/d",
            "options": ["ro"] }]);
        let MountKind::Filesystem { parameters, .. } =
            plan("/mounts", disk).unwrap().mounts[0].kind.clone()
        else {
            panic!("no bind");
        };
        parameters
    };
    assert_eq!(disk("ext4"), [("ro".to_owned(), None)]);
    assert_eq!(disk("tmpfs"), []);
}

#[test]
fn capabilities_have_the_kernels_numbers() {
    let sets = json!({ "bounding": ["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"],
        "permitted": ["CAP_KILL"], "effective": ["CAP_KILL", "CAP_CHOWN"],
        "inheritable": [], "ambient": ["CAP_KILL"] });
    let sets = plan("/process/capabilities", sets)
        .unwrap()
        .process
        .capabilities;
    assert_eq!((sets.bounding, sets.permitted), (1 | 1 << 40, 1 << 5));
    // What the kernel would refuse is not asked for.
    assert_eq!((sets.effective, sets.ambient), (1 << 5, 0));
}

#[test]
fn an_exec_has_what_the_container_has_unless_it_says_otherwise() {
    let mut base = plan("/process/noNewPrivileges", json!(true))
        .unwrap()
        .process;
    base.oom_score_adj = 5;
    base.capabilities.bounding = 7;
    let process = |text: Value| serde_json::from_value(text).unwrap();
    let bare = process(json!({ "args": ["x"], "cwd": "", "user": { "uid": 1, "gid": 2 } }));
    let plan = exec(&bare, &base, None).unwrap().process;
    assert_eq!((plan.oom_score_adj, plan.capabilities.bounding), (5, 7));
    assert!(plan.no_new_privileges && plan.cwd == Path::new("/"));
    let own = process(
        json!({ "args": ["x"], "cwd": "/", "user": { "uid": 1, "gid": 2 },
        "capabilities": {}, "oomScoreAdj": 9, "noNewPrivileges": false }),
    );
    let plan = exec(&own, &base, None).unwrap().process;
    assert_eq!((plan.oom_score_adj, plan.capabilities.bounding), (9, 0));
    assert!(!plan.no_new_privileges);
}

#[test]
fn nonsense_is_refused_by_the_name_of_the_property() {
    for (pointer, value, word) in [
        ("/process/args", json!([]), "process.args"),
        ("/process/args", json!(["a\0b"]), "process.args"),
        ("/process/env", json!(["=x"]), "process.env"),
        ("/process/cwd", json!("relative"), "process.cwd"),
        (
            "/process/user",
            json!({ "uid": u32::MAX, "gid": 0 }),
            "process.user",
        ),
        ("/process/oomScoreAdj", json!(1001), "oomScoreAdj"),
        ("/process/selinuxLabel", json!("a"), "selinuxLabel"),
        ("/root/path", json!("rootfs"), "root.path"),
        ("/root/path", json!("/a/../b"), "root.path"),
        ("/linux/maskedPaths", json!(["../x"]), "maskedPaths"),
        ("/linux/mountLabel", json!("a"), "mountLabel"),
        (
            "/linux/rootfsPropagation",
            json!("loud"),
            "rootfsPropagation",
        ),
        (
            "/linux/namespaces",
            json!([{ "type": "ipc" }, { "type": "ipc" }]),
            "twice",
        ),
        ("/linux/namespaces", json!([{ "type": "user" }]), "user"),
        (
            "/linux/sysctl",
            json!({ "kernel.panic": "1" }),
            "kernel.panic",
        ),
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_NOTIFY" }),
            "NOTIFY",
        ),
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                { "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 70000 }] }),
            "70000",
        ),
        (
            "/hooks",
            json!({ "startContainer": [{ "path": "x" }] }),
            "startContainer",
        ),
        (
            "/hooks",
            json!({ "createContainer": [{ "path": "/x", "timeout": -1 }] }),
            "-1",
        ),
        ("/process", json!(null), "process"),
        ("/root", json!(null), "root"),
        ("/linux", json!(null), "linux"),
    ] {
        let refused = plan(pointer, value.clone()).unwrap_err();
        assert!(refused.contains(word), "{pointer} {value}: {refused}");
    }
}

#[test]
fn a_filter_is_whole_instructions() {
    let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            { "names": ["read", "write", "from_the_future"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [
                { "index": 0, "value": 0, "op": "SCMP_CMP_EQ" },
                { "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }] },
        ] });
    let filter = plan("/linux/seccomp", profile)
        .unwrap()
        .process
        .seccomp
        .unwrap();
    assert!(!filter.filter.is_empty() && filter.filter.len().is_multiple_of(8));
}

//! One specification, in the words of both.

use serde_json::{Value, json};
use virtcontainers_agent_proto::oci;

const MASKED: [&str; 5] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/sys/firmware",
];
const READONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
const NAMESPACES: [&str; 3] = ["mount", "ipc", "uts"];

/// Type, destination, options.
const MOUNTS: [(&str, &str, &[&str]); 6] = [
    ("proc", "/proc", &[]),
    (
        "tmpfs",
        "/dev",
        &["nosuid", "strictatime", "mode=755", "size=65536k"],
    ),
    (
        "devpts",
        "/dev/pts",
        &[
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
        ],
    ),
    (
        "tmpfs",
        "/dev/shm",
        &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    ),
    ("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
    ("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
];

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `config.json` for runc. It wants a pid namespace said; the agent makes one by itself.
pub(crate) fn config(rootfs: &str, args: &[&str]) -> Value {
    let namespaces: Vec<Value> = NAMESPACES
        .iter()
        .chain(&["pid"])
        .map(|kind| json!({ "type": kind }))
        .collect();
    let mounts: Vec<Value> = MOUNTS
        .iter()
        .map(|(kind, destination, options)| {
            json!({ "type": kind, "source": kind, "destination": destination, "options": options })
        })
        .collect();
    let sets = json!(CAPABILITIES);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "args": args, "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 },
            "capabilities": { "bounding": sets, "effective": sets, "permitted": sets },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": rootfs },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces, "maskedPaths": MASKED, "readonlyPaths": READONLY,
        },
    })
}

/// A process for the agent.
pub(crate) fn process(args: &[&str]) -> oci::Process {
    oci::Process {
        Args: strings(args),
        Cwd: "/".to_owned(),
        Env: strings(&["PATH=/bin"]),
        User: Some(oci::User::new()).into(),
        Capabilities: Some(oci::LinuxCapabilities {
            Bounding: strings(&CAPABILITIES),
            Effective: strings(&CAPABILITIES),
            Permitted: strings(&CAPABILITIES),
            ..Default::default()
        })
        .into(),
        Rlimits: vec![oci::POSIXRlimit {
            Type: "RLIMIT_NOFILE".to_owned(),
            Soft: 1024,
            Hard: 1024,
            ..Default::default()
        }],
        NoNewPrivileges: true,
        ..Default::default()
    }
}

/// The specification for the agent.
pub(crate) fn spec(rootfs: &str, args: &[&str]) -> oci::Spec {
    let mount = |(kind, destination, options): &(&str, &str, &[&str])| oci::Mount {
        destination: (*destination).to_owned(),
        source: (*kind).to_owned(),
        type_: (*kind).to_owned(),
        options: strings(options),
        ..Default::default()
    };
    let namespace = |kind: &&str| oci::LinuxNamespace {
        Type: (*kind).to_owned(),
        ..Default::default()
    };
    oci::Spec {
        Version: "1.0.2".to_owned(),
        Process: Some(process(args)).into(),
        Root: Some(oci::Root {
            Path: rootfs.to_owned(),
            ..Default::default()
        })
        .into(),
        Mounts: MOUNTS.iter().map(mount).collect(),
        Linux: Some(oci::Linux {
            Namespaces: NAMESPACES.iter().map(namespace).collect(),
            MaskedPaths: strings(&MASKED),
            ReadonlyPaths: strings(&READONLY),
            Resources: Some(oci::LinuxResources::new()).into(),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    }
}

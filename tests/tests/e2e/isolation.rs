//! A container gets what its specification says: limits, filters, masks, in the guest.

use anyhow::Result;
use serde_json::{Value, json};
use virtcontainers_tests::{Finished, Place};

/// Runs a script in a container made from a bundle with these properties of `process` and `linux`.
fn run(
    place: &Place,
    name: &str,
    script: &str,
    process: &Value,
    linux: &Value,
) -> Result<Finished> {
    let mut config = json!({
        "ociVersion": "1.2.0",
        "root": { "path": place.rootfs() },
        "process": {
            "args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"],
            "user": { "uid": 0, "gid": 0 },
            "capabilities": { "bounding": [], "effective": [], "permitted": [] },
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] },
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "cgroup" }, { "type": "network" },
            ],
        },
    });
    merge(&mut config["process"], process);
    merge(&mut config["linux"], linux);
    let bundle = place.path(name);
    std::fs::create_dir(&bundle)?;
    std::fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
    let bundle = bundle.display().to_string();
    place
        .vc(["run", "--bundle", &bundle, &place.id(name)])
        .finish()
}

fn merge(base: &mut Value, over: &Value) {
    if let (Some(base), Some(over)) = (base.as_object_mut(), over.as_object()) {
        base.extend(over.clone());
    }
}

#[test]
fn privileges_are_what_the_specification_says() -> Result<()> {
    let place = Place::new()?;
    let process = json!({
        "user": { "uid": 1000, "gid": 1000, "additionalGids": [7, 9] },
        "noNewPrivileges": true,
        "oomScoreAdj": 321,
        "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 128, "soft": 64 }],
        "capabilities": {
            "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"],
            "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        },
    });
    let script = "id -u; id -g; ulimit -n; cat /proc/self/oom_score_adj; \
        grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status | tr -s ' \\t' ' '";
    let run = run(&place, "privileges", script, &process, &json!({}))?.expect(0)?;
    let text = run.text();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[..4], ["1000", "1000", "64", "321"]);
    for line in [
        "CapBnd: 0000000000000020",
        "CapEff: 0000000000000020",
        "NoNewPrivs: 1",
    ] {
        assert!(lines.contains(&line), "{line}: {text}");
    }
    assert!(text.contains("Groups: 7 9"), "{text}");
    place.assert_clean()
}

#[test]
fn system_calls_and_devices_are_filtered() -> Result<()> {
    let place = Place::new()?;
    let process = json!({ "capabilities": {
        "bounding": ["CAP_MKNOD"], "effective": ["CAP_MKNOD"], "permitted": ["CAP_MKNOD"],
    } });
    let linux = json!({
        "seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{
                "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95,
            }],
        },
        "resources": { "devices": [
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" },
        ] },
    });
    let script = "mkdir /x 2>&1; echo > /dev/null && echo null; \
        mknod /tmp/kmsg c 1 11 2>/dev/null && cat /tmp/kmsg; \
        head -c1 /dev/zero >/dev/null 2>&1 || echo no zero";
    let run = run(&place, "filters", script, &process, &linux)?.expect(0)?;
    let text = run.text();
    assert!(text.contains("not supported"), "{text}");
    assert!(text.contains("null\n"), "{text}");
    assert!(!text.contains("Linux version"), "{text}");
    place.assert_clean()
}

#[test]
fn paths_are_masked_and_read_only_and_sysctls_set() -> Result<()> {
    let place = Place::new()?;
    let linux = json!({
        "maskedPaths": ["/proc/meminfo", "/proc/scsi", "/proc/nosuch"],
        "readonlyPaths": ["/proc/sys"],
        "sysctl": { "kernel.msgmax": "12345" },
    });
    let script = "wc -c < /proc/meminfo; cat /proc/sys/kernel/msgmax; \
        echo 1 > /proc/sys/kernel/msgmax 2>/dev/null || echo read-only; \
        touch /sys/x 2>/dev/null || echo sysfs too";
    let run = run(&place, "paths", script, &json!({}), &linux)?.expect(0)?;
    assert_eq!(run.text(), "0\n12345\nread-only\nsysfs too\n");
    place.assert_clean()
}

#[test]
fn limits_hold_and_a_container_that_runs_out_of_memory_is_killed() -> Result<()> {
    let place = Place::new()?;
    let linux = json!({ "resources": {
        "memory": { "limit": 33_554_432 },
        "cpu": { "quota": 50_000, "period": 100_000, "shares": 512 },
        "pids": { "limit": 20 },
    } });
    let script = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max; exec tail /dev/zero";
    let run = run(&place, "limits", script, &json!({}), &linux)?;
    assert_eq!(run.text(), "33554432\n50000 100000\n20\n", "{}", run.stderr);
    assert_eq!(run.status, 137, "{}", run.stderr);
    place.assert_clean()
}

#[test]
fn the_container_is_alone_in_its_namespaces() -> Result<()> {
    let place = Place::new()?;
    let script = "ls -d /proc/[0-9]* | wc -l; echo $$; hostname inner 2>/dev/null; \
        cat /proc/self/cgroup; cat /proc/net/dev | grep -c :";
    let run = run(&place, "namespaces", script, &json!({}), &json!({}))?.expect(0)?;
    let text = run.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "1", "{text}");
    assert_eq!(lines[2], "0::/", "{text}");
    assert_eq!(lines[3], "1", "only the loopback: {text}");
    place.assert_clean()
}

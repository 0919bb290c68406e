//! The supervisor: idle means idle, and its children get nothing that is not theirs.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use virtcontainers_tests::Place;
use virtcontainers_tests::inventory::works_in;
use virtcontainers_tests::program::Program;

use crate::detached::Running;

#[test]
fn an_idle_supervisor_makes_no_system_call() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "idle")?;
    let pid = running.supervisor()?.to_string();
    // The first seconds settle what the start left; the next ten must be silent.
    let trace = place.path("trace").display().to_string();
    let watch = |seconds: &str| {
        Program::new("timeout")
            .arg("--signal=INT")
            .arg(seconds)
            .arg("strace")
            .arg("-f")
            .arg("-o")
            .arg(&trace)
            .arg("-p")
            .arg(&pid)
            .finish()
    };
    watch("3")?;
    watch("10")?;
    let seen = std::fs::read_to_string(&trace)?;
    // Calls that were under way when the tracer came, and its going, are no calls of this time.
    let calls: Vec<&str> = seen
        .lines()
        .filter(|line| !(line.contains("restart_syscall") || line.contains("<detached ...>")))
        .filter(|line| !line.contains("resumed"))
        .filter(|line| !line.ends_with("<unfinished ...>"))
        .collect();
    assert!(calls.is_empty(), "{calls:#?}");
    running.delete()?;
    place.assert_clean()
}

#[test]
fn children_inherit_no_descriptor_of_the_caller() -> Result<()> {
    let place = Place::new()?;
    let secret = place.path("secret");
    std::fs::write(&secret, "secret")?;
    let id = place.id("descriptors");
    let shell = format!("exec 9<{}; exec \"$0\" \"$@\"", secret.display());
    let run = place.run(&id, ["--detach"], ["sleep", "100000"]);
    run.under(["sh", "-c", &shell])
        .output_to(&place.path("."))?
        .finish()?
        .expect(0)?;
    let mut looked_at = BTreeSet::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if !(works_in(&path, place.root()) || line.contains(&place.root().display().to_string())) {
            continue;
        }
        let program = line.split('\0').next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        for descriptor in std::fs::read_dir(path.join("fd")).with_context(|| line.clone())? {
            let target = std::fs::read_link(descriptor?.path()).unwrap_or_default();
            assert!(target != secret, "{program} has the caller's descriptor");
        }
        looked_at.insert(program);
    }
    assert!(
        looked_at
            .iter()
            .any(|program| program.starts_with("qemu-system")),
        "{looked_at:?}"
    );
    place.vc(["delete", "--force", &id]).finish()?.expect(0)?;
    place.assert_clean()
}

#[test]
fn qemu_runs_confined_in_the_sandboxs_network_namespace() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "confined")?;
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net"));
    let mut seen = false;
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let pid = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let cwd = std::fs::read_link(path.join("cwd")).unwrap_or_default();
        if !(cwd.starts_with(place.root()) && line.contains("qemu-system")) {
            continue;
        }
        seen = true;
        assert_ne!(
            namespace(&pid)?,
            namespace("self")?,
            "QEMU is in the host's network"
        );
        assert!(line.contains("-sandbox on"), "{line}");
        let status = std::fs::read_to_string(path.join("status"))?;
        assert!(status.contains("Seccomp:\t2"), "{status}");
    }
    assert!(seen, "no QEMU runs");
    running.delete()?;
    place.assert_clean()
}

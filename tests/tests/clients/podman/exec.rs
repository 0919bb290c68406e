//! `podman exec`: further processes of a container.

use anyhow::{Result, ensure};

use super::Podman;

with_both!(crate::podman::with_podman:
    an_exec_has_streams_status_and_a_place,
    an_exec_may_be_left_alone,
    an_exec_that_cannot_be_has_its_status,
);

fn an_exec_has_streams_status_and_a_place(podman: &Podman) -> Result<()> {
    podman.sleeping("exec")?;
    let words = [
        "exec",
        "--interactive",
        "--env",
        "A=b",
        "--user",
        "user",
        "--workdir",
        "/etc",
        "exec",
        "sh",
        "-c",
        "cat; echo $A; id -un; pwd; echo err >&2; exit 5",
    ];
    let exec = podman.call(words).finish_with(b"in\n")?.expect(5)?;
    let text = exec.text();
    ensure!(text == "in\nb\nuser\n/etc\n", "{text:?}");
    ensure!(exec.stderr.starts_with("err\n"), "{:?}", exec.stderr);
    // It really is the container's: process 1 is its command.
    let first = podman.ok(["exec", "exec", "cat", "/proc/1/cmdline"])?;
    let first = first.text();
    ensure!(first.starts_with("sleep\0"), "{first:?}");
    podman.ok(["rm", "--force", "--time=0", "exec"]).map(drop)
}

fn an_exec_may_be_left_alone(podman: &Podman) -> Result<()> {
    podman.sleeping("alone")?;
    let script = "touch /begun; until [ -e /go ]; do sleep 0.1; done; touch /ended";
    podman.ok(["exec", "--detach", "alone", "sh", "-c", script])?;
    podman.await_file("alone", "/begun")?;
    podman.ok(["exec", "alone", "touch", "/go"])?;
    podman.await_file("alone", "/ended")?;
    // One that still runs goes with its container.
    podman.ok(["exec", "--detach", "alone", "sleep", "100000"])?;
    podman.ok(["rm", "--force", "--time=0", "alone"]).map(drop)
}

fn an_exec_that_cannot_be_has_its_status(podman: &Podman) -> Result<()> {
    podman.sleeping("fails")?;
    std::fs::write(podman.stage().place().rootfs().join("data"), "no program")?;
    for (command, status) in [("/nosuch", 127), ("/data", 126)] {
        let exec = podman.call(["exec", "fails", command]).finish()?;
        let exec = exec.expect(status)?;
        ensure!(exec.text().is_empty(), "{:?}", exec.text());
    }
    podman.ok(["exec", "fails", "true"])?;
    podman.ok(["rm", "--force", "--time=0", "fails"]).map(drop)
}

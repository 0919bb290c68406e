//! From `podman run --detach` to `podman rm`: stop, kill, pause, start again.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{Podman, with_podman};
use crate::stage::Runtime;

with_both!(crate::podman::with_podman:
    a_stop_is_obeyed_or_enforced,
    a_signal_is_delivered,
    a_paused_container_stands_still,
    a_stopped_container_starts_again,
    a_container_whose_process_on_the_host_is_killed_has_ended,
    a_running_container_is_removed_by_force,
);

fn a_stop_is_obeyed_or_enforced(podman: &Podman) -> Result<()> {
    podman.ready(
        "obeys",
        "trap 'exit 7' TERM; touch /ready; while :; do sleep 0.1; done",
    )?;
    podman.ok(["stop", "--time=20", "obeys"])?;
    let status = podman.fact("obeys", "{{.State.ExitCode}} {{.State.Status}}")?;
    ensure!(status == "7 exited", "{status}");
    podman.ok(["rm", "obeys"])?;

    podman.ready("ignores", "trap '' TERM; touch /ready; sleep 100000")?;
    podman.ok(["stop", "--time=1", "ignores"])?;
    let status = podman.fact("ignores", "{{.State.ExitCode}}")?;
    ensure!(status == "137", "{status}");
    podman.ok(["rm", "ignores"]).map(drop)
}

fn a_signal_is_delivered(podman: &Podman) -> Result<()> {
    let script = "trap 'touch /seen' USR1; touch /ready; while :; do sleep 0.1; done";
    podman.ready("kill", script)?;
    podman.ok(["kill", "--signal=USR1", "kill"])?;
    podman.await_file("kill", "/seen")?;
    podman.ok(["kill", "--signal=KILL", "kill"])?;
    let status = podman.wait("kill")?;
    ensure!(status == 137, "{status}");
    podman.ok(["rm", "kill"]).map(drop)
}

fn a_paused_container_stands_still(podman: &Podman) -> Result<()> {
    podman.sleeping("paused")?;
    podman.ok(["pause", "paused"])?;
    let state = podman.fact("paused", "{{.State.Status}}")?;
    ensure!(state == "paused", "{state}");
    let exec = podman.call(["exec", "paused", "true"]).finish()?;
    ensure!(exec.status != 0, "an exec entered a paused container");
    podman.ok(["unpause", "paused"])?;
    let state = podman.fact("paused", "{{.State.Status}}")?;
    ensure!(state == "running", "{state}");
    podman.ok(["exec", "paused", "true"])?;
    // It is also removed while it stands still.
    podman.ok(["pause", "paused"])?;
    podman.ok(["rm", "--force", "--time=0", "paused"]).map(drop)
}

fn a_stopped_container_starts_again(podman: &Podman) -> Result<()> {
    podman.detached("again", &[], &["sh", "-c", "echo life >> /lives; exit 4"])?;
    ensure!(podman.wait("again")? == 4);
    let start = podman.call(["start", "--attach", "again"]);
    start.finish()?.expect(4)?;
    let lives = podman.stage().place().rootfs().join("lives");
    let lives = std::fs::read_to_string(lives)?;
    ensure!(lives == "life\nlife\n", "{lives:?}");
    podman.ok(["rm", "again"]).map(drop)
}

fn a_container_whose_process_on_the_host_is_killed_has_ended(podman: &Podman) -> Result<()> {
    podman.sleeping("killed")?;
    let pid = podman.fact("killed", "{{.State.Pid}}")?.parse()?;
    kill_process(Pid::from_raw(pid).context("no pid")?, Signal::KILL)?;
    let status = podman.wait("killed")?;
    ensure!(status == 137, "{status}");
    let state = podman.fact("killed", "{{.State.Status}}")?;
    ensure!(state == "exited", "{state}");
    podman.ok(["rm", "killed"]).map(drop)
}

/// Only `vc` has a machine.
#[test]
fn a_container_whose_machine_is_killed_has_ended() -> Result<()> {
    with_podman(Runtime::Vc, |podman| {
        podman.sleeping("machine")?;
        let id = podman.fact("machine", "{{.Id}}")?;
        let processes = podman.stage().processes_of(&format!("libpod-{id}"))?;
        let mut machines = processes
            .into_iter()
            .filter(|(_, name)| name.starts_with("qemu-system"));
        let (machine, _) = machines
            .next()
            .context("no machine in the container's cgroup")?;
        kill_process(machine, Signal::KILL)?;
        let status = podman.wait("machine")?;
        ensure!(status != 0, "the loss of the machine looks like a success");
        podman.ok(["rm", "machine"]).map(drop)
    })
}

fn a_running_container_is_removed_by_force(podman: &Podman) -> Result<()> {
    podman.sleeping("forced")?;
    let refused = podman.call(["rm", "forced"]).finish()?;
    ensure!(refused.status != 0, "a running container was removed");
    podman.ok(["exec", "forced", "true"])?;
    podman.ok(["rm", "--force", "--time=0", "forced"]).map(drop)
}

//! What Podman tells of a container: logs, statistics, its process, its cgroup.

use anyhow::{Context, Result, bail, ensure};

use super::Podman;
use crate::stage::Runtime;

with_both!(crate::podman::with_podman:
    logs_are_kept_apart,
    statistics_are_of_this_container,
    an_inspection_names_a_process_that_lives,
);

fn logs_are_kept_apart(podman: &Podman) -> Result<()> {
    let script = "echo out; echo err >&2; sleep 100000";
    podman.detached("logs", &[], &["sh", "-c", script])?;
    let mut follow = podman.call(["logs", "--follow", "logs"]).start()?;
    follow.wait_for_stderr("err\n")?;
    podman.ok(["kill", "logs"])?;
    podman.wait("logs")?;
    let follow = follow.finish()?.expect(0)?;
    ensure!(follow.text() == "out\n", "{:?}", follow.text());
    let logs = podman.ok(["logs", "logs"])?;
    ensure!(logs.text() == "out\n", "{:?}", logs.text());
    ensure!(logs.stderr == "err\n", "{:?}", logs.stderr);
    podman.ok(["rm", "logs"]).map(drop)
}

/// A container that sleeps takes less than this, even with a machine around it; a host takes more.
const MOST: f64 = 1e9;

/// A machine that has booted takes more than this, so that one that is not counted is found out.
const LEAST_OF_A_MACHINE: f64 = 30e6;

fn statistics_are_of_this_container(podman: &Podman) -> Result<()> {
    podman.sleeping("stats")?;
    let format = "--format={{.MemUsage}}|{{.PIDs}}|{{.CPU}}";
    let stats = podman.ok(["stats", "--no-stream", format, "stats"])?;
    let text = stats.text();
    let mut fields = text.trim().split('|');
    let memory = fields.next().and_then(|usage| usage.split(" / ").next());
    let memory = bytes(memory.context("no memory")?)?;
    let least = match podman.stage().runtime() {
        Runtime::Runc => 0.0,
        Runtime::Vc => LEAST_OF_A_MACHINE,
    };
    ensure!(memory > least && memory < MOST, "{text}");
    let processes: u32 = fields.next().context("no pids")?.trim().parse()?;
    ensure!(processes > 0 && processes < 100, "{text}");
    podman.ok(["rm", "--force", "--time=0", "stats"]).map(drop)
}

/// A size as Podman writes it.
fn bytes(text: &str) -> Result<f64> {
    let digits = text.trim_end_matches(|sign: char| sign.is_alphabetic());
    let unit = match &text[digits.len()..] {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        other => bail!("{other} is no unit, in {text}"),
    };
    Ok(digits.trim().parse::<f64>()? * unit)
}

fn an_inspection_names_a_process_that_lives(podman: &Podman) -> Result<()> {
    podman.sleeping("seen")?;
    let facts = podman.fact("seen", "{{.State.Pid}} {{.State.Status}} {{.Id}}")?;
    let mut words = facts.split(' ');
    let (pid, status) = (words.next(), words.next());
    let (pid, id) = (pid.context("no pid")?, words.next().context("no id")?);
    ensure!(status == Some("running"), "{facts}");
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let ours = format!("{}/libpod-{id}", podman.stage().cgroup());
    ensure!(cgroup.contains(&ours), "{pid} is in {cgroup}");
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net"));
    ensure!(
        network(pid)? != network("self")?,
        "it is in the host's network"
    );
    let listed = podman.ok(["ps", "--format={{.Names}} {{.Status}}"])?.text();
    ensure!(listed.starts_with("seen Up"), "{listed}");

    podman.ok(["kill", "seen"])?;
    podman.wait("seen")?;
    let after = podman.fact(
        "seen",
        "{{.State.Pid}} {{.State.Status}} {{.State.ExitCode}}",
    )?;
    ensure!(after == "0 exited 137", "{after}");
    podman.ok(["rm", "seen"]).map(drop)
}

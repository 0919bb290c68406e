//! Limits of a container: those that it begins with, and those that it is given later.

use anyhow::{Result, ensure};

use super::Podman;
use crate::stage::Runtime;

with_both!(crate::podman::with_podman:
    limits_are_the_containers,
    limits_change_while_it_runs,
);

/// What the container's cgroup says, wherever the kernel below has it.
const LIMITS: &str = "cd /sys/fs/cgroup; \
    cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes; \
    cat cpu.max 2>/dev/null || echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us)";

fn limits_are_the_containers(podman: &Podman) -> Result<()> {
    let options = ["--rm", "--memory", "64m", "--cpus", "0.5"];
    let run = podman.run(&options, &["sh", "-c", LIMITS]).finish()?;
    let text = run.expect(0)?.text();
    ensure!(text == "67108864\n50000 100000\n", "{text:?}");
    if podman.stage().runtime() == Runtime::Vc {
        // A limit of the container is no limit of the machine around it.
        let run = podman.run(&["--rm", "--memory", "32m"], &["true"]);
        run.finish()?.expect(0)?;
    }
    Ok(())
}

fn limits_change_while_it_runs(podman: &Podman) -> Result<()> {
    let options = ["--memory", "64m", "--cpus", "0.5"];
    podman.detached("limits", &options, &["sleep", "100000"])?;
    podman.ok(["update", "--memory=48m", "--cpus=0.25", "limits"])?;
    let text = podman.ok(["exec", "limits", "sh", "-c", LIMITS])?.text();
    ensure!(text == "50331648\n25000 100000\n", "{text:?}");
    podman.ok(["rm", "--force", "--time=0", "limits"]).map(drop)
}

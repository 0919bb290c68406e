//! A pod: containers that share a network, and with `vc` a machine.

use anyhow::{Result, ensure};

use super::Podman;
use crate::stage::Runtime;

with_both!(crate::podman::with_podman: containers_of_a_pod_share_localhost);

fn containers_of_a_pod_share_localhost(podman: &Podman) -> Result<()> {
    let cgroup = podman.stage().cgroup();
    let options = ["--network=none", "--hostname=pod", "--cgroup-parent"];
    let create = [
        ["pod", "create", "--name=pod"].as_slice(),
        &options,
        &[&cgroup],
    ];
    podman.ok(create.concat())?;
    let server = "touch /ready; exec httpd -f -p 127.0.0.1:8080 -h /etc";
    podman.detached("server", &["--pod", "pod"], &["sh", "-c", server])?;
    podman.await_file("server", "/ready")?;
    let script = "hostname; until wget -q -O - http://127.0.0.1:8080/passwd; do sleep 0.1; done; \
        echo err >&2; exit 6";
    let client = podman.run(&["--rm", "--pod", "pod"], &["sh", "-c", script]);
    let client = client.finish()?.expect(6)?;
    let passwd = std::fs::read_to_string(podman.stage().place().rootfs().join("etc/passwd"))?;
    let text = client.text();
    ensure!(text == format!("pod\n{passwd}"), "{text:?}");
    ensure!(client.stderr.ends_with("err\n"), "{:?}", client.stderr);

    if podman.stage().runtime() == Runtime::Vc {
        let machines = podman.stage().machines()?;
        ensure!(machines == 1, "{machines} machines for one pod");
    }
    // A container that ends leaves the others alone, and each has its own process on the host.
    podman.ok(["exec", "server", "true"])?;
    let server = podman.fact("server", "{{.State.Pid}}")?;
    let infra = podman.ok(["pod", "inspect", "--format={{.InfraContainerID}}", "pod"])?;
    let infra = podman.fact(infra.text().trim(), "{{.State.Pid}}")?;
    ensure!(
        server != infra && server != "0" && infra != "0",
        "{server} {infra}"
    );

    podman.ok(["pod", "stop", "--time=1", "pod"])?;
    let state = podman.fact("server", "{{.State.Status}}")?;
    ensure!(state == "exited", "{state}");
    podman.ok(["pod", "rm", "pod"])?;
    podman.ok(["rmi", "--all", "--force"]).map(drop)
}

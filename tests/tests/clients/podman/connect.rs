//! `podman network connect` and `disconnect`: networks of a container that runs. Podman tells no runtime
//! of them, so `vc` has to follow its namespace.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use virtcontainers_network::{View, open_namespace, scan_until};

use super::Podman;
use super::network::{Keeper, PATIENCE, SERVER, SERVES};
use crate::stage::Runtime;

with_both!(crate::podman::network::with_network:
    a_running_container_is_connected_and_disconnected,
);

fn a_running_container_is_connected_and_disconnected(
    podman: &Podman,
    keeper: &Keeper,
) -> Result<()> {
    podman.stage().configure("[network]\nfollow = true\n")?;
    podman.ok(["network", "create", "--subnet=10.90.2.0/24", "second"])?;
    let options = ["--network=podman", "--hostname=web"];
    podman.detached("web", &options, &["sh", "-c", SERVER])?;
    podman.ok(["exec", "web", "sh", "-c", SERVES])?;
    let first = address(podman, "podman")?;
    let routes = || podman.ok(["exec", "web", "ip", "route"]);
    let before = routes()?.text();

    // Twice: what was disconnected comes back, as another interface of the same name.
    for _ in 0..2 {
        podman.ok(["network", "connect", "second", "web"])?;
        await_connected(podman, 2)?;
        let second = address(podman, "second")?;
        let seen = podman.ok(["exec", "web", "ip", "-o", "-4", "address", "show", "eth1"])?;
        let seen = seen.text();
        ensure!(seen.contains(&format!(" {second}/24 ")), "{second}: {seen}");
        for server in [&first, &second] {
            let said = keeper.ask(&format!("{server}:80"))?;
            ensure!(said == "web", "{server}: {said:?}");
        }
        // By the new network, as the bridge's own address.
        podman.ok(["exec", "web", "ping", "-c", "1", "10.90.2.1"])?;

        podman.ok(["network", "disconnect", "second", "web"])?;
        await_connected(podman, 1)?;
        let links = podman.ok(["exec", "web", "ls", "/sys/class/net"])?.text();
        ensure!(links == "eth0\nlo\n", "{links}");
        let after = routes()?.text();
        ensure!(after == before, "{after}, and before {before}");
        let said = keeper.ask(&format!("{first}:80"))?;
        ensure!(said == "web", "{said:?}");
    }

    // A container may go while a change is being followed.
    podman.ok(["network", "connect", "second", "web"])?;
    podman.ok(["rm", "--force", "--time=0", "web"])?;
    podman.ok(["network", "rm", "second"]).map(drop)
}

/// The container's address in a network, which Podman has chosen.
fn address(podman: &Podman, network: &str) -> Result<String> {
    let template = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    podman.fact("web", &template)
}

/// Waits until so many interfaces are connected to the machine, and the guest has been told. Without a
/// machine they are the container's at once.
fn await_connected(podman: &Podman, count: usize) -> Result<()> {
    if podman.stage().runtime() == Runtime::Runc {
        return Ok(());
    }
    let facts = podman.fact("web", "{{.State.Pid}} {{.Id}}")?;
    let (pid, id) = facts.split_once(' ').context("no facts")?;
    let namespace = open_namespace(&PathBuf::from(format!("/proc/{pid}/ns/net")))?;
    let taps = |view: &View| {
        let links = view.links.iter();
        links.filter(|link| link.name.ends_with("_vc")).count() == count
    };
    scan_until(&namespace, PATIENCE, taps)?;
    // Takes the sandbox's lease, which is held until a change was followed to its end.
    podman
        .stage()
        .call(["network", "list", id])
        .finish()?
        .expect(0)?;
    Ok(())
}

//! Which network namespace a container of Podman's has, and what it finds in there at its start.

use anyhow::{Result, ensure};

use super::Podman;
use super::network::{Keeper, SERVER, SERVES};
use crate::stage::Runtime;

with_both!(crate::podman::network::with_network:
    addresses_are_those_that_were_asked_for,
    namespaces_of_others,
);

/// What is wanted of the interfaces in two networks. Podman leaves the order to chance.
const FIRST: &str = "podman:interface_name=eth0,ip=10.88.9.9";
const SECOND: &str =
    "second:interface_name=eth1,ip=10.90.6.77,ip6=fd00:90:6::77,mac=02:00:5e:90:06:77";

/// The container's addresses of both families, without those for a link alone.
const ADDRESSES: &str = "ip -o address show scope global | awk '{print $2, $4}' | sort; \
    cat /sys/class/net/eth1/address; ip -6 route show default; cat /etc/resolv.conf";

fn addresses_are_those_that_were_asked_for(podman: &Podman, keeper: &Keeper) -> Result<()> {
    podman.ok([
        "network",
        "create",
        "--ipv6",
        "--subnet=fd00:90:6::/64",
        "--subnet=10.90.6.0/24",
        "second",
    ])?;
    let options = [
        "--network",
        FIRST,
        "--network",
        SECOND,
        "--hostname=web",
        "--dns=2001:db8::53",
    ];
    podman.detached("web", &options, &["sh", "-c", SERVER])?;
    podman.ok(["exec", "web", "sh", "-c", SERVES])?;
    let seen = podman.ok(["exec", "web", "sh", "-c", ADDRESSES])?.text();
    let wanted = [
        "eth0 10.88.9.9/16",
        "eth1 10.90.6.77/24",
        "eth1 fd00:90:6::77/64",
        "02:00:5e:90:06:77",
        "default via fd00:90:6::1 dev eth1  metric 1024 ",
        "nameserver 2001:db8::53",
    ];
    ensure!(seen.lines().eq(wanted), "{seen}");
    for server in ["10.88.9.9:80", "10.90.6.77:80", "[fd00:90:6::77]:80"] {
        let said = keeper.ask(server)?;
        ensure!(said == "web", "{server}: {said:?}");
    }
    podman.ok(["rm", "--force", "--time=0", "web"])?;
    podman.ok(["network", "rm", "second"]).map(drop)
}

fn namespaces_of_others(podman: &Podman, keeper: &Keeper) -> Result<()> {
    podman.detached(
        "web",
        &["--network=podman", "--hostname=web"],
        &["sh", "-c", SERVER],
    )?;
    podman.ok(["exec", "web", "sh", "-c", SERVES])?;
    let server = podman.fact("web", "{{.NetworkSettings.IPAddress}}:80")?;
    let links = |network: &str| {
        let options = ["--rm", "--network", network];
        podman.run(&options, &["ls", "/sys/class/net"]).finish()
    };

    let none = links("none")?.expect(0)?.text();
    ensure!(none == "lo\n", "{none}");
    let host = links("host")?;
    let shared = links("container:web")?;
    match podman.stage().runtime() {
        Runtime::Runc => {
            let host = host.expect(0)?.text();
            ensure!(host.contains("cni-podman0\n"), "{host}");
            let shared = shared.expect(0)?.text();
            ensure!(shared == "eth0\nlo\n", "{shared}");
        }
        Runtime::Vc => {
            // A machine cannot be in the host's network.
            let refused = host.expect(126)?.stderr;
            ensure!(refused.contains("host's network"), "{refused}");
            // Two machines cannot have one interface; containers of one machine can.
            let refused = shared.expect(126)?.stderr;
            for word in ["machine", "pod"] {
                ensure!(refused.contains(word), "no {word} in {refused}");
            }
            let machines = podman.stage().machines()?;
            ensure!(machines == 1, "{machines} machines");
        }
    }
    // Whose network it is has it still.
    let said = keeper.ask(&server)?;
    ensure!(said == "web", "{said:?}");
    podman.ok(["rm", "--force", "--time=0", "web"]).map(drop)
}

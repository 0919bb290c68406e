//! Podman's bridge, in a network and a mount namespace of the case's own: Podman leaves its bridge, its
//! firewall's chains and its addresses behind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use virtcontainers_tests::links;
use virtcontainers_tests::program::{Program, Started};

use super::Podman;
use crate::stage::Runtime;

with_both!(crate::podman::network::with_network:
    a_published_port_is_reached_and_names_are_resolved,
    a_pod_has_one_address,
);

/// Private mounts; empty folders for the namespaces and the addresses that Podman gives away; a bridge's
/// addresses are used at once.
const SET_UP: &str = "set -e
mount --make-rprivate /
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
mount -t tmpfs tmpfs /var/lib
ip link set lo up
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
echo ready
read end || true";

/// Says its hostname to whoever asks at port 80.
pub(super) const SERVER: &str = "hostname > /dev/shm/index.html; exec httpd -f -p 80 -h /dev/shm";

/// That it can be asked.
pub(super) const SERVES: &str = "until netstat -ltn | grep -q ':80 '; do sleep 0.1; done";

/// Long enough for machines that share two processors with other tests.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The process that keeps the namespaces. It ends when its input does, and they with it.
#[derive(Debug)]
pub(crate) struct Keeper {
    process: Started,
}

impl Keeper {
    fn start() -> Result<Self> {
        let program = Program::new("unshare").arg("--net").arg("--mount");
        let program = program.arg("sh").arg("-c").arg(SET_UP);
        let mut process = program.stdin(Stdio::piped()).start()?;
        let mut line = String::new();
        let stdout = process.take_stdout().context("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        if line != "ready\n" {
            bail!("no namespaces: {}", process.finish()?.stderr);
        }
        Ok(Self { process })
    }

    /// A program, in the namespaces.
    pub(crate) fn inside(&self, program: Program) -> Program {
        let target = format!("--target={}", self.process.pid());
        program.under(["nsenter", &target, "--net", "--mount"])
    }

    /// What a web server says to somebody in the network namespace.
    pub(crate) fn ask(&self, server: &str) -> Result<String> {
        let namespace = PathBuf::from(format!("/proc/{}/ns/net", self.process.pid()));
        let address: SocketAddr = server.parse()?;
        let answer = links::inside(&namespace, || {
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        let answer = answer.with_context(|| format!("cannot ask {server}"))?;
        let body = answer.split_once("\r\n\r\n").context("no body")?.1;
        Ok(body.trim().to_owned())
    }

    /// Fails unless only Podman's own bridge is left in the network, and no namespace.
    fn assert_only_the_bridge(&self) -> Result<()> {
        for (script, wanted) in [
            (
                "ip -brief link show type veth; ip -brief link show type tun",
                "",
            ),
            ("ls /run/netns", ""),
            (
                "ip -brief link show type bridge | cut -d ' ' -f 1",
                "cni-podman0\n",
            ),
        ] {
            let shell = Program::new("sh").arg("-c").arg(script);
            let said = self.inside(shell).finish()?.expect(0)?.text();
            ensure!(said == wanted, "{script}: {said}");
        }
        Ok(())
    }
}

/// Runs a case with a Podman that has a network.
pub(crate) fn with_network(
    runtime: Runtime,
    case: fn(&Podman, &Keeper) -> Result<()>,
) -> Result<()> {
    let mut podman = Podman::new(runtime)?;
    podman.keeper = Some(Keeper::start()?);
    let keeper = podman.keeper.as_ref().context("just started")?;
    case(&podman, keeper).map_err(|error| podman.stage.told(&error))?;
    keeper.assert_only_the_bridge()?;
    podman.assert_clean()
}

fn a_published_port_is_reached_and_names_are_resolved(
    podman: &Podman,
    keeper: &Keeper,
) -> Result<()> {
    let options = [
        "--network=podman",
        "--publish=8080:80",
        "--hostname=web",
        "--dns=192.0.2.53",
        "--dns-search=example.org",
    ];
    podman.detached("web", &options, &["sh", "-c", SERVER])?;
    podman.ok(["exec", "web", "sh", "-c", SERVES])?;
    let address = podman.fact("web", "{{.NetworkSettings.IPAddress}}")?;
    for server in ["127.0.0.1:8080", &format!("{address}:80")] {
        let said = keeper.ask(server)?;
        ensure!(said == "web", "{server}: {said:?}");
    }
    let seen = podman
        .ok(["exec", "web", "cat", "/etc/resolv.conf"])?
        .text();
    let lines: Vec<_> = seen.lines().collect();
    ensure!(
        lines == ["search example.org", "nameserver 192.0.2.53"],
        "{seen}"
    );
    let mac = podman.fact("web", "{{.NetworkSettings.MacAddress}}")?;
    let script = "cat /sys/class/net/eth0/address; ip route show default; \
        grep web /etc/hosts";
    let seen = podman.ok(["exec", "web", "sh", "-c", script])?.text();
    for wanted in [&mac, "default via 10.88.0.1 dev eth0", &address] {
        ensure!(seen.contains(wanted), "no {wanted} in {seen}");
    }
    // Another container, which is another machine, on the same bridge.
    let url = format!("http://{address}/");
    let client = podman.run(
        &["--rm", "--network=podman"],
        &["wget", "-q", "-O", "-", &url],
    );
    let said = client.finish()?.expect(0)?.text();
    ensure!(said == "web\n", "{said:?}");
    podman.ok(["rm", "--force", "--time=0", "web"]).map(drop)
}

fn a_pod_has_one_address(podman: &Podman, keeper: &Keeper) -> Result<()> {
    let cgroup = podman.stage().cgroup();
    let create = [
        "pod",
        "create",
        "--name=pod",
        "--publish=8080:80",
        "--cgroup-parent",
    ];
    podman.ok([create.as_slice(), &[&cgroup]].concat())?;
    podman.detached("web", &["--pod", "pod"], &["sh", "-c", SERVER])?;
    podman.ok(["exec", "web", "sh", "-c", SERVES])?;
    let said = keeper.ask("127.0.0.1:8080")?;
    ensure!(said == "pod", "{said:?}");
    let script = "ip -o -4 address show dev eth0 | wc -l; wget -q -O - http://127.0.0.1/";
    let member = podman.run(&["--rm", "--pod", "pod"], &["sh", "-c", script]);
    let said = member.finish()?.expect(0)?.text();
    ensure!(said == "1\npod\n", "{said:?}");
    podman.ok(["pod", "rm", "--force", "--time=0", "pod"])?;
    podman.ok(["rmi", "--all", "--force"]).map(drop)
}

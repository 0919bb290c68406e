//! A CNI plugin makes the network, called as container engines call it: before the container is made,
//! and again after it is gone.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use virtcontainers_tests::program::Program;
use virtcontainers_tests::{Netns, Place};

use super::{Guest, assert_echo, assert_reaches};

/// Where Debian has the plugins.
const PLUGINS: &str = "/usr/lib/cni";

/// The bridge plugin, with addresses of both families, in a host's namespace.
struct Plugin<'a> {
    host: &'a Netns,
    id: String,
    config: Value,
}

impl<'a> Plugin<'a> {
    fn new(place: &Place, host: &'a Netns) -> Self {
        let id = place.id("cni");
        let config = json!({
            "cniVersion": "0.4.0",
            "name": id,
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "dataDir": place.path("cni"),
                "ranges": [[{ "subnet": "10.7.0.0/24" }], [{ "subnet": "fd00:7::/64" }]],
                "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
            },
        });
        Self { host, id, config }
    }

    /// Does a command for a namespace; what the plugin says.
    fn call(&self, command: &str, namespace: &Netns) -> Result<String> {
        let program = Program::new(Path::new(PLUGINS).join("bridge"))
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &self.id)
            .env("CNI_NETNS", namespace.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", PLUGINS);
        let input = self.config.to_string();
        let end = self.host.inside(|| program.finish_with(input.as_bytes()))?;
        Ok(end.expect(0)?.text())
    }
}

#[test]
fn what_a_cni_plugin_made_is_taken_over() -> Result<()> {
    let place = Place::new()?;
    let (host, sandbox) = (Netns::new(&place, "out")?, Netns::new(&place, "in")?);
    let empty = sandbox.inventory()?;
    let plugin = Plugin::new(&place, &host);
    let result: Value = serde_json::from_str(&plugin.call("ADD", &sandbox)?)?;
    let connected = sandbox.inventory()?;

    let guest = Guest::start(&place, "cni", &sandbox.path())?;
    let given = result["ips"].as_array().context("no addresses")?;
    ensure!(given.len() == 2, "{result}");
    let seen = guest.sh("ip -o address show dev eth0; cat /sys/class/net/eth0/address")?;
    let mac = result["interfaces"].as_array().context("no interfaces")?;
    let mac = mac.iter().find(|one| one["name"] == "eth0");
    let mac = mac.and_then(|one| one["mac"].as_str()).context("no eth0")?;
    ensure!(seen.contains(mac), "no {mac} in {seen}");
    for one in given {
        let (address, gateway) = (one["address"].as_str(), one["gateway"].as_str());
        let address = address.context("no address")?;
        ensure!(seen.contains(address), "no {address} in {seen}");
        let address: IpAddr = address.split('/').next().unwrap_or_default().parse()?;
        assert_echo(&host, &std::net::SocketAddr::from((address, 7)).to_string())?;
        assert_reaches(&guest, &host, gateway.context("no gateway")?)?;
    }

    guest.delete()?;
    sandbox.assert_as(&connected)?;
    plugin.call("DEL", &sandbox)?;
    sandbox.assert_as(&empty)?;
    // Its bridge stays, nothing else.
    let links: Vec<_> = host.links()?.into_iter().collect();
    ensure!(links == ["cni0", "lo"], "{links:?}");
    drop((host, sandbox));
    place.assert_clean()
}

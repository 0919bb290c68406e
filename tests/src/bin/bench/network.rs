//! The network of a sandbox: what it costs to have one, and what it carries.

pub(crate) mod set_up;
pub(crate) mod start;
pub(crate) mod traffic;

use std::path::PathBuf;

use anyhow::Result;
use virtcontainers_tests::bundle::Bundle;
use virtcontainers_tests::program::Program;
use virtcontainers_tests::{Netns, Place};

use crate::setting::Setting;

/// The address of a sandbox, as seen from outside.
const INSIDE: &str = "10.9.0.2";

/// A sandbox's namespace and the one outside, connected by a pair of virtual Ethernet interfaces.
#[derive(Debug)]
struct Wire {
    outside: Netns,
    sandbox: Netns,
}

impl Wire {
    fn new(place: &Place, name: &str) -> Result<Self> {
        let wire = Self {
            outside: Netns::new(place, &format!("{name}-out"))?,
            sandbox: Netns::new(place, &format!("{name}-in"))?,
        };
        wire.outside.join("out0", &wire.sandbox, "eth0", 1500)?;
        wire.outside.run("ip address add 10.9.0.1/24 dev out0")?;
        wire.sandbox.run(
            "ip address add 10.9.0.2/24 dev eth0
             ip route add default via 10.9.0.1",
        )?;
        Ok(wire)
    }
}

/// `vc run` of a bundle with a network of this model, in the guest that was built.
fn run(
    setting: &Setting,
    place: &Place,
    bundle: &Bundle<'_>,
    model: &str,
    options: &[&str],
) -> Result<Program> {
    let config = configuration(setting, place, model)?;
    bundle.write()?;
    let run = place.vc(["run"]).arg("--bundle").arg(bundle.directory());
    let run = options.iter().fold(run, |run, option| run.arg(*option));
    Ok(run.env("VC_CONFIG", config))
}

fn configuration(setting: &Setting, place: &Place, model: &str) -> Result<PathBuf> {
    let path = place.path(&format!("{model}.toml"));
    let text = format!(
        "[hypervisor.qemu]\nkernel = \"{}\"\ninitrd = \"{}\"\n[network]\nmodel = \"{model}\"\n",
        setting.kernel.display(),
        setting.initrd.display()
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

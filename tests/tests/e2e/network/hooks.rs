//! An interface that a hook makes, as container managers do that are told the process alone.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Result, ensure};
use serde_json::json;
use virtcontainers_tests::bundle::Bundle;
use virtcontainers_tests::{Netns, Place};

use super::{ECHO, Guest, READY, assert_echo, assert_reaches};

#[test]
fn what_a_hook_makes_is_taken_over() -> Result<()> {
    let place = Place::new()?;
    let outside = Netns::new(&place, "out")?;
    let before = outside.inventory()?;
    let hook = place.path("hook");
    let script = format!(
        "#!/bin/sh -e
pid=$(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p')
ip -n {out} link add out0 type veth peer name net3 netns $pid
ip -n {out} link set out0 addrgenmode none
ip -n {out} address add 10.9.0.1/24 dev out0
ip -n {out} link set out0 up
nsenter --target $pid --net ip address add 10.9.0.2/24 dev net3
nsenter --target $pid --net ip link set net3 up
nsenter --target $pid --net ip route add default via 10.9.0.1
",
        out = outside.name()
    );
    std::fs::write(&hook, script)?;
    std::fs::set_permissions(&hook, Permissions::from_mode(0o755))?;
    let mut bundle = Bundle::new(&place, ECHO)?;
    let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    bundle.spec["hooks"] = json!({ "createRuntime": [{ "path": hook, "env": [path] }] });
    let guest = Guest::of(&place, "hooked", &bundle)?;
    guest.sh(READY)?;
    let routes = guest.sh("ip route")?;
    ensure!(
        routes.contains("default via 10.9.0.1 dev net3"),
        "{routes:?}"
    );
    assert_echo(&outside, "10.9.0.2:7")?;
    assert_reaches(&guest, &outside, "10.9.0.1")?;
    guest.delete()?;
    // The namespace was ours to remove, and with it goes one end of the pair.
    outside.await_links(&["lo"])?;
    outside.assert_as(&before)?;
    drop(outside);
    place.assert_clean()
}

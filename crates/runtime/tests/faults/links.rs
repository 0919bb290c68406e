//! Links in a sandbox's namespace, made and looked at with `ip`(8).

use std::process::{Command, Output};

use virtcontainers_types::{Interface, MacAddress};

/// The link that a test makes.
pub(crate) const LINK: &str = "eth7";
/// Its hardware address.
pub(crate) const ADDRESS: MacAddress = MacAddress([2, 0, 0x5e, 0x10, 0, 7]);

/// Makes a link with an address and a route in the namespace of this name. Its peer is in the same
/// one, so that both go with it.
pub(crate) fn add(namespace: &str) {
    for line in [
        &format!("link add {LINK} address {ADDRESS} type veth peer name far7"),
        &format!("link set {LINK} up"),
        "link set far7 up",
        &format!("address add 192.0.2.7/24 dev {LINK}"),
        "route add default via 192.0.2.1",
    ] {
        ip(namespace, line);
    }
}

/// What connects a machine: links of ours, and places for filters; none when there is no such
/// namespace.
pub(crate) fn connections(namespace: &str) -> (Vec<String>, Vec<String>) {
    let links = told("ip", namespace, "-o link show");
    let names = links.lines().filter_map(|line| line.split(": ").nth(1));
    let ours = names.filter(|name| name.ends_with("_vc"));
    let disciplines = told("tc", namespace, "qdisc show");
    let places = disciplines.lines().filter(|line| line.contains("ingress"));
    (
        ours.map(str::to_owned).collect(),
        places.map(str::to_owned).collect(),
    )
}

fn told(program: &str, namespace: &str, words: &str) -> String {
    let told = run(program, namespace, words);
    String::from_utf8_lossy(&told.stdout).into_owned()
}

/// The link as callers name it.
pub(crate) fn interface() -> Interface {
    Interface {
        device: String::new(),
        name: LINK.to_owned(),
        addresses: Vec::new(),
        mtu: 0,
        raw_flags: 0,
        hardware_address: ADDRESS,
        pci_path: None,
        link_type: String::new(),
    }
}

fn ip(namespace: &str, line: &str) {
    let done = run("ip", namespace, line);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {line}: {said}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own helper, no program of a sandbox"
)]
fn run(program: &str, namespace: &str, words: &str) -> Output {
    Command::new(program)
        .args(["-n", namespace])
        .args(words.split(' '))
        .output()
        .unwrap()
}

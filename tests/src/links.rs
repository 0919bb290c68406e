//! Network namespaces with names, in which a test makes links, and what there is in them.

mod inventory;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use virtcontainers_network::{View, scan_until};

use crate::place::Place;
use crate::program::Program;

/// Long enough for a busy host.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network namespace that bears the test's name, removed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// A namespace in which only the loopback interface is, which is up.
    pub fn new(place: &Place, name: &str) -> Result<Self> {
        let name = place.id(name);
        place.remember_network()?;
        command(&format!("ip netns add {name}"))?;
        let made = Self { name };
        made.run("ip link set lo up")?;
        Ok(made)
    }

    /// Its name, which `ip` knows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Does something in it, on a thread that is in it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        inside(&self.path(), work)
    }

    /// Runs commands in it, one a line; what they say.
    pub fn run(&self, script: &str) -> Result<String> {
        self.inside(|| script.lines().map(command).collect())
    }

    /// A pair of interfaces, one end here, one in another namespace; both up, without addresses, also
    /// without those that appear by themselves some time later.
    pub fn join(&self, here: &str, other: &Self, there: &str, mtu: u32) -> Result<()> {
        self.run(&format!(
            "ip link add name {here} mtu {mtu} type veth peer name {there} mtu {mtu} netns {}
             ip link set {here} addrgenmode none
             ip link set {here} up",
            other.name
        ))?;
        other.run(&format!(
            "ip link set {there} addrgenmode none
             ip link set {there} up"
        ))?;
        Ok(())
    }

    /// Links, addresses, routes, rules, static neighbours, queueing disciplines and filters, without
    /// what the kernel settles some time after a change.
    pub fn inventory(&self) -> Result<BTreeSet<String>> {
        self.inside(inventory::take)
    }

    /// The names of the links in it.
    pub fn links(&self) -> Result<BTreeSet<String>> {
        self.inside(inventory::names)
    }

    /// Waits until only these links are in it. Of a pair one end goes some time after the namespace that
    /// the other was in.
    pub fn await_links(&self, names: &[&str]) -> Result<()> {
        let namespace = virtcontainers_network::open_namespace(&self.path())?;
        let gone = |view: &View| {
            let mut all = view.links.iter();
            all.all(|link| names.contains(&link.name.as_str()))
        };
        scan_until(&namespace, PATIENCE, gone)?;
        Ok(())
    }

    /// Fails unless it is as it was, and shows the difference.
    pub fn assert_as(&self, before: &BTreeSet<String>) -> Result<()> {
        assert_same(&self.name, &self.inventory()?, before)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = command(&format!("ip netns delete {}", self.name)) {
            eprintln!("cannot remove the namespace {}: {error:#}", self.name);
        }
    }
}

/// Does something in a network namespace, on a thread that is in it.
pub fn inside<T: Send>(namespace: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let namespace = File::open(namespace)?;
    std::thread::scope(|scope| {
        let enter = || {
            virtcontainers_process::enter_network_namespace(&namespace)?;
            work()
        };
        let done = scope.spawn(enter).join();
        done.map_err(|_| anyhow!("a thread panicked"))?
    })
}

/// What there is in the network namespace of the calling thread, compared as one of the test's own.
pub fn inventory_of_host() -> Result<BTreeSet<String>> {
    inventory::take()
}

/// Fails unless two inventories are the same, and shows the difference.
pub fn assert_same(name: &str, now: &BTreeSet<String>, before: &BTreeSet<String>) -> Result<()> {
    let new: Vec<_> = now.difference(before).collect();
    let gone: Vec<_> = before.difference(now).collect();
    ensure!(now == before, "{name}: new {new:#?}, gone {gone:#?}");
    Ok(())
}

/// Runs a command in the namespace of the calling thread.
fn command(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let mut program = Program::new(words.next().context("no command")?);
    for word in words {
        program = program.arg(word);
    }
    let end = program.finish().and_then(|end| end.expect(0));
    Ok(end.with_context(|| line.trim().to_owned())?.text())
}

//! Puts itself in a cgroup, tells where it is, and takes it back by the ledger's entries alone:
//! `cargo run -p virtcontainers-cgroup --example account`, as root.

use std::error::Error;
use std::sync::Mutex;

use virtcontainers_cgroup::{Cgroup, Host, undo};
use virtcontainers_types::{CgroupPath, ContainerId, UndoEntry, UndoSink};

/// A ledger in memory; one that survives us would be a file.
#[derive(Debug, Default)]
struct Ledger(Mutex<Vec<UndoEntry>>);

impl UndoSink for Ledger {
    fn record(&self, entry: UndoEntry) -> std::io::Result<()> {
        println!("before it happens: {}", entry.payload);
        let mut entries = self.0.lock().map_err(|_| std::io::ErrorKind::Other)?;
        entries.push(entry);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let own = std::process::id();
    let host = Host::detect()?;
    println!("this host has {:?}", host.mode());
    let path = CgroupPath::parse(&format!("/vc-example-{own}/inner"), false)?;
    let cgroup = Cgroup::open(&host, &path)?;
    let ledger = Ledger::default();
    let created = cgroup.create(&ContainerId::new("example")?, own, &ledger);
    println!("{}", std::fs::read_to_string("/proc/self/cgroup")?.trim());
    for entry in ledger.0.into_inner()?.iter().rev() {
        undo(entry)?;
    }
    println!("taken back");
    Ok(created?)
}

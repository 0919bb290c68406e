//! Shares a directory as a guest would see it, and takes it back by the ledger's entries alone:
//! `cargo run -p virtcontainers-share --example tree -- DIRECTORY`, as root.

use std::error::Error;
use std::path::Path;
use std::sync::Mutex;

use virtcontainers_share::{Tree, undo};
use virtcontainers_types::{ContainerId, SandboxId, UndoEntry, UndoSink};

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
    let directory = std::env::args().nth(1).ok_or("name a directory to share")?;
    let directory = std::fs::canonicalize(directory)?;
    let root = std::env::temp_dir().join(format!("vc-example-{}", std::process::id()));
    let ledger = Ledger::default();
    let shared = share(&root, &directory, &ledger);
    for entry in ledger.0.into_inner()?.iter().rev() {
        undo(entry)?;
    }
    println!("taken back");
    // Only empty directories: what is not ours stays.
    std::fs::remove_dir(root.join("shares")).ok();
    std::fs::remove_dir(&root).ok();
    shared
}

fn share(root: &Path, directory: &Path, ledger: &Ledger) -> Result<(), Box<dyn Error>> {
    let id = SandboxId::new("example")?;
    let tree = Tree::create(root, &id, ledger)?;
    let in_guest = tree.add_rootfs(&ContainerId::from(id), directory, true, ledger)?;
    println!(
        "{} is {} in the guest",
        directory.display(),
        in_guest.display()
    );
    println!("what is served: {}", tree.served().display());
    Ok(())
}

//! Makes a network namespace, shows where it is, and takes it back by the ledger's entries alone:
//! `cargo run -p virtcontainers-network --example namespace`, as root.

use std::error::Error;
use std::sync::Mutex;

use virtcontainers_network as network;
use virtcontainers_types::{UndoEntry, UndoSink};

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
    let ledger = Ledger::default();
    let name = format!("vc-example-{}", std::process::id());
    let made = network::create_namespace(&name, &ledger);
    if let Ok(namespace) = &made {
        println!("made: {}", namespace.path().display());
    }
    // Whether it was made or not, wholly or in part: its entries say what to take back.
    let entries = ledger.0.into_inner()?;
    for entry in entries.iter().rev() {
        network::undo(entry)?;
        network::undo(entry)?;
        println!("taken back, and once more, which does no harm");
    }
    made?;
    Ok(())
}

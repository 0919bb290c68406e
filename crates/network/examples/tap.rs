//! Connects a network namespace to a tap, without any machine:
//! `cargo run -p virtcontainers-network --example tap -- /run/netns/web [--connect]`, as root.
//!
//! The plan is printed as JSON. With `--connect` it is carried out, the frames that come until the
//! end of the standard input are counted, and all is taken back by the ledger alone.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;

use virtcontainers_network::{self as network, Applied, Config, Namespace, Plan};
use virtcontainers_types::{UndoEntry, UndoSink};

/// A ledger in memory; one that survives us would be a file.
#[derive(Debug, Default)]
struct Ledger(Mutex<Vec<UndoEntry>>);

impl UndoSink for Ledger {
    fn record(&self, entry: UndoEntry) -> std::io::Result<()> {
        let mut entries = self.0.lock().map_err(|_| std::io::ErrorKind::Other)?;
        entries.push(entry);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, connect) = match arguments.as_slice() {
        [path] => (path, false),
        [path, flag] if flag == "--connect" => (path, true),
        _ => return Err("usage: tap NAMESPACE [--connect]".into()),
    };
    let namespace = network::open_namespace(Path::new(path))?;
    let plan = network::plan(&network::scan(&namespace)?, &Config::default())?;
    println!("{}", serde_json::to_string_pretty(&plan)?);
    if !connect {
        return Ok(());
    }
    let ledger = Ledger::default();
    let counted = connect_and_count(&namespace, &plan, &ledger);
    for entry in ledger.0.into_inner()?.iter().rev() {
        network::undo(entry)?;
    }
    counted
}

fn connect_and_count(
    namespace: &Namespace,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<(), Box<dyn Error>> {
    let Applied { for_machine, .. } = network::apply(plan, namespace, ledger)?;
    eprintln!("connected; end with Ctrl-D");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    for nic in for_machine {
        let frames = nic.descriptors.into_iter().map(|tap| count(tap.into()));
        println!("{}: {} frames", nic.name, frames.sum::<usize>());
    }
    Ok(())
}

/// The frames that wait in a tap: as many reads as it has.
fn count(mut tap: File) -> usize {
    let mut frame = vec![0; 1 << 17];
    std::iter::from_fn(|| tap.read(&mut frame).ok()).count()
}

//! Intents: what an operation is about to do to a guest, written down first, so that the next
//! operation knows what an interrupted one may have left half-done.
//!
//! Intents are numbered within a sandbox. The record names the last one that was carried out; one
//! in the ledger with a higher number is *pending*, and whoever has the sandbox for itself next
//! takes it back, or carries it out where that is the only way.

use serde::{Deserialize, Serialize};
use virtcontainers_store::{Ledger, Record};
use virtcontainers_types::{ContainerId, UndoEntry};

use crate::error::{Context, Error};
use crate::network::AttachedDevice;
use crate::undo::{Effect, own_effect};

/// More settled intents than these are not kept in a ledger: each operation reads them all, and to
/// strike them out costs as much as some of these reads.
const MOST_SETTLED: usize = 8;

/// What is about to be done to a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", content = "to")]
pub(crate) enum Intent {
    /// The sandbox is stopped; carried on with.
    Stop,
    /// The machine's CPUs are halted; taken back.
    Pause,
    /// The machine's CPUs go on; taken back.
    Resume,
    /// A container is created; taken back.
    CreateContainer(ContainerId),
    /// A container is started. Whether it was cannot be asked: it is ended.
    StartContainer(ContainerId),
    /// A container is frozen; taken back.
    PauseContainer(ContainerId),
    /// A container is thawed; taken back.
    ResumeContainer(ContainerId),
    /// A container gets other limits; it gets those of the record again.
    UpdateContainer(ContainerId),
    /// An interface is connected to the machine; taken back.
    AddInterface(Box<AttachedDevice>),
    /// An interface is taken from the machine; carried on with.
    RemoveInterface(Box<AttachedDevice>),
}

/// An intent with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    #[serde(flatten)]
    pub(crate) intent: Intent,
}

/// Writes intents down, before the first of them is acted on. Gives the number that the record is
/// to name when all are carried out. The caller holds the exclusive lease.
pub(crate) fn enter(
    ledger: &Ledger,
    record: &Record,
    intents: impl IntoIterator<Item = Intent>,
) -> Result<u64, Error> {
    let number = record.settled + 1;
    for intent in intents {
        Effect::Intent(Numbered { number, intent }).enter(ledger)?;
    }
    Ok(number)
}

/// The pending intents of a sandbox in the order in which they were entered, and what is to be
/// struck out of its ledger because it has grown long.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Pending {
    pub(crate) intents: Vec<Numbered>,
    pub(crate) outdated: Vec<UndoEntry>,
}

/// Reads what is pending.
pub(crate) fn pending(ledger: &Ledger, settled: u64) -> Result<Pending, Error> {
    let entries = ledger
        .entries()
        .during(|| "cannot read the ledger of the sandbox".to_owned())?
        .entries;
    Ok(sort(entries, settled))
}

fn sort(entries: Vec<UndoEntry>, settled: u64) -> Pending {
    let mut found = Pending::default();
    for entry in entries {
        match own_effect(&entry) {
            Some(Effect::Intent(intent)) if intent.number > settled => found.intents.push(intent),
            Some(Effect::Intent(_)) => found.outdated.push(entry),
            Some(_) | None => {}
        }
    }
    if found.outdated.len() <= MOST_SETTLED {
        found.outdated.clear();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, intent: Intent) -> UndoEntry {
        Effect::Intent(Numbered { number, intent }).entry().unwrap()
    }

    #[test]
    fn what_was_settled_is_not_pending() {
        let container = ContainerId::new("c").unwrap();
        let entries = vec![
            entry(1, Intent::Pause),
            entry(2, Intent::Resume),
            entry(3, Intent::CreateContainer(container.clone())),
        ];
        let found = sort(entries.clone(), 2);
        let expected = Numbered {
            number: 3,
            intent: Intent::CreateContainer(container),
        };
        assert_eq!(found.intents, [expected]);
        assert_eq!(found.outdated, []);
        assert_eq!(sort(entries, 3), Pending::default());
    }

    #[test]
    fn a_long_history_is_outdated() {
        let entries = (1..=100)
            .map(|number| entry(number, Intent::Pause))
            .collect();
        let found = sort(entries, 99);
        assert_eq!(found.intents.len(), 1);
        assert_eq!(found.outdated.len(), 99);
    }
}

//! The records of a history in the order of their generations, one sandbox after the other.

use std::collections::BTreeMap;

use super::{Event, Line, Seen};

/// All that was written, sandbox after sandbox.
#[derive(Debug, Default)]
pub struct Timeline {
    /// The sandboxes in the order in which they were created.
    pub lives: Vec<Life>,
}

/// One sandbox from its creation to its removal.
#[derive(Debug, Default)]
pub struct Life {
    /// What tells it from the others.
    pub incarnation: String,
    /// Every write, in the order of time.
    pub writes: Vec<Write>,
    /// When it was removed, if it was: not before, not after.
    pub removed: Option<(u64, u64)>,
}

/// A record that was written.
#[derive(Debug, Clone)]
pub struct Write {
    /// Not before this.
    pub from: u64,
    /// Not after this.
    pub to: u64,
    /// Who wrote.
    pub process: u32,
    /// During which call of theirs.
    pub call: Option<u64>,
    /// For which operation.
    pub by: String,
    /// What is stored since then.
    pub seen: Seen,
}

impl Timeline {
    /// Sorts the writes and removals of a history.
    pub fn new(lines: &[Line]) -> Self {
        let mut lives: BTreeMap<String, Life> = BTreeMap::new();
        for line in lines {
            let seen = match &line.event {
                Event::Wrote { seen, .. } | Event::Removed(Some(seen)) => seen,
                _ => continue,
            };
            let incarnation = seen.incarnation().to_owned();
            let life = lives.entry(incarnation.clone()).or_default();
            life.incarnation = incarnation;
            match &line.event {
                Event::Wrote { by, seen } => life.writes.push(Write {
                    from: line.from,
                    to: line.to,
                    process: line.process,
                    call: line.call,
                    by: by.clone(),
                    seen: seen.clone(),
                }),
                _ => life.removed = Some((line.from, line.to)),
            }
        }
        let mut lives: Vec<Life> = lives.into_values().collect();
        for life in &mut lives {
            life.writes.sort_by_key(|write| write.from);
        }
        lives.sort_by_key(|life| life.writes.first().map(|write| write.from));
        Self { lives }
    }

    /// The life with this mark.
    pub fn life(&self, incarnation: &str) -> Option<&Life> {
        let mut lives = self.lives.iter();
        lives.find(|life| life.incarnation == incarnation)
    }

    /// Every record that may have been the stored one at some moment between the two; `None` among
    /// them when there may have been no record.
    pub fn during(&self, from: u64, to: u64) -> Vec<Option<&Seen>> {
        let mut found = Vec::new();
        // The end of the last life, at the latest: from then on there may be nothing.
        let mut gone_since = Some(0);
        for life in &self.lives {
            let Some(first) = life.writes.first() else {
                continue;
            };
            if gone_since.is_some_and(|since| since <= to && first.to >= from) {
                found.push(None);
            }
            for (index, write) in life.writes.iter().enumerate() {
                let until = match life.writes.get(index + 1) {
                    Some(next) => next.to,
                    None => life.removed.map_or(u64::MAX, |(_, to)| to),
                };
                if write.from <= to && until >= from {
                    found.push(Some(&write.seen));
                }
            }
            gone_since = life.removed.map(|(from, _)| from);
        }
        if gone_since.is_some_and(|since| since <= to) {
            found.push(None);
        }
        found
    }
}

impl Life {
    /// Between which moments a generation was the stored one: from its write's begin to the end of
    /// what replaced it.
    pub fn span(&self, generation: u64) -> Option<(&Write, u64)> {
        let index = self
            .writes
            .iter()
            .position(|write| write.seen.generation == generation)?;
        let until = match self.writes.get(index + 1) {
            Some(next) => next.to,
            None => self.removed.map_or(u64::MAX, |(_, to)| to),
        };
        Some((&self.writes[index], until))
    }
}

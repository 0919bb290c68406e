//! Bytes to records and back: the only code that knows about format versions.

mod checksum;
mod v1;
mod v2;

use std::path::Path;

use serde::Deserialize;
use virtcontainers_types::SandboxId;

use crate::error::Problem;
use crate::{BootId, FORMAT, Record, Summary};
pub(crate) use v2::Damage;
use v2::Head;

/// The record as it is stored.
pub(crate) fn encode(record: &Record) -> Result<Vec<u8>, Problem> {
    v2::encode(record).map_err(|source| Problem::Encode { source })
}

/// Where bytes come from and whose they should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) id: &'a SandboxId,
    /// The boot that is running now.
    pub(crate) boot: &'a BootId,
    /// For errors only.
    pub(crate) path: &'a Path,
}

/// Reads a record of any known version.
pub(crate) fn decode(bytes: &[u8], origin: Origin<'_>) -> Result<Record, Problem> {
    let (line, rest) = first_line(bytes);
    let mut record = match origin.head(line, rest.len() as u64)? {
        Some(head) => head
            .into_record(rest)
            .map_err(|source| origin.damaged(source))?,
        None => origin.old(bytes)?,
    };
    record.earlier_boot = record.boot.as_ref() != Some(origin.boot);
    Ok(record)
}

/// Reads the summary of a record of any known version.
pub(crate) fn decode_summary(bytes: &[u8], origin: Origin<'_>) -> Result<Summary, Problem> {
    match decode_start(bytes, bytes.len() as u64, origin)? {
        Some(summary) => Ok(summary),
        None => Ok(origin.dated(origin.old(bytes)?.into())),
    }
}

/// Reads the summary from the beginning of a record's bytes, of which there are `length`. `None`
/// when the beginning does not suffice.
pub(crate) fn decode_start(
    start: &[u8],
    length: u64,
    origin: Origin<'_>,
) -> Result<Option<Summary>, Problem> {
    let (line, rest) = first_line(start);
    let unread = length.saturating_sub(start.len() as u64);
    if !line.ends_with(b"\n") {
        return Ok(None);
    }
    let head = origin.head(line, unread + rest.len() as u64)?;
    Ok(head.map(|head| origin.dated(head.into_summary())))
}

/// The first line with its line feed, and what follows it.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    bytes.split_at(end.map_or(bytes.len(), |index| index + 1))
}

#[derive(Deserialize)]
struct Probe {
    format: u64,
}

/// The format of the JSON value at the start of `bytes`, whatever follows.
fn probe(bytes: &[u8]) -> Option<u64> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Probe>();
    values.next()?.ok().map(|probe| probe.format)
}

impl Origin<'_> {
    fn dated(&self, mut summary: Summary) -> Summary {
        summary.earlier_boot = summary.boot.as_ref() != Some(self.boot);
        summary
    }

    /// Reads the first line, after which `rest` bytes follow. `None` when it is not of this format,
    /// but may be of an older one. The version is asked for only when today's does not fit.
    fn head(&self, line: &[u8], rest: u64) -> Result<Option<Head>, Problem> {
        let head: Head = match serde_json::from_slice(line) {
            Ok(head) => head,
            Err(source) => match probe(line) {
                Some(found) if found > u64::from(FORMAT) => return Err(self.future(found)),
                Some(found) if found == u64::from(FORMAT) => return Err(self.corrupt(source)),
                Some(_) | None => return Ok(None),
            },
        };
        if head.format > FORMAT {
            return Err(self.future(u64::from(head.format)));
        }
        if head.format < FORMAT {
            return Ok(None);
        }
        self.check_id(head.id())?;
        head.check_length(line.len() as u64, rest)
            .map_err(|source| self.damaged(source))?;
        Ok(Some(head))
    }

    /// Reads all bytes of a record of an older format.
    fn old(&self, bytes: &[u8]) -> Result<Record, Problem> {
        let record: v1::RecordV1 = match serde_json::from_slice(bytes) {
            Ok(record) => record,
            Err(source) => match probe(bytes) {
                Some(found) if found > u64::from(FORMAT) => return Err(self.future(found)),
                Some(_) | None => return Err(self.corrupt(source)),
            },
        };
        if record.format != 1 {
            return Err(self.damaged(Damage::Parts));
        }
        for id in record.ids() {
            self.check_id(id)?;
        }
        record
            .into_record()
            .map_err(|source| Problem::Encode { source })
    }

    fn check_id(&self, found: &SandboxId) -> Result<(), Problem> {
        if found == self.id {
            return Ok(());
        }
        Err(Problem::Foreign {
            path: self.path.to_owned(),
            found: found.clone(),
        })
    }

    fn corrupt(&self, source: serde_json::Error) -> Problem {
        Problem::Corrupt {
            path: self.path.to_owned(),
            source,
        }
    }

    fn damaged(&self, source: Damage) -> Problem {
        Problem::Damaged {
            path: self.path.to_owned(),
            source,
        }
    }

    fn future(&self, found: u64) -> Problem {
        Problem::Future {
            path: self.path.to_owned(),
            found,
            known: FORMAT,
        }
    }
}

//! Bytes to records and back: the only code that knows about format versions.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use virtcontainers_types::SandboxId;

use crate::error::Problem;
use crate::{BootId, FORMAT, Record, Summary};

/// The record as it is stored: one line of JSON.
pub(crate) fn encode(record: &Record) -> Result<Vec<u8>, Problem> {
    let mut bytes = serde_json::to_vec(record).map_err(|source| Problem::Encode { source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a record of any known version. `path` is for the error only.
pub(crate) fn decode(
    bytes: &[u8],
    id: &SandboxId,
    boot: &BootId,
    path: &Path,
) -> Result<Record, Problem> {
    let mut record: Record = parse(bytes, path)?;
    check_id(record.id(), id, path)?;
    check_id(&record.config.id, id, path)?;
    record.earlier_boot = record.boot.as_ref() != Some(boot);
    Ok(record)
}

/// Reads the summary of a record of any known version.
pub(crate) fn decode_summary(
    bytes: &[u8],
    id: &SandboxId,
    boot: &BootId,
    path: &Path,
) -> Result<Summary, Problem> {
    let mut summary: Summary = parse(bytes, path)?;
    check_id(&summary.id, id, path)?;
    summary.earlier_boot = summary.boot.as_ref() != Some(boot);
    Ok(summary)
}

fn check_id(found: &SandboxId, expected: &SandboxId, path: &Path) -> Result<(), Problem> {
    if found == expected {
        return Ok(());
    }
    Err(Problem::Foreign {
        path: path.to_owned(),
        found: found.clone(),
    })
}

#[derive(Deserialize)]
struct Probe {
    format: u64,
}

trait Versioned {
    fn format(&self) -> u32;
}

impl Versioned for Record {
    fn format(&self) -> u32 {
        self.format
    }
}

impl Versioned for Summary {
    fn format(&self) -> u32 {
        self.format
    }
}

/// Parses the newest format first, which is nearly always right, and asks for the version only
/// when that fails.
fn parse<T: DeserializeOwned + Versioned>(bytes: &[u8], path: &Path) -> Result<T, Problem> {
    let corrupt = |source| Problem::Corrupt {
        path: path.to_owned(),
        source,
    };
    let future = |found| Problem::Future {
        path: path.to_owned(),
        found,
        known: FORMAT,
    };
    match serde_json::from_slice::<T>(bytes) {
        Ok(value) if value.format() == FORMAT => Ok(value),
        Ok(value) => Err(future(u64::from(value.format()))),
        Err(source) => match serde_json::from_slice::<Probe>(bytes) {
            Ok(probe) if probe.format > u64::from(FORMAT) => Err(future(probe.format)),
            Ok(_) | Err(_) => Err(corrupt(source)),
        },
    }
}

//! Reading the configuration file and its drop-ins into one table.

use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use virtcontainers_runtime::ErrorKind;

use super::{DEFAULT_PATH, schema};
use crate::Error;

/// The merged table of the file at `path` (or the default one) and its drop-ins.
pub(super) fn read(path: Option<&Path>) -> Result<Table, Error> {
    let file = path.unwrap_or(Path::new(DEFAULT_PATH));
    let mut table = match std::fs::read_to_string(file) {
        Ok(text) => parse(&text, file)?,
        Err(error) if error.kind() == IoKind::NotFound && path.is_none() => Table::new(),
        Err(error) => return Err(unreadable(file, error)),
    };
    for drop_in in drop_ins(file)? {
        let text =
            std::fs::read_to_string(&drop_in).map_err(|error| unreadable(&drop_in, error))?;
        merge(&mut table, parse(&text, &drop_in)?);
    }
    Ok(table)
}

/// The files that [`read`] would read, in their order.
pub(super) fn files(path: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
    let file = path.unwrap_or(Path::new(DEFAULT_PATH));
    let main = file.exists().then(|| file.to_owned());
    Ok(main.into_iter().chain(drop_ins(file)?).collect())
}

fn parse(text: &str, file: &Path) -> Result<Table, Error> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        Error::new(
            ErrorKind::Invalid,
            format!("cannot understand {}", file.display()),
        )
        .because(error)
    })?;
    schema::check(&table, &file.display().to_string())?;
    Ok(table)
}

/// The `.toml` files in `config.d` beside `file`, by name; none when there is no such folder.
fn drop_ins(file: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = file.with_file_name("config.d");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), IoKind::NotFound | IoKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unreadable(&folder, error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&folder, error))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Later values win; tables are merged key by key.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        IoKind::NotFound => ErrorKind::NotFound,
        IoKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Internal,
    };
    Error::new(
        kind,
        format!("cannot read the configuration {}", path.display()),
    )
    .because(error)
}

//! JSON that a caller hands in: a file, or standard input as `-`.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde::de::DeserializeOwned;

/// More than this is not read.
const LONGEST: u64 = 16 << 20;

/// Reads `what` from a file; a mistake in it is told with its line, column and field.
pub(crate) fn json<T: DeserializeOwned>(what: &str, path: &Path) -> anyhow::Result<T> {
    let text = read(path).with_context(|| format!("cannot read the {what} {}", path.display()))?;
    parse(&text).with_context(|| format!("cannot understand the {what} {}", path.display()))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match path.as_os_str() == "-" {
        true => std::io::stdin().take(LONGEST).read_to_end(&mut text)?,
        false => std::fs::File::open(path)?
            .take(LONGEST)
            .read_to_end(&mut text)?,
    };
    Ok(text)
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> anyhow::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        // The message has line and column.
        match field.as_str() {
            "." => anyhow!("{}", error.inner()),
            field => anyhow!("field {field}: {}", error.inner()),
        }
    })?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use virtcontainers::types::Resources;

    use super::*;

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, parts) in [
            (
                "{\n\"memory\": {\"limit\": \"much\"}}",
                ["memory.limit", "line 2"],
            ),
            ("{\"cpu\": ", ["line 1", "EOF"]),
            ("{} {}", ["trailing", "line 1"]),
        ] {
            let error = format!("{:#}", parse::<Resources>(text.as_bytes()).unwrap_err());
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
        }
    }
}

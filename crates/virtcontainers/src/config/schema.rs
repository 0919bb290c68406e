//! The keys that exist, and the nearest one to a key that does not.

use toml::{Table, Value};
use virtcontainers_runtime::ErrorKind;

use super::Config;
use crate::Error;

/// Refuses a key that the configuration does not have. `file` is named in the refusal.
pub(super) fn check(table: &Table, file: &str) -> Result<(), Error> {
    let known = known_keys();
    for key in keys_of(table) {
        if !known.contains(&key) && !known.iter().any(|k| k.starts_with(&format!("{key}."))) {
            return Err(unknown(&key, &known, file));
        }
    }
    Ok(())
}

fn unknown(key: &str, known: &[String], file: &str) -> Error {
    let nearest = known
        .iter()
        .min_by_key(|candidate| distance(key, candidate));
    let advice = nearest
        .map(|nearest| format!("; did you mean {nearest:?}?"))
        .unwrap_or_default();
    Error::new(
        ErrorKind::Invalid,
        format!("{file} has an unknown key {key:?}{advice}"),
    )
}

/// Keys that the default configuration does not write, because they have no value.
const OPTIONAL: [&str; 3] = [
    "agent.kata.start",
    "hypervisor.qemu.path",
    "hypervisor.qemu.vsock_helper",
];

/// Every key as a dotted path.
fn known_keys() -> Vec<String> {
    let mut keys = match Table::try_from(Config::default()) {
        Ok(table) => keys_of(&table),
        Err(_) => Vec::new(),
    };
    keys.extend(OPTIONAL.map(str::to_owned));
    keys
}

fn keys_of(table: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                keys.extend(
                    keys_of(inner)
                        .into_iter()
                        .map(|inner| format!("{key}.{inner}")),
                );
            }
            _ => keys.push(key.clone()),
        }
    }
    keys
}

/// How many letters must change to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}

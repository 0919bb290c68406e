//! The keys that exist, and the nearest one to a key that does not.

use toml::{Table, Value};
use virtcontainers_runtime::ErrorKind;

use super::Config;
use crate::Error;

/// A key as the names that lead to it. They are not one text with dots: names of interfaces may have
/// dots themselves.
type Key = Vec<String>;

/// Stands for any name, such as an interface's.
const ANY: &str = "*";

/// Refuses a key that the configuration does not have. `file` is named in the refusal.
pub(super) fn check(table: &Table, file: &str) -> Result<(), Error> {
    let known = known_keys();
    for key in keys_of(table) {
        if !known.iter().any(|known| leads_to(&key, known)) {
            return Err(unknown(&key, &known, file));
        }
    }
    Ok(())
}

/// Whether `key` is `known`, or a table on the way to it.
fn leads_to(key: &Key, known: &Key) -> bool {
    let same = |(name, known): (&String, &String)| known == ANY || name == known;
    key.len() <= known.len() && key.iter().zip(known).all(same)
}

fn unknown(key: &Key, known: &[Key], file: &str) -> Error {
    let key = key.join(".");
    let nearest = known
        .iter()
        .map(|known| known.join("."))
        .min_by_key(|candidate| distance(&key, candidate));
    let advice = nearest
        .map(|nearest| format!("; did you mean {nearest:?}?"))
        .unwrap_or_default();
    Error::new(
        ErrorKind::Invalid,
        format!("{file} has an unknown key {key:?}{advice}"),
    )
}

/// Keys that the default configuration does not write, because they have no value, or any name.
const OPTIONAL: [&[&str]; 6] = [
    &["agent", "kata", "start"],
    &["hypervisor", "qemu", "path"],
    &["hypervisor", "qemu", "vsock_helper"],
    &["network", "rates", ANY, "inbound"],
    &["network", "rates", ANY, "outbound"],
    &["network", "vhost_user", ANY],
];

/// Every key.
fn known_keys() -> Vec<Key> {
    let mut keys = match Table::try_from(Config::default()) {
        Ok(table) => keys_of(&table),
        Err(_) => Vec::new(),
    };
    let optional = OPTIONAL.iter();
    keys.extend(optional.map(|key| key.iter().map(ToString::to_string).collect()));
    keys
}

fn keys_of(table: &Table) -> Vec<Key> {
    let mut keys = Vec::new();
    for (name, value) in table {
        let below = match value {
            Value::Table(inner) if !inner.is_empty() => keys_of(inner),
            _ => vec![Vec::new()],
        };
        keys.extend(below.into_iter().map(|mut key| {
            key.insert(0, name.clone());
            key
        }));
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

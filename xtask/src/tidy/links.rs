//! Links of documents: a relative one leads to a file or folder that is there, names no line
//! number, and when its text is code, the name in it occurs in the file.

use super::Finding;
use super::files::{File, Files};

/// One link.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    line: usize,
    text: String,
    target: String,
}

/// Which links of `document` are dead.
pub(super) fn check(document: &File, files: &Files) -> Vec<Finding> {
    let folder = document
        .path
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for link in links(&document.text)
        .iter()
        .filter(|link| is_relative(&link.target))
    {
        if let Some(fault) = fault(link, folder, files) {
            findings.push(Finding::new(&document.path, link.line, fault));
        }
    }
    findings
}

fn fault(link: &Link, folder: &str, files: &Files) -> Option<String> {
    let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
    if anchor
        .strip_prefix('L')
        .is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()))
    {
        return Some(format!("{}: lines move, so link to the file", link.target));
    }
    let Some(path) = resolve(folder, path) else {
        return Some(format!("{} leads out of the workspace", link.target));
    };
    if !path.is_empty() && !files.has(&path) {
        return Some(format!("{} leads nowhere", link.target));
    }
    let name = code_name(&link.text)?;
    let text = files.text(&path).filter(|_| path.ends_with(".rs"))?;
    (!has_word(text, name)).then(|| format!("there is no `{name}` in {path} any more"))
}

fn is_relative(target: &str) -> bool {
    let has_scheme = target.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    !has_scheme && !target.starts_with('#') && !target.is_empty()
}

/// A path relative to `folder`, relative to the root; none when it leads out.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The last name of a link's text that is nothing but code: `Machine::start` gives `start`.
fn code_name(text: &str) -> Option<&str> {
    let code = text
        .strip_prefix('`')?
        .strip_suffix('`')?
        .trim_end_matches("()");
    let name = code.rsplit("::").next()?;
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.is_empty();
    is_name.then_some(name)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The links of a text, outside of blocks and spans of code.
fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut in_block = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            links.extend(inline(line).map(|(text, target)| link(number, text, target)));
            links.extend(definition(line).map(|(text, target)| link(number, text, target)));
        }
    }
    links
}

fn link(number: usize, text: &str, target: &str) -> Link {
    // A title may follow the address.
    let target = target.split_whitespace().next().unwrap_or_default();
    let target = target.trim_start_matches('<').trim_end_matches('>');
    Link {
        line: number + 1,
        text: text.to_owned(),
        target: target.to_owned(),
    }
}

/// `[text](target)`, also several in a line.
fn inline(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.match_indices("](").filter_map(move |(at, _)| {
        let text = line[..at].rfind('[').map(|start| &line[start + 1..at])?;
        let quotes_before = line[..at].matches('`').count();
        let target = line[at + 2..].split(')').next()?;
        quotes_before.is_multiple_of(2).then_some((text, target))
    })
}

/// `[name]: target` at the start of a line.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some((name, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let mut files = Files::default();
        files.add("docs/guide.md", text);
        files.add("README.md", "");
        files.add("crates/a/src/lib.rs", "pub fn create_sandbox() {}");
        let document = File {
            path: "docs/guide.md".into(),
            text: text.into(),
        };
        check(&document, &files)
            .into_iter()
            .map(|found| found.text)
            .collect()
    }

    #[track_caller]
    fn dead(text: &str, word: &str) {
        let faults = faults(text);
        assert!(
            faults.len() == 1 && faults[0].contains(word),
            "{text}: {faults:?}"
        );
    }

    #[test]
    fn live_links_and_addresses_elsewhere_are_fine() {
        let none: [String; 0] = [];
        for text in [
            "[a](../README.md) and [b](https://example.org/x) and [c](#part)",
            "[a](../README.md#usage \"title\")",
            "[`A::create_sandbox()`](../crates/a/src/lib.rs)",
            "[a]: ../README.md",
            "```\n[a](gone.md)\n```",
            "`[a](gone.md)`",
        ] {
            assert_eq!(faults(text), none, "{text}");
        }
    }

    #[test]
    fn dead_links_are_found() {
        dead("[a](gone.md)", "leads nowhere");
        dead("x\n[a]: gone.md", "leads nowhere");
        dead("[a](../README.md) [b](../gone/)", "leads nowhere");
        dead("[a](../../x.md)", "leads out");
        dead("[a](../crates/a/src/lib.rs#L10)", "lines move");
    }

    #[test]
    fn a_link_to_a_function_notices_that_it_was_renamed() {
        dead("[`sandbox`](../crates/a/src/lib.rs)", "no `sandbox`");
    }
}

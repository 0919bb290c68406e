//! Every promise of a conformance suite has a broken implementation that the suite is tried against,
//! and the other way round: a suite that nothing fails promises nothing.

use std::collections::BTreeMap;

use super::Finding;
use super::files::{File, Files};

/// Where the suites are; one folder each.
const SUITES: &str = "crates/testkit/src/conformance/";
/// Where their broken implementations are; one file, or folder, each.
const BROKEN: &str = "crates/testkit/src/conformance/broken/";

/// Where a name stands.
type Names<'a> = BTreeMap<(&'a str, &'a str), (&'a str, usize)>;

/// What is promised without being broken, broken without being promised, or promised twice.
pub(super) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut promised, mut broken) = (Names::new(), Names::new());
    for file in files.rust() {
        if let Some(suite) = file.path.strip_prefix(BROKEN).and_then(first_name) {
            for (line, name) in names(file, broken_in) {
                broken.insert((suite, name), (&file.path, line));
            }
        } else if let Some(suite) = file.path.strip_prefix(SUITES).and_then(folder) {
            for (line, name) in names(file, promise_in) {
                let before = promised.insert((suite, name), (&file.path, line));
                if before.is_some() {
                    let text = format!("the {suite} suite has a promise {name} already");
                    findings.push(Finding::new(&file.path, line, text));
                }
            }
        }
    }
    for ((suite, name), (path, line)) in &promised {
        if !broken.contains_key(&(suite, name)) {
            let text =
                format!("nothing breaks the promise {name}: add what does to {BROKEN}{suite}.rs");
            findings.push(Finding::new(path, *line, text));
        }
    }
    for ((suite, name), (path, line)) in &broken {
        if !promised.contains_key(&(suite, name)) {
            let text = format!("the {suite} suite has no promise {name} that could be broken");
            findings.push(Finding::new(path, *line, text));
        }
    }
    findings
}

/// The suite of a file in `broken/`: the first name of its path, without its ending.
fn first_name(path: &str) -> Option<&str> {
    path.split(['/', '.']).next()
}

/// The suite of a file in a suite's folder.
fn folder(path: &str) -> Option<&str> {
    path.split_once('/').map(|(folder, _)| folder)
}

fn names(file: &File, name_in: fn(&str) -> Option<&str>) -> impl Iterator<Item = (usize, &str)> {
    let lines = file.text.lines().enumerate();
    lines.filter_map(move |(number, line)| Some((number + 1, name_in(line.trim())?)))
}

/// `name: "a-promise",`
fn promise_in(line: &str) -> Option<&str> {
    line.strip_prefix("name: \"")?.strip_suffix("\",")
}

/// `broken("a-promise"),` or the same with another word for what it is like otherwise.
fn broken_in(line: &str) -> Option<&str> {
    let (word, rest) = line.split_once("(\"")?;
    let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    rest.strip_suffix("\"),").filter(|_| is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMISES: &str = "    Promise {\n        name: \"it-holds\",\n    },\n";
    const OTHERS: &str = "    Promise {\n        name: \"it-ends\",\n    },\n";

    fn findings(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        let mut all = Files::default();
        for (path, text) in files {
            all.add(path, text);
        }
        let found = check(&all).into_iter();
        found.map(|one| (one.path, one.line)).collect()
    }

    fn suite(file: &str) -> String {
        format!("{SUITES}machine/{file}.rs")
    }

    #[test]
    fn a_promise_that_nothing_breaks_is_found() {
        let (one, two) = (suite("one"), suite("two"));
        let broken = format!("{BROKEN}machine.rs");
        let list = "    able(\"it-holds\"),\n";
        let files = [(&*one, PROMISES), (&*two, OTHERS), (&*broken, list)];
        assert_eq!(findings(&files), [(two.clone(), 2)]);
        let list = "    able(\"it-holds\"),\n    unable(\"it-ends\"),\n";
        let files = [(&*one, PROMISES), (&*two, OTHERS), (&*broken, list)];
        assert_eq!(findings(&files), []);
    }

    #[test]
    fn what_breaks_another_suites_promise_does_not_count() {
        let one = suite("one");
        let broken = format!("{BROKEN}store.rs");
        let files = [(&*one, PROMISES), (&*broken, "    broken(\"it-holds\"),\n")];
        assert_eq!(findings(&files), [(one.clone(), 2), (broken.clone(), 1)]);
    }

    #[test]
    fn a_name_is_promised_once() {
        let (one, two) = (suite("one"), suite("two"));
        let broken = format!("{BROKEN}machine.rs");
        let list = "    able(\"it-holds\"),\n";
        let files = [(&*one, PROMISES), (&*two, PROMISES), (&*broken, list)];
        assert_eq!(findings(&files), [(two.clone(), 2)]);
    }

    #[test]
    fn the_suites_of_this_workspace_are_seen() {
        let files = Files::collect(&crate::workspace::root()).expect("the workspace");
        let promises = files.rust().filter(|file| file.path.starts_with(SUITES));
        let promises: usize = promises
            .filter(|file| !file.path.starts_with(BROKEN))
            .map(|file| names(file, promise_in).count())
            .sum();
        assert!(promises > 80, "{promises} promises are seen");
    }
}

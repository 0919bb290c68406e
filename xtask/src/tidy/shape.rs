//! The shape of a Rust file: its header, its length, its name, and words that do not belong in it.

use std::fmt;

use super::Finding;
use super::files::File;
use super::rust::Code;

const LONGEST: usize = 500;

/// Words that never belong in code, each with what to do instead.
const BANNED: &[(&str, &str)] = &[
    (
        "include!(",
        "a file pulled in as text is a module in disguise: make it one",
    ),
    ("todo!(", "finish it or return an error"),
    ("unimplemented!(", "return an error of kind unsupported"),
    (
        "#[ignore",
        "a skipped test stands on the allow-list with the command that proves the lack",
    ),
];

/// What is wrong with the shape of `file`.
pub(super) fn check(file: &File, code: &Code) -> Vec<Finding> {
    let mut findings = Vec::new();
    let first = file
        .text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    if !first.starts_with("//!") && !first.starts_with("#![doc = include_str!(") {
        findings.push(Finding::new(
            &file.path,
            1,
            "a module opens with `//!` and its purpose",
        ));
    }
    let length = file.text.lines().count();
    if length > LONGEST {
        let text =
            format!("{length} lines, and {LONGEST} are the most: find the second idea in it");
        findings.push(Finding::new(&file.path, 0, text));
    }
    if is_grab_bag(&file.path) {
        findings.push(Finding::new(
            &file.path,
            0,
            "name the file after the thing in it",
        ));
    }
    for (word, remedy) in BANNED {
        for line in lines_with(&code.bare, word) {
            findings.push(Finding::new(
                &file.path,
                line,
                format!("`{word}`: {remedy}"),
            ));
        }
    }
    findings
}

/// `util.rs`, `part2.rs` and the like.
fn is_grab_bag(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let parted = stem
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .trim_end_matches('_');
    ["util", "utils", "misc"].contains(&stem) || parted == "part"
}

/// The lines, counted from one, on which `word` begins a word.
pub(super) fn lines_with<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.lines()
        .enumerate()
        .filter(move |(_, line)| begins_a_word(line, word))
        .map(|(n, _)| n + 1)
}

fn begins_a_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// How long files are.
#[derive(Debug)]
pub(super) struct Lengths(Vec<usize>);

impl Lengths {
    /// The lengths of `files`.
    pub(super) fn of<'a>(files: impl Iterator<Item = &'a File>) -> Self {
        let mut lengths: Vec<usize> = files.map(|file| file.text.lines().count()).collect();
        lengths.sort_unstable();
        Self(lengths)
    }

    /// How many files there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The length that the given share of files, in percent, does not exceed.
    fn percentile(&self, percent: usize) -> usize {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(0)
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, ninth, longest] = [50, 90, 100].map(|percent| self.percentile(percent));
        write!(
            f,
            "median {median} lines, 90th percentile {ninth}, longest {longest}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = File {
            path: path.into(),
            text: text.into(),
        };
        check(&file, &Code::of(text))
            .into_iter()
            .map(|found| (found.line, found.text))
            .collect()
    }

    #[track_caller]
    fn refused(path: &str, text: &str, line: usize, word: &str) {
        let found = findings(path, text);
        assert!(
            found.len() == 1 && found[0].0 == line && found[0].1.contains(word),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_with_a_purpose_is_fine() {
        assert_eq!(
            findings("crates/a/src/lib.rs", "//! Says.\n\nfn f() {}\n"),
            []
        );
        assert_eq!(
            findings("a/lib.rs", "#![doc = include_str!(\"../README.md\")]\n"),
            []
        );
    }

    #[test]
    fn a_file_opens_with_its_purpose() {
        refused("a.rs", "use std::fmt;\n//! Late.\n", 1, "opens with");
    }

    #[test]
    fn a_file_ends_before_it_is_too_long() {
        let lines = |count: usize| format!("//! Long.\n{}", "\n".repeat(count - 1));
        assert_eq!(findings("a.rs", &lines(500)), []);
        refused("a.rs", &lines(501), 0, "501 lines");
    }

    #[test]
    fn a_file_is_named_after_what_is_in_it() {
        for path in ["a/util.rs", "utils.rs", "a/part2.rs", "part_3.rs"] {
            refused(path, "//! X.\n", 0, "name the file");
        }
        for path in ["a/partition.rs", "parts.rs", "sha256.rs"] {
            assert_eq!(findings(path, "//! X.\n"), []);
        }
    }

    #[test]
    fn banned_words_count_in_code_only() {
        refused("a.rs", "//! X.\nfn f() { todo!() }\n", 2, "finish it");
        refused(
            "a.rs",
            "//! X.\ninclude!(\"b.rs\");\n",
            2,
            "module in disguise",
        );
        refused(
            "a.rs",
            "//! X.\n#[ignore = \"slow\"]\nfn f() {}\n",
            2,
            "allow-list",
        );
        let fine = "//! X.\n// todo!() is banned\nconst A: &str = \"todo!()\";\nmy_include!(b);\n";
        assert_eq!(findings("a.rs", fine), []);
    }

    #[test]
    fn percentiles_are_real_lengths() {
        let lengths = Lengths((1..=10).map(|n| n * 10).collect());
        assert_eq!((lengths.percentile(50), lengths.percentile(90)), (50, 90));
        assert_eq!(Lengths(Vec::new()).percentile(50), 0);
    }
}

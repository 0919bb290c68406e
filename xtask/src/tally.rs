//! Counts of passed and failed tests, read from the last lines that test runners print.

use std::fmt;

/// How many tests passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Adds what a line of a runner's output says, when it is such a line.
    pub(crate) fn read(&mut self, line: &str) {
        let line = without_colors(line);
        let counts = ["test run: ", "tests run: ", "test result: "]
            .iter()
            .find_map(|mark| line.split_once(mark))
            .filter(|_| line.contains("Summary [") || line.starts_with("test result: "));
        let Some((_, counts)) = counts else {
            return;
        };
        for piece in counts.split([',', ';', '.']) {
            let mut words = piece.split_whitespace();
            let (number, word) = (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            );
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match word {
                "passed" => self.passed += number,
                "failed" | "exec" | "timed" => self.failed += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

fn without_colors(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let mut tally = Tally::default();
        tally.read(line);
        assert_eq!(tally.to_string(), expected, "{line}");
    }

    #[test]
    fn the_summaries_of_both_runners_are_understood() {
        check(
            "     Summary [   0.005s] 1 test run: 1 passed, 0 skipped",
            "1 passed, 0 failed",
        );
        check(
            "     Summary [   3.005s] 9/20 tests run: 5 passed (1 slow, 2 leaky), 1 failed, \
             1 exec failed, 2 timed out, 3 skipped",
            "5 passed, 4 failed",
        );
        check(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.0s] \u{1b}[1m2\u{1b}[0m tests run: \
             \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped",
            "2 passed, 0 failed",
        );
        check(
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            "2 passed, 1 failed",
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        check(
            "PASS [   0.005s] crate tests run: 3 passed",
            "0 passed, 0 failed",
        );
        check("this test result: 3 passed", "0 passed, 0 failed");
    }

    #[test]
    fn counts_add_up() {
        let mut tally = Tally::default();
        tally.read("test result: ok. 2 passed; 0 failed;");
        tally.read("Summary [ 1s] 3 tests run: 3 passed, 0 skipped");
        assert_eq!(
            tally,
            Tally {
                passed: 5,
                failed: 0
            }
        );
    }
}

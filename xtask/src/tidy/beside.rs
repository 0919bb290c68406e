//! What lies beside the code: each library crate has a page and a changelog, and the gate's script
//! does nothing but call the gate.

use super::Finding;
use super::files::Files;

/// The script that the machinery outside calls.
pub(super) const GATE_SCRIPT: &str = ".ci/run";
const GATE: &str = "cargo xtask test";

/// What is missing beside the code.
pub(super) fn check(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in files.library_crates() {
        for (document, holds) in [
            ("README.md", "what it is for"),
            ("CHANGELOG.md", "Unreleased"),
        ] {
            let path = format!("crates/{name}/{document}");
            if files.text(&path).is_none_or(|text| text.trim().is_empty()) {
                let text = format!("a library crate has this file ({holds})");
                findings.push(Finding::new(&path, 0, text));
            }
        }
    }
    if !files.text(GATE_SCRIPT).is_some_and(calls_the_gate) {
        findings.push(Finding::new(
            GATE_SCRIPT,
            0,
            format!("ends with `exec {GATE}`"),
        ));
    }
    findings
}

fn calls_the_gate(script: &str) -> bool {
    let last = script.lines().rfind(|line| !line.trim().is_empty());
    last.is_some_and(|line| line.trim().trim_start_matches("exec ") == GATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(paths: &[&str], script: &str) -> Vec<String> {
        let mut files = Files::default();
        for path in paths {
            files.add(path, "text");
        }
        files.add(GATE_SCRIPT, script);
        check(&files).into_iter().map(|found| found.path).collect()
    }

    #[test]
    fn a_library_has_a_page_and_a_changelog() {
        let paths = [
            "crates/a/src/lib.rs",
            "crates/a/README.md",
            "crates/b/src/main.rs",
        ];
        assert_eq!(missing(&paths, GATE), ["crates/a/CHANGELOG.md"]);
    }

    #[test]
    fn the_script_calls_the_gate_and_nothing_after_it() {
        let none: [String; 0] = [];
        assert_eq!(
            missing(&[], "#!/bin/bash\nset -e\nexec cargo xtask test\n"),
            none
        );
        assert_eq!(missing(&[], "# cargo xtask test\ntrue\n"), [GATE_SCRIPT]);
    }
}

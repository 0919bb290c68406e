//! Completions and manual pages, as the shells and readers take them that are here.
#![expect(
    clippy::disallowed_methods,
    reason = "the program is started from outside, as users do"
)]

use std::path::Path;
use std::process::{Command, Output};

fn vc(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_vc");
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("vc runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

fn text(arguments: &[&str]) -> String {
    String::from_utf8(vc(arguments).stdout).expect("text")
}

/// Whether a program is here; readers that are not cannot be asked.
fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

#[test]
fn a_shell_reads_the_completions() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), text(&["completions", "bash"])).unwrap();
    let ask = ". \"$1\"; COMP_WORDS=(vc sandbox st); COMP_CWORD=2; _vc vc st sandbox; \
               echo \"${COMPREPLY[@]}\"";
    let answer = Command::new("bash")
        .args(["-euc", ask, "-"])
        .arg(script.path())
        .output()
        .unwrap();
    assert!(answer.status.success(), "{answer:?}");
    let words = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(words.trim(), "status stats stop");
}

#[test]
fn there_are_completions_for_other_shells() {
    assert!(text(&["completions", "zsh"]).starts_with("#compdef vc"));
    assert!(text(&["completions", "fish"]).contains("complete -c vc"));
}

#[test]
fn every_command_has_a_page_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    vc(&["man", pages.to_str().unwrap()]);
    for page in ["vc.1", "vc-run.1", "vc-sandbox.1", "vc-sandbox-stats.1"] {
        check_page(&pages.join(page));
    }
    let mut listed = std::fs::read_dir(&pages).unwrap();
    assert!(listed.all(|entry| entry.unwrap().metadata().unwrap().len() > 0));
    let own = std::fs::read_to_string(pages.join("vc.1")).unwrap();
    assert_eq!(text(&["man"]), own);
}

/// Has the page the form of a manual page, and does a formatter take it?
fn check_page(page: &Path) {
    let source = std::fs::read_to_string(page).expect("a page");
    for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", "Example"] {
        assert!(source.contains(part), "{part} in {}", page.display());
    }
    if !is_here("groff") {
        eprintln!("no groff here: {} was not formatted", page.display());
        return;
    }
    let formatted = Command::new("groff")
        .args(["-man", "-Tascii", "-ww"])
        .arg(page)
        .output()
        .expect("groff runs");
    assert!(formatted.status.success(), "{formatted:?}");
    let complaints = String::from_utf8_lossy(&formatted.stderr).into_owned();
    assert_eq!(complaints, "", "{}", page.display());
}

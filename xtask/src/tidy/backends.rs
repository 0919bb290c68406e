//! Who names a hypervisor: its own crate, and the facade's registry. Everybody else speaks of
//! backends, so that a new one touches one crate and one line.

use super::Finding;
use super::files::File;
use super::rust::Code;

const BACKENDS: &[&str] = &["qemu"];

/// Library crates that may name one beside the backend's own: the facade, which has the registry,
/// and the test kit, which plays one.
const KNOWING: &[&str] = &["virtcontainers", "testkit"];
/// Programs are no library crates: their help may name a backend.
const PROGRAMS: &[&str] = &["cli", "shim", "guest-agent"];

/// Names in which the word stands for something else.
const HARMLESS: &[&str] = &[
    // Where Debian puts virtiofsd, and the package that brings it there.
    "/usr/lib/qemu/",
    "qemu-system-common",
];

/// Where `file` names a backend though it should not know one. Tests may, in sample data.
pub(super) fn check(file: &File, code: &Code) -> Vec<Finding> {
    let Some(krate) = file.krate() else {
        return Vec::new();
    };
    let may = [KNOWING, PROGRAMS, BACKENDS]
        .iter()
        .any(|names| names.contains(&krate));
    if may || !file.path.contains("/src/") || file.path.ends_with("tests.rs") {
        return Vec::new();
    }
    let lines = Code::before_tests(&code.with_strings).lines().enumerate();
    lines
        .filter_map(|(number, line)| Some((number, named(line)?)))
        .map(|(number, name)| {
            let text = format!("names the backend {name}: only its crate and the facade do");
            Finding::new(&file.path, number + 1, text)
        })
        .collect()
}

/// The backend that a line of code names, as a word or as a part of one.
fn named(line: &str) -> Option<&'static str> {
    let line = HARMLESS
        .iter()
        .fold(line.to_owned(), |line, harmless| line.replace(harmless, ""));
    let line = line.to_lowercase();
    BACKENDS.iter().copied().find(|name| line.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let file = File {
            path: path.into(),
            text: text.into(),
        };
        check(&file, &Code::of(text))
            .into_iter()
            .map(|found| found.line)
            .collect()
    }

    const TEXT: &str = "\
// qemu in a comment
const A: &str = \"qemu\";
struct QemuPlan;
const B: &str = \"/usr/lib/qemu/virtiofsd\";
#[cfg(test)]
mod tests { const C: &str = \"qemu\"; }
";

    #[test]
    fn code_of_a_library_names_no_backend() {
        assert_eq!(lines("crates/runtime/src/a.rs", TEXT), [2, 3]);
    }

    #[test]
    fn those_who_must_may() {
        for krate in ["qemu", "virtcontainers", "testkit", "cli"] {
            assert_eq!(
                lines(&format!("crates/{krate}/src/a.rs"), TEXT),
                [0; 0],
                "{krate}"
            );
        }
        assert_eq!(lines("xtask/src/a.rs", TEXT), [0; 0]);
        assert_eq!(lines("crates/runtime/tests/a.rs", TEXT), [0; 0]);
    }
}

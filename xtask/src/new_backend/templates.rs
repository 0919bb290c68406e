//! The files of a new backend's crate.

use super::Name;

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("templates/Cargo.toml.template")),
    ("README.md", include_str!("templates/README.md.template")),
    (
        "CHANGELOG.md",
        include_str!("templates/CHANGELOG.md.template"),
    ),
    ("src/lib.rs", include_str!("templates/lib.rs.template")),
    (
        "src/backend.rs",
        include_str!("templates/backend.rs.template"),
    ),
    (
        "tests/conformance.rs",
        include_str!("templates/conformance.rs.template"),
    ),
];

/// Paths in the crate, and what is in them.
pub(super) fn files(name: &Name) -> impl Iterator<Item = (&'static str, String)> {
    let (krate, kind, module) = (
        name.crate_name().to_owned(),
        name.type_name(),
        name.module_name(),
    );
    FILES.iter().map(move |(path, text)| {
        let text = text
            .replace("@name@", &krate)
            .replace("@Name@", &kind)
            .replace("@module@", &module);
        (*path, text)
    })
}

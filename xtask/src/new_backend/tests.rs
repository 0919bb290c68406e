//! What is scaffolded compiles, and its suite says what is missing.

use std::collections::BTreeMap;

use super::*;
use crate::cargo;
use crate::cmd::Cmd;

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

#[test]
fn names_have_their_forms() {
    let name = name("cloud-hypervisor2");
    assert_eq!(name.crate_name(), "cloud-hypervisor2");
    assert_eq!(name.type_name(), "CloudHypervisor2");
    assert_eq!(name.module_name(), "cloud_hypervisor2");
    for bad in ["", "Fire", "a_b", "-a", "a-", "a--b", "2a", "a b", "../a"] {
        let error = Name::new(bad).expect_err(bad);
        assert!(error.downcast_ref::<Usage>().is_some(), "{bad}");
    }
}

#[test]
fn no_mark_of_a_template_is_left() {
    let files: BTreeMap<_, _> = templates::files(&name("fire-cracker")).collect();
    for (path, text) in &files {
        assert!(!text.contains('@'), "{path}: {text}");
    }
    assert!(files["src/backend.rs"].contains("pub struct FireCrackerBackend"));
    assert!(files["tests/conformance.rs"].contains("use virtcontainers_fire_cracker::"));
    assert!(files["Cargo.toml"].contains("name = \"virtcontainers-fire-cracker\""));
}

#[test]
fn it_is_registered_in_the_files_as_they_are_now() {
    let edits = register::edits(&workspace::root(), &name("example")).expect("edits");
    let text = |end: &str| {
        let found = edits.iter().find(|(path, _)| path.ends_with(end));
        found.map(|(_, text)| text.as_str()).expect(end)
    };
    let dependency = "virtcontainers-example = { path = \"crates/example\", version = \"0.1.0\" }";
    assert!(text("Cargo.toml").contains(dependency));
    let table = text("xtask/src/layers/table.rs");
    assert!(table.contains("row(\"example\", 2, ") && table.contains("[\"qemu\", \"example\"]"));
    assert!(text("xtask/src/tidy/backends.rs").contains("[\"qemu\", \"example\"]"));
}

#[test]
fn nothing_is_overwritten() {
    let error = scaffold(&workspace::root(), &name("qemu")).expect_err("refused");
    assert!(error.to_string().contains("exists already"), "{error}");
}

/// In a workspace of its own that borrows the crates, the lock and the built parts of this one.
#[test]
fn the_scaffold_compiles_and_its_suite_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, real) = (folder.path(), workspace::root());
    let name = name("example");
    scaffold(root, &name).expect("a crate");
    let edits = register::edits(&real, &name).expect("edits");
    let (_, manifest) = edits.into_iter().next().expect("the manifest");
    let manifest = manifest
        .replace(
            "members = [\"crates/*\", \"xtask\", \"tests\"]",
            "members = [\"crates/example\"]",
        )
        .replace(
            "path = \"crates/",
            &format!("path = \"{}/crates/", real.display()),
        )
        .replace(
            &format!("{}/crates/example", real.display()),
            "crates/example",
        );
    fs::write(root.join("Cargo.toml"), manifest).expect("a manifest");
    fs::copy(real.join("Cargo.lock"), root.join("Cargo.lock")).expect("a lock");

    let mut said = String::new();
    let tested = Cmd::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .cwd(root)
        .args(["test", "--offline", "--test", "conformance"])
        .env("CARGO_TARGET_DIR", cargo::target_dir().expect("a folder"))
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_MANIFEST_PATH")
        .run_lines(|line| {
            said.push_str(line);
            said.push('\n');
            false
        });
    assert!(tested.is_err(), "the suite of nothing passes:\n{said}");
    for part in [
        "hypervisor suite, example: ",
        "passed   the-name-is-stable",
        "FAILED   a-check-has-no-effect: the check of a good plan failed: example cannot check a plan yet",
        "FAILED   a-launch-holds-the-cpus: the launch failed: example cannot check a plan yet",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

//! `release-check`: whether each crate that ships stands on its own: its papers, an example, a build
//! without its neighbours, its features one by one, and its package.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use pico_args::Arguments;
use serde::Deserialize;
use serde_json::Value;

use crate::progress::{Steps, note};
use crate::tasks::finish;
use crate::{cargo, workspace};

/// Crates that hold values, records and locks: whoever takes them gets no async runtime.
const WITHOUT_RUNTIME: [&str; 2] = ["virtcontainers-types", "virtcontainers-store"];
/// A foreign crate that they must not bring, directly or not.
const ASYNC_RUNTIME: &str = "tokio";

/// One package as `cargo metadata` describes it.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    description: Option<String>,
    license: Option<String>,
    /// `None`: it may go to any registry; an empty list: to none.
    publish: Option<Vec<String>>,
    targets: Vec<Target>,
    features: serde_json::Map<String, Value>,
    manifest_path: std::path::PathBuf,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Package {
    fn ships(&self) -> bool {
        self.publish
            .as_ref()
            .is_none_or(|registries| !registries.is_empty())
    }

    fn has(&self, kind: &str) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind.iter().any(|k| k == kind))
    }

    /// Its features, one command line each, from none to all.
    fn feature_sets(&self) -> Vec<Vec<String>> {
        let named = self.features.keys().filter(|name| *name != "default");
        let one = named.map(|name| {
            let flags = ["--no-default-features", "--features", name];
            flags.map(str::to_owned).into()
        });
        let mut sets: Vec<Vec<String>> = vec![Vec::new()];
        sets.extend(one);
        if sets.len() > 2 {
            sets.push(vec!["--all-features".to_owned()]);
        }
        sets
    }

    /// What its papers lack.
    fn faults(&self, exists: impl Fn(&str) -> bool) -> Vec<String> {
        let mut faults = Vec::new();
        let mut want = |is_there: bool, what: &str| {
            if !is_there {
                faults.push(format!("{}: {what}", self.name));
            }
        };
        want(self.description.is_some(), "Cargo.toml has no description");
        want(self.license.is_some(), "Cargo.toml has no license");
        if self.has("lib") {
            want(exists("README.md"), "there is no README.md");
            want(exists("CHANGELOG.md"), "there is no CHANGELOG.md");
            want(
                self.has("example"),
                "there is no runnable example in examples/",
            );
        }
        faults
    }
}

/// The task.
pub(crate) fn task(mut args: Arguments) -> Result<ExitCode> {
    let verify = args.contains("--verify");
    finish(args)?;
    let packages = shipped(&cargo::metadata()?)?;
    let mut steps = Steps::default();
    steps.step("papers and examples", || papers(&packages))?;
    steps.step("no async runtime where none belongs", without_runtime)?;
    steps.step("each crate alone, by features", || alone(&packages))?;
    steps.step("tests of optional features", || optional(&packages))?;
    steps.step("packages", || package(&packages, verify))?;
    steps.summary();
    note(format!("release-check: {} packages", packages.len()));
    Ok(ExitCode::SUCCESS)
}

fn shipped(metadata: &Value) -> Result<Vec<Package>> {
    let packages = metadata.get("packages").cloned().unwrap_or_default();
    let packages: Vec<Package> =
        serde_json::from_value(packages).context("cargo metadata has an unexpected form")?;
    Ok(packages.into_iter().filter(Package::ships).collect())
}

fn papers(packages: &[Package]) -> Result<()> {
    let faults: Vec<String> = packages
        .iter()
        .flat_map(|package| {
            let folder = package.manifest_path.with_file_name("");
            package.faults(|file| folder.join(file).exists())
        })
        .collect();
    match faults.is_empty() {
        true => Ok(()),
        false => bail!("not ready for a release:\n  {}", faults.join("\n  ")),
    }
}

fn without_runtime() -> Result<()> {
    for name in WITHOUT_RUNTIME {
        let words = [
            "tree", "-p", name, "-e", "normal", "--prefix", "none", "--format", "{p}",
        ];
        let tree = cargo::host().args(words).output()?;
        let tree = String::from_utf8_lossy(&tree);
        if brings(&tree, ASYNC_RUNTIME) {
            bail!(
                "{name} brings {ASYNC_RUNTIME}: `cargo tree -p {name} -i {ASYNC_RUNTIME}` says how"
            );
        }
    }
    Ok(())
}

/// Whether a tree without indentation has a crate of this name.
fn brings(tree: &str, name: &str) -> bool {
    tree.lines()
        .any(|line| line.split_whitespace().next() == Some(name))
}

/// Alone, because in a build of all a crate may live on features that another one asked for.
fn alone(packages: &[Package]) -> Result<()> {
    for package in packages {
        for features in package.feature_sets() {
            let check = cargo::host().args(["check", "--all-targets", "-p", &package.name]);
            check.args(&features).run().with_context(|| {
                let name = &package.name;
                format!("{name} does not build alone with the flags {features:?}")
            })?;
        }
    }
    Ok(())
}

/// The gate tests what is on by default; here is the rest.
fn optional(packages: &[Package]) -> Result<()> {
    for package in packages
        .iter()
        .filter(|package| package.feature_sets().len() > 1)
    {
        let test = cargo::host().args(["test", "--quiet", "--all-features", "-p", &package.name]);
        test.run()
            .with_context(|| format!("a test of {} fails with all features", package.name))?;
    }
    Ok(())
}

/// All at once: cargo then takes those that others need from what it has just packed.
fn package(packages: &[Package], verify: bool) -> Result<()> {
    let names = packages
        .iter()
        .flat_map(|package| ["-p", package.name.as_str()]);
    let mut command = cargo::host()
        .cwd(&workspace::root())
        .args(["package", "--allow-dirty", "--quiet"])
        .args(names);
    if !verify {
        command = command.arg("--no-verify");
    }
    command.run().context("some crate cannot be packed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(publish: &str, kinds: &str, features: &str) -> Value {
        let text = format!(
            r#"{{"packages":[{{"name":"a","description":"d","license":null,"publish":{publish},
            "targets":[{{"kind":[{kinds}]}}],"features":{features},"manifest_path":"/a/Cargo.toml"}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn one(kinds: &str, features: &str) -> Package {
        shipped(&metadata("null", kinds, features))
            .unwrap()
            .remove(0)
    }

    #[test]
    fn what_goes_to_no_registry_is_left_out() {
        assert!(
            shipped(&metadata("[]", r#""lib""#, "{}"))
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            shipped(&metadata("null", r#""lib""#, "{}")).unwrap().len(),
            1
        );
        assert_eq!(
            shipped(&metadata(r#"["own"]"#, r#""lib""#, "{}"))
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn missing_papers_are_named() {
        let library = one(r#""lib""#, "{}").faults(|file| file == "README.md");
        let expected = [
            "Cargo.toml has no license",
            "no CHANGELOG.md",
            "no runnable example",
        ];
        assert_eq!(library.len(), expected.len(), "{library:?}");
        for (fault, part) in library.iter().zip(expected) {
            assert!(fault.contains(part), "{fault}");
        }
        assert_eq!(one(r#""bin""#, "{}").faults(|_| false).len(), 1);
    }

    #[test]
    fn features_are_built_one_by_one_and_together() {
        let sets = |features| one(r#""lib""#, features).feature_sets().len();
        assert_eq!(sets("{}"), 1);
        assert_eq!(sets(r#"{"default":["x"],"x":[]}"#), 2);
        assert_eq!(sets(r#"{"x":[],"y":[]}"#), 4);
    }

    #[test]
    fn a_crate_is_found_by_its_whole_name() {
        let tree = "virtcontainers-store v0.1.0 (/x)\ntokio-stream v0.1.0\nserde v1.0.0 (*)\n";
        assert!(!brings(tree, "tokio"));
        assert!(brings(&format!("{tree}tokio v1.0.0\n"), "tokio"));
    }
}

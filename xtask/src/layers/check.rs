//! The comparison itself: cargo's metadata against the table. Pure.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::table::{self, BACKENDS, FACADE, GUEST_AGENT, Row, TESTKIT, TESTS};

const PREFIX: &str = "virtcontainers-";
/// How cargo writes a requirement that names no version.
const ANY_VERSION: &str = "*";

/// One package of the workspace and what it uses.
#[derive(Debug)]
pub(super) struct Package {
    name: String,
    /// Arrows to packages of the workspace.
    pub(super) edges: Vec<Edge>,
    foreign: Vec<Edge>,
}

/// One dependency.
#[derive(Debug)]
pub(super) struct Edge {
    to: String,
    is_dev: bool,
    has_version: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataDependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
    req: String,
}

/// Reads what `cargo metadata --no-deps` prints.
pub(super) fn parse(metadata: &Value) -> Result<Vec<Package>> {
    let metadata =
        Metadata::deserialize(metadata).context("cargo metadata has an unexpected form")?;
    Ok(metadata.packages.into_iter().map(package).collect())
}

fn package(from: MetadataPackage) -> Package {
    let (own, foreign): (Vec<_>, Vec<_>) = from
        .dependencies
        .into_iter()
        .partition(|dependency| dependency.path.is_some());
    Package {
        name: short(&from.name),
        edges: own.iter().map(edge).collect(),
        foreign: foreign.iter().map(edge).collect(),
    }
}

fn edge(dependency: &MetadataDependency) -> Edge {
    Edge {
        to: short(&dependency.name),
        is_dev: dependency.kind.as_deref() == Some("dev"),
        has_version: dependency.req != ANY_VERSION,
    }
}

fn short(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).to_owned()
}

/// Every arrow that the table does not have, as a sentence each.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<String> {
    let Some(from) = table::find(&package.name) else {
        return vec![format!(
            "{} has no row in the table of layers",
            package.name
        )];
    };
    let own = package
        .edges
        .iter()
        .filter_map(|edge| check_edge(from, edge));
    let foreign = package
        .foreign
        .iter()
        .filter_map(|edge| check_foreign(from, edge));
    own.chain(foreign).collect()
}

fn check_edge(from: &Row, edge: &Edge) -> Option<String> {
    let arrow = format!("{} -> {}", from.name, edge.to);
    let Some(to) = table::find(&edge.to) else {
        return Some(format!(
            "{arrow}: {} has no row in the table of layers",
            edge.to
        ));
    };
    if BACKENDS.contains(&to.name) && ![FACADE, TESTS].contains(&from.name) {
        return Some(format!("{arrow}: only the facade knows a backend"));
    }
    if to.name == TESTKIT && edge.has_version {
        return Some(format!(
            "{arrow}: testkit is used by path only, since it never ships"
        ));
    }
    if to.name != TESTKIT && !edge.has_version {
        return Some(format!("{arrow}: a path dependency carries a version too"));
    }
    if to.name == TESTKIT && !edge.is_dev && from.name != TESTS {
        return Some(format!(
            "{arrow}: testkit never ships, so only tests may use it"
        ));
    }
    let allowed = from.may_use(to) || (edge.is_dev && tests_may_use(from, to));
    if allowed {
        return None;
    }
    let reason = match (from.name, from.layer.cmp(&to.layer)) {
        (GUEST_AGENT, _) => "the guest agent uses no crate of the host",
        (_, std::cmp::Ordering::Equal) => "crates of one layer do not know each other",
        (_, std::cmp::Ordering::Less) => "arrows only point down",
        (_, std::cmp::Ordering::Greater) => "not in the table",
    };
    Some(format!("{arrow}: {reason}"))
}

/// Tests may lean on the test kit and on what lies below.
fn tests_may_use(from: &Row, to: &Row) -> bool {
    if from.name == GUEST_AGENT {
        return to.layer == 0;
    }
    to.name == TESTKIT || to.layer < from.layer
}

fn check_foreign(from: &Row, edge: &Edge) -> Option<String> {
    if edge.is_dev {
        return None;
    }
    let rule = table::FOREIGN.iter().find(|rule| rule.is(&edge.to))?;
    (!rule.allows(from.name)).then(|| {
        format!(
            "{} -> {}: would bring in what it must not contain",
            from.name, edge.to
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The faults of a workspace with one package that has one dependency.
    fn faults(from: &str, kind: Option<&str>, to: &str) -> Vec<String> {
        let is_own = table::find(to).is_some();
        let name = |short: &str| match short {
            "virtcontainers" | "xtask" => short.to_owned(),
            other if table::find(other).is_some() => format!("{PREFIX}{other}"),
            other => other.to_owned(),
        };
        let dependency = json!({
            "name": name(to),
            "kind": kind,
            "path": is_own.then(|| format!("/work/crates/{to}")),
            "req": if to == TESTKIT { "*" } else { "^0.1" },
        });
        let metadata = json!({"packages": [{"name": name(from), "dependencies": [dependency]}]});
        check(&parse(&metadata).expect("well formed"))
    }

    #[track_caller]
    fn allowed(from: &str, kind: Option<&str>, to: &str) {
        assert_eq!(faults(from, kind, to), Vec::<String>::new());
    }

    #[track_caller]
    fn refused(from: &str, kind: Option<&str>, to: &str, reason: &str) {
        let faults = faults(from, kind, to);
        assert!(
            faults.len() == 1 && faults[0].contains(reason),
            "{from} -> {to}: {faults:?}"
        );
    }

    #[test]
    fn arrows_of_the_table_are_allowed() {
        allowed("qemu", None, "hypervisor");
        allowed("runtime", None, "network");
        allowed("virtcontainers", None, "qemu");
        allowed("cli", None, "virtcontainers");
        allowed("guest-agent", None, "agent-proto");
        allowed("tests", None, "testkit");
    }

    #[test]
    fn arrows_up_across_and_past_the_facade_are_refused() {
        refused("types", None, "store", "only point down");
        refused("network", None, "share", "one layer");
        refused("cli", None, "runtime", "not in the table");
        refused("store", Some("build"), "process", "not in the table");
    }

    #[test]
    fn only_the_facade_knows_a_backend_even_in_tests() {
        refused("runtime", None, "qemu", "only the facade");
        refused("cli", Some("dev"), "qemu", "only the facade");
    }

    #[test]
    fn the_guest_agent_uses_no_crate_of_the_host() {
        refused("guest-agent", None, "agent", "no crate of the host");
        refused("guest-agent", Some("dev"), "agent", "no crate of the host");
        refused(
            "guest-agent",
            Some("dev"),
            "testkit",
            "no crate of the host",
        );
    }

    #[test]
    fn tests_may_lean_on_the_test_kit_and_on_lower_layers_only() {
        allowed("types", Some("dev"), "testkit");
        allowed("store", Some("dev"), "process");
        refused("store", Some("dev"), "share", "one layer");
        refused("runtime", None, "testkit", "never ships");
    }

    #[test]
    fn a_path_dependency_carries_a_version_and_the_test_kit_does_not() {
        let edge = |to: &str, has_version| Edge {
            to: to.into(),
            is_dev: true,
            has_version,
        };
        let runtime = table::find("runtime").expect("a row");
        assert!(check_edge(runtime, &edge("types", true)).is_none());
        assert!(check_edge(runtime, &edge("types", false)).is_some());
        assert!(check_edge(runtime, &edge(TESTKIT, true)).is_some());
    }

    #[test]
    fn foreign_crates_that_break_a_promise_are_refused() {
        refused("types", None, "tokio-util", "must not contain");
        refused("runtime", None, "qapi", "must not contain");
        allowed("qemu", None, "qapi-qmp");
        allowed("types", Some("dev"), "tokio");
        allowed("types", None, "serde");
    }

    #[test]
    fn a_package_without_a_row_is_refused() {
        refused("stranger", None, "serde", "no row");
    }
}

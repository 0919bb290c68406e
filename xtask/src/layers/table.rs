//! The layers of the house and who may use whom. Arrows only point down, and two crates of one
//! layer do not know each other. A change here is a change of the architecture: it belongs
//! together with one of `docs/architecture.md`.

use std::ops::RangeInclusive;

/// One package of the workspace.
pub(super) struct Row {
    /// The package's short name.
    pub(super) name: &'static str,
    /// Its layer; arrows point to smaller numbers.
    pub(super) layer: u8,
    /// What it may use of the workspace.
    pub(super) uses: Uses,
}

/// What a package may use.
pub(super) enum Uses {
    /// These packages.
    Only(&'static [&'static str]),
    /// Everything in these layers.
    Layers(RangeInclusive<u8>),
}

const fn row(name: &'static str, layer: u8, uses: Uses) -> Row {
    Row { name, layer, uses }
}

/// The facade's short name.
pub(super) const FACADE: &str = "virtcontainers";
/// Holds fakes and suites: never part of what ships.
pub(super) const TESTKIT: &str = "testkit";
/// Runs in the guest, so that not even its tests may lean on crates of the host.
pub(super) const GUEST_AGENT: &str = "guest-agent";
/// The tests of the whole, which do not ship either.
pub(super) const TESTS: &str = "tests";
/// Crates that implement one hypervisor; only the facade's registry picks among them, and the
/// suites of [`TESTS`] run against each.
pub(super) const BACKENDS: &[&str] = &["qemu"];

/// The table.
pub(super) const ROWS: &[Row] = &[
    row("types", 0, Uses::Only(&[])),
    row("agent-proto", 0, Uses::Only(&[])),
    row("process", 0, Uses::Only(&[])),
    row("store", 1, Uses::Only(&["types"])),
    row("hypervisor", 1, Uses::Only(&["types"])),
    row("agent", 1, Uses::Only(&["types", "agent-proto"])),
    row("network", 1, Uses::Only(&["types", "process"])),
    row("share", 1, Uses::Only(&["types", "process"])),
    row("cgroup", 1, Uses::Only(&["types"])),
    row("oci", 1, Uses::Only(&["types"])),
    row("qemu", 2, Uses::Only(&["types", "process", "hypervisor"])),
    row(TESTKIT, 2, Uses::Layers(0..=1)),
    row("runtime", 3, Uses::Layers(0..=1)),
    row(FACADE, 4, Uses::Layers(0..=3)),
    row("cli", 5, Uses::Only(&[FACADE])),
    row("shim", 5, Uses::Only(&[FACADE])),
    row(GUEST_AGENT, 5, Uses::Only(&["agent-proto"])),
    row(TESTS, 6, Uses::Layers(0..=5)),
    row("xtask", 6, Uses::Only(&[])),
];

/// A foreign crate that only some packages may use.
pub(super) struct Foreign {
    /// The foreign crate; a trailing `*` stands for every ending.
    pub(super) name: &'static str,
    /// The packages that may not use it, or the only ones that may.
    pub(super) rule: ForeignRule,
}

/// Who may use a foreign crate.
pub(super) enum ForeignRule {
    /// These packages only.
    Only(&'static [&'static str]),
    /// Every package but these.
    Never(&'static [&'static str]),
}

const fn foreign(name: &'static str, rule: ForeignRule) -> Foreign {
    Foreign { name, rule }
}

/// Foreign crates that would bring into a package what it must never contain.
pub(super) const FOREIGN: &[Foreign] = &[
    foreign("qapi*", ForeignRule::Only(&["qemu", TESTKIT, TESTS])),
    foreign("containerd-*", ForeignRule::Only(&["shim", TESTS])),
    foreign("clap", ForeignRule::Only(&["cli", "shim", TESTS])),
    foreign("tokio*", ForeignRule::Never(&["types"])),
    foreign("futures*", ForeignRule::Never(&["types"])),
    foreign("async-*", ForeignRule::Never(&["types"])),
    foreign(
        "rustix",
        ForeignRule::Never(&["types", "agent-proto", "hypervisor"]),
    ),
    foreign(
        "nix",
        ForeignRule::Never(&["types", "agent-proto", "hypervisor"]),
    ),
    foreign(
        "libc",
        ForeignRule::Never(&["types", "agent-proto", "hypervisor"]),
    ),
    foreign(
        "anyhow",
        ForeignRule::Only(&["cli", "shim", GUEST_AGENT, TESTS, "xtask"]),
    ),
];

/// The row of a package.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

impl Row {
    /// Whether the table allows this package to use `other`.
    pub(super) fn may_use(&self, other: &Row) -> bool {
        match &self.uses {
            Uses::Only(names) => names.contains(&other.name),
            Uses::Layers(layers) => layers.contains(&other.layer),
        }
    }
}

impl Foreign {
    /// Whether this row is about the foreign crate `name`.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name
            .strip_suffix('*')
            .map_or(self.name == name, |start| name.starts_with(start))
    }

    /// Whether `package` may use the foreign crate.
    pub(super) fn allows(&self, package: &str) -> bool {
        match self.rule {
            ForeignRule::Only(names) => names.contains(&package),
            ForeignRule::Never(names) => !names.contains(&package),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allowed_arrow_points_down() {
        for from in ROWS {
            for to in ROWS.iter().filter(|to| from.may_use(to)) {
                assert!(to.layer < from.layer, "{} -> {}", from.name, to.name);
            }
        }
    }

    #[test]
    fn every_name_in_a_row_is_a_row() {
        for row in ROWS {
            if let Uses::Only(names) = &row.uses {
                assert!(
                    names.iter().all(|name| find(name).is_some()),
                    "{}",
                    row.name
                );
            }
        }
        assert!(BACKENDS.iter().all(|name| find(name).is_some()));
    }
}

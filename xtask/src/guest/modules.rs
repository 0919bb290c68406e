//! Which kernel modules the guest carries, and in which order they load. Modules that the kernel
//! has built in are left out; a module that it has neither way is an error.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::lean::lean;
use crate::cmd::Cmd;

/// The groups that the guest loads by name, each with the modules that it is there for.
pub(super) const GROUPS: &[(&str, &[&str])] = &[
    (
        "boot",
        &[
            "virtio_ring",
            "virtio",
            "virtio_pci_modern_dev",
            "virtio_pci_legacy_dev",
            "virtio_pci",
            "vsock",
            "vmw_vsock_virtio_transport_common",
            "vmw_vsock_virtio_transport",
        ],
    ),
    ("virtiofs", &["fuse", "virtiofs"]),
    ("overlay", &["overlay"]),
    ("net", &["failover", "net_failover", "virtio_net"]),
    ("block", &["virtio_blk"]),
];

/// The modules of one kernel, as depmod describes them.
#[derive(Debug)]
pub(super) struct Tree {
    dir: PathBuf,
    /// Per module its file and the modules that must be loaded before it.
    found: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

impl Tree {
    /// Reads the tables of the modules below `dir` (`lib/modules/RELEASE`).
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let read = |name: &str| {
            fs::read_to_string(dir.join(name))
                .with_context(|| format!("cannot read {} of {}", name, dir.display()))
        };
        Ok(Self {
            dir: dir.to_owned(),
            found: parse_dependencies(&read("modules.dep")?),
            builtin: read("modules.builtin")?.lines().map(module_name).collect(),
        })
    }

    /// Appends `name` and all that it needs to `order`, each once, the needed ones first.
    fn append(&self, name: &str, order: &mut Vec<String>) -> Result<()> {
        if self.builtin.contains(name) || order.iter().any(|placed| placed == name) {
            return Ok(());
        }
        let Some((_, needs)) = self.found.get(name) else {
            bail!("the kernel has no module {name}");
        };
        // depmod lists what a module needs with the deepest last.
        for needed in needs.iter().rev() {
            self.append(needed, order)?;
        }
        order.push(name.to_owned());
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let (file, _) = self
            .found
            .get(name)
            .with_context(|| format!("no module {name}"))?;
        let path = self.dir.join(file);
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let tool = match path.extension().and_then(|extension| extension.to_str()) {
            Some("ko") => return Ok(content),
            Some("xz") => "xz",
            Some("zst") => "zstd",
            Some("gz") => "gzip",
            other => bail!("{} is packed in an unknown way ({other:?})", path.display()),
        };
        Cmd::new(tool).arg("-dc").filter(&content)
    }
}

/// The modules that go into a guest.
#[derive(Debug)]
pub(super) struct Picked {
    /// The text of the `groups` file: per line a group and its files in load order.
    pub(super) groups: String,
    /// The modules' files by name, unpacked.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// Picks the modules of all groups from a kernel's tree.
pub(super) fn pick(tree: &Tree) -> Result<Picked> {
    let mut groups = String::new();
    let mut files = BTreeMap::new();
    for (group, order) in load_order(tree)? {
        groups.push_str(&group);
        groups.push(':');
        for name in order {
            let file = format!("{name}.ko");
            groups.push(' ');
            groups.push_str(&file);
            if let Entry::Vacant(place) = files.entry(file) {
                place.insert(lean(&tree.read(&name)?));
            }
        }
        groups.push('\n');
    }
    Ok(Picked { groups, files })
}

fn load_order(tree: &Tree) -> Result<Vec<(String, Vec<String>)>> {
    let mut groups = Vec::new();
    for (group, wanted) in GROUPS {
        let mut order = Vec::new();
        for name in *wanted {
            tree.append(name, &mut order)
                .with_context(|| format!("module group {group}"))?;
        }
        groups.push(((*group).to_owned(), order));
    }
    Ok(groups)
}

/// Parses `modules.dep`: `path/a.ko: path/b.ko path/c.ko`.
fn parse_dependencies(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| {
            let needs = needs.split_whitespace().map(module_name).collect();
            (module_name(file), (file.to_owned(), needs))
        })
        .collect()
}

/// A module's name as the kernel spells it: without path and suffix, with underscores.
fn module_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/fs/fuse/virtiofs.ko: kernel/fs/fuse/fuse.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/fs/fuse/fuse.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio.ko
";

    fn tree(builtin: &str) -> Tree {
        Tree {
            dir: PathBuf::new(),
            found: parse_dependencies(DEP),
            builtin: builtin.lines().map(module_name).collect(),
        }
    }

    fn order(tree: &Tree, name: &str) -> Vec<String> {
        let mut order = Vec::new();
        tree.append(name, &mut order).expect("known module");
        order
    }

    #[test]
    fn what_a_module_needs_comes_before_it() {
        assert_eq!(
            order(&tree(""), "virtiofs"),
            ["virtio_ring", "virtio", "fuse", "virtiofs"]
        );
    }

    #[test]
    fn what_the_kernel_has_built_in_is_left_out() {
        let tree = tree("kernel/drivers/virtio/virtio.ko\nkernel/drivers/virtio/virtio_ring.ko\n");
        assert_eq!(order(&tree, "virtiofs"), ["fuse", "virtiofs"]);
    }

    #[test]
    fn a_name_is_spelled_as_the_kernel_does() {
        assert_eq!(
            order(&tree(""), "virtio_rng"),
            ["virtio_ring", "virtio", "virtio_rng"]
        );
    }

    #[test]
    fn a_module_that_is_nowhere_is_an_error_that_names_it() {
        let error = tree("")
            .append("zfs", &mut Vec::new())
            .expect_err("unknown");
        assert!(error.to_string().contains("zfs"));
    }
}

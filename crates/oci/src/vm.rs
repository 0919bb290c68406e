//! The `vm` object of a specification: which machine its author wishes (OCI runtime-spec 1.3,
//! `config-vm.md`).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use virtcontainers_types::{Mebibytes, VcpuCount};

use crate::{Error, ErrorKind};

/// What the `vm` object asks for; absent parts are the configuration's. Paths are absolute. Whether
/// they exist is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VmWishes {
    /// The hypervisor's program.
    pub hypervisor: Option<PathBuf>,
    /// Further arguments for the hypervisor, after our own.
    pub hypervisor_parameters: Vec<String>,
    /// The guest's kernel.
    pub kernel: Option<PathBuf>,
    /// Further words for the kernel's command line, after those of the configuration.
    pub kernel_parameters: Vec<String>,
    /// The guest's initial RAM disk; excludes an image.
    pub initrd: Option<PathBuf>,
    /// A raw disk image with the guest's root file system; excludes an initial RAM disk.
    pub image: Option<PathBuf>,
    /// The machine's memory, rounded up to whole MiB.
    pub memory: Option<Mebibytes>,
    /// The machine's CPUs.
    pub vcpus: Option<VcpuCount>,
}

/// The object as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Written {
    hypervisor: Option<Program>,
    kernel: Option<Kernel>,
    image: Option<Image>,
    hw_config: Option<Hardware>,
}

#[derive(Debug, Clone, Deserialize)]
struct Program {
    path: Option<PathBuf>,
    #[serde(default)]
    parameters: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Kernel {
    path: Option<PathBuf>,
    #[serde(default)]
    parameters: Vec<String>,
    initrd: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
struct Image {
    path: PathBuf,
    format: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Hardware {
    vcpus: Option<u32>,
    /// Bytes.
    memory: Option<u64>,
    device_tree: Option<String>,
    dtdevs: Vec<String>,
    iomems: Vec<serde_json::Value>,
    irqs: Vec<serde_json::Value>,
}

const MIB: u64 = 1024 * 1024;

impl Written {
    /// Errors: `Invalid` for a relative path, for an image beside an initial RAM disk, and for a
    /// size that no machine has; `Unsupported` for an image that is not raw and for parts of the
    /// host's hardware.
    pub(crate) fn wishes(self) -> Result<VmWishes, Error> {
        let mut wishes = VmWishes::default();
        if let Some(Program { path, parameters }) = self.hypervisor {
            wishes.hypervisor = absolute("vm.hypervisor.path", path)?;
            wishes.hypervisor_parameters = parameters;
        }
        if let Some(kernel) = self.kernel {
            wishes.kernel = absolute("vm.kernel.path", kernel.path)?;
            wishes.initrd = absolute("vm.kernel.initrd", kernel.initrd)?;
            wishes.kernel_parameters = kernel.parameters;
        }
        if let Some(Image { path, format }) = self.image {
            if format != "raw" {
                let message = format!(
                    "vm.image.format is {format:?}, and only \"raw\" images boot: convert it to \
                     one"
                );
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            wishes.image = absolute("vm.image.path", Some(path))?;
        }
        if wishes.image.is_some() && wishes.initrd.is_some() {
            return Err(invalid(
                "vm.image and vm.kernel.initrd exclude each other: a guest boots from one of them",
            ));
        }
        self.hw_config.unwrap_or_default().apply(&mut wishes)?;
        Ok(wishes)
    }
}

impl Hardware {
    fn apply(self, wishes: &mut VmWishes) -> Result<(), Error> {
        let of_host = [
            ("deviceTree", self.device_tree.is_some()),
            ("dtdevs", !self.dtdevs.is_empty()),
            ("iomems", !self.iomems.is_empty()),
            ("irqs", !self.irqs.is_empty()),
        ];
        if let Some((name, _)) = of_host.into_iter().find(|(_, asked)| *asked) {
            let message = format!(
                "vm.hwConfig.{name} gives hardware of the host to the machine, which is not \
                 supported: leave it out"
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let count = self.vcpus.map(VcpuCount::new).transpose();
        wishes.vcpus =
            count.map_err(|error| invalid("vm.hwConfig.vcpus does not fit").because(error))?;
        wishes.memory = match self.memory.map(|bytes| Mebibytes(bytes.div_ceil(MIB))) {
            Some(size) if size < Mebibytes::MINIMUM => {
                return Err(invalid(format!(
                    "vm.hwConfig.memory is {size}, and a guest needs {} at least; the number is in \
                     bytes",
                    Mebibytes::MINIMUM
                )));
            }
            size => size,
        };
        Ok(())
    }
}

/// An empty path is an absent one: the specification's own structures write it so.
fn absolute(field: &str, path: Option<PathBuf>) -> Result<Option<PathBuf>, Error> {
    match path {
        Some(path) if path.as_os_str().is_empty() => Ok(None),
        Some(path) if path == Path::new("/") || !path.is_absolute() => Err(invalid(format!(
            "{field} is {:?}: write the whole path of a file on the host",
            path.display()
        ))),
        path => Ok(path),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(text: &str) -> Result<VmWishes, Error> {
        serde_json::from_str::<Written>(text).unwrap().wishes()
    }

    #[test]
    fn every_part_is_read() {
        let got = wishes(
            r#"{"hypervisor": {"path": "/bin/q", "parameters": ["-a", "b"]},
                "kernel": {"path": "/k", "parameters": ["quiet"], "initrd": "/i"},
                "hwConfig": {"vcpus": 2, "memory": 268435457}}"#,
        );
        let expected = VmWishes {
            hypervisor: Some("/bin/q".into()),
            hypervisor_parameters: vec!["-a".into(), "b".into()],
            kernel: Some("/k".into()),
            kernel_parameters: vec!["quiet".into()],
            initrd: Some("/i".into()),
            image: None,
            memory: Some(Mebibytes(257)),
            vcpus: VcpuCount::new(2).ok(),
        };
        assert_eq!(got.unwrap(), expected);
        let image = wishes(r#"{"image": {"path": "/i", "format": "raw"}}"#).unwrap();
        assert_eq!(image.image, Some("/i".into()));
        assert_eq!(wishes("{}").unwrap(), VmWishes::default());
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let rows = [
            (
                r#"{"kernel": {"path": "k"}}"#,
                ErrorKind::Invalid,
                "vm.kernel.path",
            ),
            (
                r#"{"hypervisor": {"path": "q"}}"#,
                ErrorKind::Invalid,
                "vm.hypervisor.path",
            ),
            (
                r#"{"image": {"path": "/i", "format": "qcow2"}}"#,
                ErrorKind::Unsupported,
                "qcow2",
            ),
            (
                r#"{"image": {"path": "/i", "format": "raw"}, "kernel": {"initrd": "/j"}}"#,
                ErrorKind::Invalid,
                "exclude each other",
            ),
            (
                r#"{"hwConfig": {"memory": 512}}"#,
                ErrorKind::Invalid,
                "in bytes",
            ),
            (
                r#"{"hwConfig": {"vcpus": 0}}"#,
                ErrorKind::Invalid,
                "vm.hwConfig.vcpus",
            ),
            (
                r#"{"hwConfig": {"irqs": [7]}}"#,
                ErrorKind::Unsupported,
                "vm.hwConfig.irqs",
            ),
        ];
        for (text, kind, part) in rows {
            let error = wishes(text).unwrap_err();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

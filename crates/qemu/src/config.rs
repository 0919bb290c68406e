//! What a user may configure: the section `[hypervisor.qemu]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The configuration of this backend. The default works where QEMU is installed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QemuConfig {
    /// QEMU's program, absolute; looked for in `PATH` and the usual places when absent.
    pub path: Option<PathBuf>,
    /// The kind of machine.
    pub machine: MachineType,
    /// What runs the guest's instructions.
    pub accelerator: AcceleratorChoice,
    /// What carries the guest's vsock.
    pub vsock: VsockChoice,
    /// The program `vhost-device-vsock`, absolute; looked for in the usual places when absent.
    pub vsock_helper: Option<PathBuf>,
    /// Words for every guest's kernel command line, before those of the sandbox.
    pub kernel_params: Vec<String>,
}

/// The kind of machine. There is one: `microvm` hangs at random under emulation, and `pc` offers
/// nothing that `q35` has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineType {
    /// Intel's Q35 chipset with PCI Express.
    #[default]
    Q35,
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorChoice {
    /// KVM where it can run a guest, else emulation.
    #[default]
    Auto,
    /// The processor, by the kernel's KVM; refused where that cannot run a guest.
    Kvm,
    /// Emulation.
    Tcg,
}

/// What carries the guest's vsock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VsockChoice {
    /// The kernel's vhost-vsock where there is one, else the helper program.
    #[default]
    Auto,
    /// The kernel's vhost-vsock; refused where there is none.
    Vhost,
    /// One `vhost-device-vsock` per machine, and a unix socket on the host.
    VhostUser,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_is_the_default() {
        assert_eq!(
            toml::from_str::<QemuConfig>("").ok(),
            Some(QemuConfig::default())
        );
    }

    #[test]
    fn words_of_the_section() {
        let text = r#"
            path = "/opt/qemu"
            machine = "q35"
            accelerator = "tcg"
            vsock = "vhost-user"
            vsock_helper = "/opt/vdv"
            kernel_params = ["nr_cpus=1"]
        "#;
        let expected = QemuConfig {
            path: Some("/opt/qemu".into()),
            machine: MachineType::Q35,
            accelerator: AcceleratorChoice::Tcg,
            vsock: VsockChoice::VhostUser,
            vsock_helper: Some("/opt/vdv".into()),
            kernel_params: vec!["nr_cpus=1".to_owned()],
        };
        assert_eq!(toml::from_str(text).ok(), Some(expected));
    }

    #[test]
    fn what_is_unknown_is_refused_by_name() {
        for (text, named) in [
            ("machine = 'pc'", "q35"),
            ("acelerator = 'kvm'", "accelerator"),
            ("vsock = 'user'", "vhost-user"),
        ] {
            let error = toml::from_str::<QemuConfig>(text)
                .expect_err(text)
                .to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}

//! Configurations for tests in which the guest is a fake, so that what it would boot is of no interest.

use std::collections::BTreeMap;

use virtcontainers_types::{
    AgentConfig, AgentStart, BootConfig, ContainerConfig, GuestRoot, Lifetime, Mebibytes,
    NetworkConfig, SandboxConfig, SandboxId, VcpuCount,
};

/// A sandbox of these containers that has no network, lives until it is stopped, and whose agent is
/// asked until it answers. Kernel and initial RAM disk do not exist.
pub fn sandbox(id: SandboxId, containers: Vec<ContainerConfig>) -> SandboxConfig {
    SandboxConfig {
        id,
        hostname: None,
        memory: Mebibytes::DEFAULT,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: "/kernel".into(),
            root: GuestRoot::Initrd("/initrd".into()),
            kernel_params: Vec::new(),
            hypervisor: Default::default(),
        },
        agent: AgentConfig {
            start: AgentStart::Polled,
        },
        network: NetworkConfig {
            disabled: true,
            ..NetworkConfig::default()
        },
        lifetime: Lifetime::Explicit,
        containers,
        annotations: BTreeMap::new(),
    }
}

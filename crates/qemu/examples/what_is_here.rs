//! Says what this backend would use on this host, and whether it could run a machine:
//! `cargo run -p virtcontainers-qemu --example what_is_here`

use virtcontainers_hypervisor::{Backend, MachinePlan};
use virtcontainers_qemu::{QemuBackend, QemuConfig};
use virtcontainers_types::{
    BootConfig, Deadlines, Error, GuestRoot, Mebibytes, SandboxId, VcpuCount,
};

fn main() -> Result<(), Error> {
    let backend = QemuBackend::new(QemuConfig::default());
    match backend.qemu_path() {
        Ok(path) => println!("program: {}", path.display()),
        Err(error) => println!("program: {error}"),
    }
    println!("accelerated: {}", backend.is_accelerated());
    println!("abilities: {:?}", backend.capabilities());
    let plan = MachinePlan {
        id: SandboxId::new("example")?,
        directory: std::env::temp_dir(),
        memory: Mebibytes::DEFAULT,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: "/boot/vmlinux".into(),
            root: GuestRoot::Initrd("/boot/initrd.img".into()),
            kernel_params: Vec::new(),
            hypervisor: Default::default(),
        },
        share: None,
        network_devices: Vec::new(),
        agent_announces: true,
        deadlines: Deadlines::EMULATED,
    };
    // What can be known before anything happens is refused before anything happens.
    match backend.check(&plan) {
        Ok(()) => println!("a small machine would start"),
        Err(error) => println!("a small machine would not start: {error}"),
    }
    Ok(())
}

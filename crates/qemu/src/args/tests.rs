//! Golden files: `tests/golden/*.args`, one argument or option with its value per line. To accept a
//! change, run the tests once with `VC_UPDATE_GOLDEN=1` and read the difference.

use std::path::{Path, PathBuf};

use virtcontainers_hypervisor::{Carrier, MachinePlan, NetworkDevicePlan, SharePlan};
use virtcontainers_types::{
    BootConfig, Deadlines, GuestRoot, MacAddress, Mebibytes, SandboxId, VcpuCount,
};

use super::{Descriptors, NetworkDescriptors, render};
use crate::choice::{Choice, Vsock};
use crate::host::Accelerator;
use crate::kernel_line;

fn plan() -> MachinePlan {
    MachinePlan {
        id: SandboxId::new("web-1").expect("a good id"),
        directory: "/run/vc/sandboxes/web-1/vm".into(),
        memory: Mebibytes::DEFAULT,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: "/guest/vmlinux".into(),
            root: GuestRoot::Initrd("/guest/initrd.img".into()),
            kernel_params: Vec::new(),
            hypervisor: Default::default(),
        },
        share: Some(SharePlan {
            tag: "kataShared".to_owned(),
            socket: "fs.sock".into(),
        }),
        network_devices: Vec::new(),
        agent_announces: true,
        deadlines: Deadlines::EMULATED,
    }
}

fn choice(plan: &MachinePlan, configured: &[&str]) -> Choice {
    let configured: Vec<String> = configured.iter().map(ToString::to_string).collect();
    let vsock = Vsock::VhostUser {
        helper: "/usr/libexec/virtcontainers/vhost-device-vsock".into(),
    };
    Choice {
        qemu: "/usr/bin/qemu-system-x86_64".into(),
        accelerator: Accelerator::Tcg,
        kernel: plan.boot.kernel.clone(),
        root: plan.boot.root.clone(),
        kernel_line: kernel_line::render(plan, &configured, &vsock),
        vsock,
    }
}

const DESCRIPTORS: Descriptors = Descriptors {
    ctl: 3,
    mon: 4,
    console: Some(5),
    vhost: None,
    network: Vec::new(),
};

fn check(name: &str, plan: &MachinePlan, choice: &Choice, descriptors: Descriptors) {
    let mut text = String::new();
    for arg in render(plan, choice, &descriptors) {
        let arg = arg.to_string_lossy();
        let separator = match (arg.starts_with('-'), text.is_empty()) {
            (_, true) => "",
            (true, false) => "\n",
            (false, false) => " ",
        };
        text = format!("{text}{separator}{arg}");
    }
    text.push('\n');
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.args"));
    if std::env::var_os("VC_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("the golden file is written");
    }
    let expected = std::fs::read_to_string(&file).expect("the golden file is there");
    assert_eq!(text, expected, "{}", file.display());
}

#[test]
fn emulated_with_helpers() {
    let plan = plan();
    check("emulated", &plan, &choice(&plan, &[]), DESCRIPTORS);
}

#[test]
fn accelerated_with_the_kernels_vsock() {
    let plan = MachinePlan {
        memory: Mebibytes(2048),
        vcpus: VcpuCount::new(4).expect("a good count"),
        ..plan()
    };
    let choice = Choice {
        accelerator: Accelerator::Kvm,
        vsock: Vsock::Vhost { cid: 4711 },
        ..choice(&plan, &[])
    };
    let descriptors = Descriptors {
        vhost: Some(6),
        ..DESCRIPTORS
    };
    check("accelerated", &plan, &choice, descriptors);
}

#[test]
fn nothing_but_a_kernel() {
    let plan = MachinePlan {
        share: None,
        agent_announces: false,
        ..plan()
    };
    let descriptors = Descriptors {
        console: None,
        ..DESCRIPTORS
    };
    check("bare", &plan, &choice(&plan, &[]), descriptors);
}

#[test]
fn words_of_the_configuration_then_of_the_sandbox() {
    let mut plan = plan();
    plan.boot.kernel_params = vec!["console=ttyS1".to_owned(), "agent.log=debug".to_owned()];
    plan.share = Some(SharePlan {
        tag: "a,b".to_owned(),
        socket: "f,s.sock".into(),
    });
    check("words", &plan, &choice(&plan, &["loglevel=7"]), DESCRIPTORS);
}

#[test]
fn a_guest_on_the_kernels_vsock_calls_a_port_of_its_own() {
    let line = kernel_line::render(&plan(), &[], &Vsock::Vhost { cid: 4711 });
    assert!(line.contains("agent.announce_vport=4711"), "{line}");
}

#[test]
fn an_image_is_the_first_disk_and_the_root() {
    let mut plan = plan();
    plan.boot.root = GuestRoot::Image("/guest/a,b \"c\".img".into());
    check("image", &plan, &choice(&plan, &[]), DESCRIPTORS);
}

#[test]
fn what_a_sandbox_adds_comes_last() {
    let mut plan = plan();
    let arguments = ["-device", "virtio-rng-pci", "-no-hpet"];
    plan.boot.hypervisor.arguments = arguments.map(str::to_owned).to_vec();
    check("further", &plan, &choice(&plan, &[]), DESCRIPTORS);
}

#[test]
fn network_devices_with_one_queue_and_with_several() {
    let device = |number: u8, mtu, queues| NetworkDevicePlan {
        id: format!("nic{number}"),
        mac: MacAddress([2, 0, 0x5e, 0x10, 0, number]),
        mtu,
        queues,
        carrier: Carrier::Tap,
    };
    let plan = MachinePlan {
        network_devices: vec![device(2, 1500, 1), device(3, 9000, 4), device(7, 1400, 1)],
        ..plan()
    };
    let network = |taps: &[i32], vhost: &[i32]| NetworkDescriptors {
        taps: taps.to_vec(),
        vhost: vhost.to_vec(),
    };
    let descriptors = Descriptors {
        network: vec![
            network(&[6], &[]),
            network(&[7, 8, 9, 10], &[11, 12, 13, 14]),
            network(&[15], &[16]),
        ],
        ..DESCRIPTORS
    };
    check("network", &plan, &choice(&plan, &[]), descriptors);
}

#[test]
fn network_devices_on_a_switch_and_of_the_host() {
    let device = |number: u8, queues, carrier| NetworkDevicePlan {
        id: format!("nic{number}"),
        mac: MacAddress([2, 0, 0x5e, 0x10, 0, number]),
        mtu: 1500,
        queues,
        carrier,
    };
    let vhost_user = |path: &str| Carrier::VhostUser {
        socket: path.into(),
    };
    let address = "0000:03:00.0".to_owned();
    let plan = MachinePlan {
        network_devices: vec![
            device(2, 1, vhost_user("/run/a,b/switch.sock")),
            device(3, 1, Carrier::Vfio { address }),
            device(4, 2, vhost_user("/run/switch.sock")),
        ],
        ..plan()
    };
    let none = NetworkDescriptors {
        taps: Vec::new(),
        vhost: Vec::new(),
    };
    let descriptors = Descriptors {
        network: vec![none; 3],
        ..DESCRIPTORS
    };
    let emulated = choice(&plan, &[]);
    check("carriers", &plan, &emulated, descriptors.clone());
    let accelerated = Choice {
        accelerator: Accelerator::Kvm,
        ..emulated
    };
    check("carriers-accelerated", &plan, &accelerated, descriptors);
}

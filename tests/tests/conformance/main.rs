//! The hypervisor suite on the backend that ships: with a program that stands in for QEMU, and with
//! QEMU itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod guest;
mod harness;
mod tap;

use std::path::{Path, PathBuf};

use virtcontainers_qemu::{QemuConfig, VsockChoice};
use virtcontainers_testkit::conformance::hypervisor::run;

use harness::QemuHarness;

/// Two files that can be taken for a kernel and an initial RAM disk.
fn false_guest(folder: &Path) -> (PathBuf, PathBuf) {
    let (kernel, initrd) = (folder.join("vmlinux"), folder.join("initrd.img"));
    std::fs::write(&kernel, b"\x7fELF\x02\x01\x01 and nothing else").unwrap();
    std::fs::write(&initrd, "not looked at").unwrap();
    (kernel, initrd)
}

#[tokio::test]
async fn conformance_of_a_scripted_qemu() {
    let folder = tempfile::tempdir().unwrap();
    let (kernel, initrd) = false_guest(folder.path());
    let script = PathBuf::from(env!("CARGO_BIN_EXE_scripted-qemu"));
    let config = QemuConfig {
        path: Some(script.clone()),
        vsock: VsockChoice::VhostUser,
        vsock_helper: Some(script),
        ..QemuConfig::default()
    };
    let harness = QemuHarness::new("a program that stands in for qemu", config, kernel, initrd);
    run(&harness).await.assert_kept();
}

#[tokio::test]
async fn conformance_of_real_qemu() {
    let folder = tempfile::tempdir().unwrap();
    let (kernel, initrd) = false_guest(folder.path());
    std::fs::write(&kernel, guest::kernel()).unwrap();
    let harness = QemuHarness::new("qemu", QemuConfig::default(), kernel, initrd);
    run(&harness).await.assert_kept();
}

/// The scripted program must not be what keeps the promises: without it nothing starts.
#[tokio::test]
async fn a_missing_program_is_foreseen() {
    let folder = tempfile::tempdir().unwrap();
    let (kernel, initrd) = false_guest(folder.path());
    let config = QemuConfig {
        path: Some("/nowhere/qemu".into()),
        ..QemuConfig::default()
    };
    let harness = QemuHarness::new("no qemu at all", config, kernel, initrd);
    let report = run(&harness).await;
    assert!(
        report.failed().contains(&"a-check-has-no-effect"),
        "{report}"
    );
}

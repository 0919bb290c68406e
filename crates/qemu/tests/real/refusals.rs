//! Refused before any effect, with the kind and the remedy.

use std::path::PathBuf;

use virtcontainers_hypervisor::{Backend, ErrorKind, MachinePlan};
use virtcontainers_qemu::{QemuBackend, QemuConfig};
use virtcontainers_types::{GuestRoot, Mebibytes, VcpuCount};

use crate::fixture::{Fixture, Ledger};
use crate::guest::Guest;

/// Checks and launches; both must refuse alike, and nothing may have happened.
async fn refused(
    backend: &QemuBackend,
    fixture: &Fixture,
    plan: MachinePlan,
) -> (ErrorKind, String) {
    let error = backend.check(&plan).expect_err("it must be refused");
    let ledger = Ledger::default();
    let launched = backend.launch(plan, fixture.handoffs(), &ledger).await;
    let launch_error = launched.expect_err("it must be refused");
    assert_eq!(error.to_string(), launch_error.to_string());
    assert!(ledger.entries().is_empty());
    fixture.assert_nothing_is_left();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    (
        error.kind(),
        format!("{error}: {}", source.unwrap_or_default()),
    )
}

#[tokio::test]
async fn plans_that_cannot_work() {
    let fixture = Fixture::new(Guest::Halts);
    fixture.backend.check(&fixture.plan).expect("a good plan");
    type Change = fn(&mut MachinePlan);
    let rows: [(Change, ErrorKind, &str); 7] = [
        (
            |plan| plan.memory = Mebibytes(127),
            ErrorKind::Invalid,
            "128M",
        ),
        (
            |plan| plan.memory = Mebibytes(1 << 30),
            ErrorKind::Invalid,
            "at most",
        ),
        (
            |plan| plan.vcpus = VcpuCount::new(1024).expect("a good count"),
            ErrorKind::Invalid,
            "at most",
        ),
        (
            |plan| plan.boot.kernel = PathBuf::from("/no/such/kernel"),
            ErrorKind::NotFound,
            "/no/such/kernel",
        ),
        (
            |plan| plan.boot.kernel = PathBuf::from("/etc/passwd"),
            ErrorKind::Invalid,
            "not a kernel",
        ),
        (
            |plan| plan.boot.root = GuestRoot::Initrd("/no/such/initrd".into()),
            ErrorKind::NotFound,
            "/no/such/initrd",
        ),
        (
            |plan| plan.boot.kernel_params = vec!["x".repeat(2048)],
            ErrorKind::Invalid,
            "shorten",
        ),
    ];
    for (change, kind, part) in rows {
        let mut plan = fixture.plan.clone();
        change(&mut plan);
        let (refused_kind, text) = refused(&fixture.backend, &fixture, plan).await;
        assert_eq!(refused_kind, kind, "{text}");
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn programs_that_are_missing() {
    let fixture = Fixture::new(Guest::Halts);
    let missing = Some(PathBuf::from("/no/such/program"));
    let without_qemu = QemuConfig {
        path: missing.clone(),
        ..QemuConfig::default()
    };
    let without_helper = QemuConfig {
        vsock_helper: missing,
        vsock: virtcontainers_qemu::VsockChoice::VhostUser,
        ..QemuConfig::default()
    };
    for (config, remedy) in [
        (without_qemu, "qemu-system-x86"),
        (without_helper, "cargo xtask setup"),
    ] {
        let backend = QemuBackend::new(config);
        let (kind, text) = refused(&backend, &fixture, fixture.plan.clone()).await;
        assert_eq!(kind, ErrorKind::NotFound, "{text}");
        assert!(
            text.contains("/no/such/program") && text.contains(remedy),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_launch_needs_a_nonce() {
    let fixture = Fixture::new(Guest::Halts);
    let mut handoffs = fixture.handoffs();
    handoffs.nonce.clear();
    let launch = fixture
        .backend
        .launch(fixture.plan.clone(), handoffs, &fixture.ledger);
    let refused = launch.await.map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::Invalid));
}

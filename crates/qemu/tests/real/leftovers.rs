//! Whatever is dropped, and whenever our process dies, nothing is left, or the ledger knows it.

use std::time::Duration;

use virtcontainers_hypervisor::Backend;

use crate::fixture::Fixture;
use crate::guest::Guest;

#[tokio::test]
async fn a_dropped_launch_leaves_nothing() {
    let fixture = Fixture::new(Guest::Halts);
    drop(fixture.launch().await);
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_launch_or_start_that_is_cancelled_at_any_moment_leaves_nothing() {
    let fixture = Fixture::new(Guest::Halts);
    let mut finished = false;
    let mut patience = Duration::from_micros(200);
    while !finished {
        let boot = async { fixture.launch().await.start().await };
        if let Ok(machine) = tokio::time::timeout(patience, boot).await {
            let machine = machine.expect("a start");
            machine.kill().expect("a kill");
            machine
                .shutdown(Duration::from_secs(10))
                .await
                .expect("an end");
            finished = true;
        }
        fixture.assert_nothing_is_left();
        patience = patience * 3 / 2;
    }
}

#[tokio::test]
async fn the_ledger_undoes_what_a_dead_process_left() {
    let fixture = Fixture::new(Guest::Halts);
    let machine = fixture.start().await;
    let entries = fixture.ledger.entries();
    let effects: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.payload["effect"].as_str())
        .collect();
    assert_eq!(effects, ["sockets", "process", "process"]);
    assert!(
        entries
            .iter()
            .all(|entry| (entry.owner.as_str(), entry.version) == ("qemu", 1))
    );
    // The helper removes its vhost-user socket when QEMU has connected.
    assert_eq!(fixture.files(), ["ctl", "mon", "vm.vsock"]);

    // As if we had died: the handle is gone, and another process reads the ledger, twice.
    drop(machine);
    let other = Fixture::backend();
    for _ in 0..2 {
        for entry in entries.iter().rev() {
            other.undo(entry).expect("an undo");
        }
        fixture.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn sockets_of_an_earlier_machine_are_no_obstacle() {
    let fixture = Fixture::new(Guest::Halts);
    for name in ["ctl", "mon", "vhost.sock", "vm.vsock"] {
        std::fs::write(fixture.plan.directory.join(name), "").expect("a file");
    }
    let machine = fixture.start().await;
    machine
        .shutdown(crate::fixture::SOON)
        .await
        .expect("an end");
    fixture.assert_nothing_is_left();
}

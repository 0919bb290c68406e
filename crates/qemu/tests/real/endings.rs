//! Every way in which a machine ends.

use virtcontainers_hypervisor::{ErrorKind, MachineEvent};
use virtcontainers_process::{Identity, Signal};
use virtcontainers_types::ProcessIdentity;

use crate::fixture::{Fixture, SOON, lives};
use crate::guest::Guest;

fn kill(process: ProcessIdentity) {
    let identity = Identity {
        pid: process.pid,
        start_time: process.start_time,
    };
    assert_eq!(identity.signal(Signal::KILL).ok(), Some(true));
}

#[tokio::test]
async fn a_guest_that_powers_off_ends_its_machine() {
    let fixture = Fixture::new(Guest::PowersOff);
    let machine = fixture.start().await;
    if let Ok(mut events) = machine.events() {
        // The guest may have been faster than the subscription.
        let event = events.next().await;
        assert!(
            matches!(event, Some(MachineEvent::GuestShutdown) | None),
            "{event:?}"
        );
    }
    let exit = machine.wait().await;
    assert!(exit.expected, "{exit:?}");
    machine.shutdown(SOON).await.expect("it is over");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_killed_qemu_is_seen_and_takes_its_helper_along() {
    let fixture = Fixture::new(Guest::Halts);
    let machine = fixture.start().await;
    let processes = machine.processes();
    kill(processes[0]);
    let exit = machine.wait().await;
    assert_eq!(exit.to_string(), "qemu ended: killed by signal 9");
    assert!(!exit.expected);
    machine.shutdown(SOON).await.expect("it is over");
    assert!(!processes.iter().any(|process| lives(*process)));
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_killed_helper_takes_the_machine_along() {
    let fixture = Fixture::new(Guest::Halts);
    let machine = fixture.start().await;
    let processes = machine.processes();
    kill(processes[1]);
    let exit = machine.wait().await;
    assert_eq!(
        exit.to_string(),
        "vhost-device-vsock ended: killed by signal 9"
    );
    machine.shutdown(SOON).await.expect("it is over");
    assert!(!processes.iter().any(|process| lives(*process)));
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn kill_ends_all_at_once() {
    let fixture = Fixture::new(Guest::Halts);
    let machine = fixture.start().await;
    machine.kill().expect("a kill");
    assert_eq!(machine.wait().await.reason, "killed by signal 9");
    machine.shutdown(SOON).await.expect("it is over");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_qemu_that_does_not_answer_is_killed_at_the_deadline() {
    let fixture = Fixture::new(Guest::Halts);
    let machine = fixture.start().await;
    let qemu = machine.processes()[0];
    let identity = Identity {
        pid: qemu.pid,
        start_time: qemu.start_time,
    };
    assert_eq!(identity.signal(Signal::STOP).ok(), Some(true));
    let deadline = std::time::Duration::from_millis(200);
    machine.shutdown(deadline).await.expect("an end by force");
    assert!(!machine.wait().await.expected);
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_kernel_that_qemu_refuses_is_reported_with_its_words() {
    let fixture = Fixture::new(Guest::IsNoKernel);
    let error = fixture.launch().await.start().await.expect_err("no kernel");
    assert_eq!(error.kind(), ErrorKind::Gone);
    let text = error.to_string();
    assert!(
        text.contains("exit status 1") && text.contains("PVH"),
        "{text}"
    );
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_death_before_the_start_is_seen() {
    let fixture = Fixture::new(Guest::Halts);
    let launched = fixture.launch().await;
    let carriers = virtcontainers_process::find_by_nonce(&fixture.nonce).expect("a search");
    assert_eq!(carriers.len(), 2);
    for carrier in carriers {
        carrier.signal(Signal::KILL).expect("a signal");
    }
    assert_eq!(launched.exited().await.reason, "killed by signal 9");
    let error = launched.start().await.expect_err("it is dead");
    assert_eq!(error.kind(), ErrorKind::Gone);
    fixture.assert_nothing_is_left();
}

#[test]
fn programs_die_with_the_thread_that_launched_them() {
    let fixture = Fixture::new(Guest::Halts);
    let processes = std::thread::scope(|scope| {
        let life = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let mut handoffs = fixture.handoffs();
            handoffs.die_with_launcher = true;
            let machine = runtime.block_on(async {
                let launched = fixture.launch_with(handoffs).await;
                launched.start().await.expect("a start")
            });
            machine.processes()
        });
        life.join().expect("a thread")
    });
    for process in processes {
        let identity = Identity {
            pid: process.pid,
            start_time: process.start_time,
        };
        if let Some(watch) = identity.open().expect("an open") {
            watch.gone_blocking(SOON).expect("an end");
        }
    }
    // The sockets are for the ledger to remove: nobody was there to do it.
    for entry in fixture.ledger.entries().iter().rev() {
        virtcontainers_hypervisor::Backend::undo(&fixture.backend, entry).expect("an undo");
    }
    fixture.assert_nothing_is_left();
}

//! Launch, start, pause, resume, adopt.

use std::sync::Arc;

use virtcontainers_hypervisor::{Backend, ErrorKind, Machine, MachineEvent};
use virtcontainers_types::{AgentEndpoint, GuestRoot};

use crate::fixture::{Fixture, SOON, console, lives, until_up};
use crate::guest::Guest;

async fn kind(
    operation: impl Future<Output = Result<(), virtcontainers_hypervisor::Error>>,
) -> Option<ErrorKind> {
    operation.await.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_machine_starts_pauses_resumes_and_quits() {
    let fixture = Fixture::new(Guest::Halts);
    let (output, input) = console();
    let mut handoffs = fixture.handoffs();
    handoffs.console = Some(input);
    let launched = fixture.launch_with(handoffs).await;
    let machine = launched.start().await.expect("a start");
    let _console = until_up(output).await;
    let mut events = machine.events().expect("we launched it");

    assert_eq!(kind(machine.resume()).await, Some(ErrorKind::WrongState));
    machine.pause().await.expect("a pause");
    assert_eq!(events.next().await, Some(MachineEvent::Paused));
    assert_eq!(kind(machine.pause()).await, Some(ErrorKind::WrongState));
    machine.resume().await.expect("a resume");
    assert_eq!(events.next().await, Some(MachineEvent::Resumed));

    machine.shutdown(SOON).await.expect("an end");
    let exit = machine.wait().await;
    assert_eq!(
        (exit.program.as_str(), exit.expected),
        ("qemu", true),
        "{exit:?}"
    );
    assert_eq!(exit, machine.wait().await);
    assert_eq!(events.next().await, None);
    machine.shutdown(SOON).await.expect("an end is an end");
    machine.kill().expect("an end is an end");
    assert_eq!(kind(machine.pause()).await, Some(ErrorKind::Gone));
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn nothing_of_the_guest_runs_before_start() {
    let fixture = Fixture::new(Guest::PowersOff);
    let (output, input) = console();
    let mut handoffs = fixture.handoffs();
    handoffs.console = Some(input);
    let launched = fixture.launch_with(handoffs).await;
    // QEMU answers on `ctl` when it has built the machine; by then a guest that ran would write.
    let status = crate::schema::ask(&fixture.plan.directory, "query-status").await;
    assert_eq!(status["status"], "prelaunch");
    rustix::io::ioctl_fionbio(&output, true).expect("a pipe");
    let read = std::io::Read::read(&mut &output, &mut [0]);
    let empty = read.map_err(|error| error.kind());
    assert_eq!(empty, Err(std::io::ErrorKind::WouldBlock));
    drop(launched);
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn the_agents_endpoint_is_known_before_and_listens_after() {
    let fixture = Fixture::new(Guest::Halts);
    let before = fixture.backend.agent_endpoint(&fixture.plan);
    let before = before.expect("an endpoint");
    let machine = fixture.start().await;
    assert_eq!(machine.agent_endpoint(), before);
    let AgentEndpoint::HybridVsock { path } = before else {
        panic!("{before:?}");
    };
    assert!(path.is_absolute() && path.exists(), "{}", path.display());
    machine.shutdown(SOON).await.expect("an end");
}

#[tokio::test]
async fn another_process_adopts_while_ours_watches() {
    let fixture = Fixture::new(Guest::Halts);
    let machine = fixture.start().await;
    let mut events = machine.events().expect("we launched it");
    let saved = machine.save();

    let other: Arc<dyn Machine> = Fixture::backend().adopt(&saved).await.expect("it lives");
    assert_eq!(other.save(), saved);
    assert_eq!(other.processes(), machine.processes());
    assert_eq!(other.agent_endpoint(), machine.agent_endpoint());
    let refused = other.events().map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::Unsupported));

    other.pause().await.expect("a pause");
    assert_eq!(events.next().await, Some(MachineEvent::Paused));
    assert_eq!(kind(machine.pause()).await, Some(ErrorKind::WrongState));
    other.resume().await.expect("a resume");
    other.power_down().await.expect("a button");
    other.shutdown(SOON).await.expect("an end");
    assert_eq!(other.wait().await.program, "qemu");
    assert!(machine.wait().await.expected);
    machine.shutdown(SOON).await.expect("it is over");

    let gone = Fixture::backend().adopt(&saved).await.map(drop);
    assert_eq!(gone.map_err(|error| error.kind()), Err(ErrorKind::Gone));
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_machine_outlives_its_handle_and_is_ended_by_an_adopter() {
    let fixture = Fixture::new(Guest::Halts);
    let machine = fixture.start().await;
    let (saved, processes) = (machine.save(), machine.processes());
    drop(machine);
    assert!(processes.iter().all(|process| lives(*process)));
    let adopted = fixture.backend.adopt(&saved).await.expect("it lives");
    adopted.pause().await.expect("a pause");
    // A halted machine can be ended too.
    adopted.shutdown(SOON).await.expect("an end");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_machine_takes_an_image_whatever_its_name() {
    let mut fixture = Fixture::new(Guest::Halts);
    let image = fixture
        .plan
        .boot
        .kernel
        .with_file_name("an \"image\", read-only.img");
    std::fs::write(&image, vec![0; 1 << 20]).expect("an image");
    fixture.plan.boot.root = GuestRoot::Image(image);
    let machine = fixture.start().await;
    machine.shutdown(SOON).await.expect("an end");
    fixture.assert_nothing_is_left();
}

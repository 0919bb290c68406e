//! The tables: who may take a name, and when it is free again.

use std::os::fd::OwnedFd;

use super::*;
use crate::reaper::Reaper;
use crate::stdio;
use crate::streams::Source;

fn pipe() -> OwnedFd {
    rustix::pipe::pipe().unwrap().0
}

fn process(reaper: &Reaper, pid: i32) -> Process {
    let _guard = reaper.spawning();
    let (prepared, _child) = stdio::prepare(None, 0).unwrap();
    let streams = prepared.finish(Some(pipe())).unwrap();
    Process::new(pid, reaper.watch(pid), streams)
}

fn container(reaper: &Reaper) -> Arc<Container> {
    Arc::new(Container::new(
        "c1".to_owned(),
        process(reaper, 1 << 30),
        Vec::new(),
        None,
        None,
    ))
}

#[test]
fn ids() {
    for good in ["a", "0", "a.b-c_d+e", &"x".repeat(128)] {
        assert!(check_id(good).is_ok(), "{good}");
    }
    for bad in [
        "", ".", "..", "-a", "_a", "a/b", "a b", "ä", "shared", "sandbox", "a\0",
    ] {
        assert!(check_id(bad).is_err(), "{bad:?}");
    }
    assert!(check_id(&"x".repeat(129)).is_err());
}

#[tokio::test]
async fn a_container_id_is_taken_from_reservation_to_removal() {
    let reaper = Reaper::default();
    let containers = Containers::default();
    let reservation = containers.reserve("c1").unwrap();
    assert!(containers.reserve("c1").is_err(), "being created");
    assert!(containers.get("c1").is_err(), "not complete yet");
    drop(reservation);
    let reservation = containers
        .reserve("c1")
        .expect("free after a failed creation");
    let made = Container::new(
        "c1".to_owned(),
        process(&reaper, 1 << 30),
        Vec::new(),
        None,
        None,
    );
    reservation.fill(made);
    assert!(containers.reserve("c1").is_err(), "exists");
    let here = containers.get("c1").unwrap();
    containers.forget(&here);
    assert!(containers.get("c1").is_err());
    assert!(containers.reserve("c1").is_ok());
}

#[tokio::test]
async fn processes_are_found_by_their_names_until_forgotten() {
    let reaper = Reaper::default();
    let container = container(&reaper);
    let init = container.process("").unwrap();
    assert!(Arc::ptr_eq(&init, &container.process("c1").unwrap()));
    assert!(container.process("e1").is_err());
    assert!(container.reserve("").is_err());
    assert!(container.reserve("c1").is_err());

    let reservation = container.reserve("e1").unwrap();
    assert!(container.reserve("e1").is_err());
    assert!(container.process("e1").is_err(), "still starting");
    reservation.fill(process(&reaper, (1 << 30) + 1));
    let exec = container.process("e1").unwrap();
    assert_eq!(container.processes().len(), 2);

    container.forget("e1", &init);
    assert!(
        container.process("e1").is_ok(),
        "another process is not forgotten"
    );
    container.forget("e1", &exec);
    assert!(container.process("e1").is_err());
    drop(container.reserve("e1").expect("the name is free again"));
    assert!(
        container.reserve("e1").is_ok(),
        "and after a failed exec too"
    );
}

#[tokio::test]
async fn output_can_be_read_after_the_status_was_collected_until_its_end() {
    let reaper = Reaper::default();
    let container = container(&reaper);
    let init = container.process("").unwrap();
    container.forget("", &init);
    assert!(container.process("").is_err());
    assert!(Arc::ptr_eq(&init, &container.readable("c1").unwrap()));
    init.note_end(Source::Output);
    init.note_end(Source::Errors);
    container.release(&init);
    assert!(container.readable("c1").is_err(), "nothing is left to read");
}

#[tokio::test]
async fn unread_output_is_kept_of_a_bounded_number_of_processes() {
    let reaper = Reaper::default();
    let container = container(&reaper);
    for number in 0..100 {
        let name = format!("e{number}");
        let reservation = container.reserve(&name).unwrap();
        reservation.fill(process(&reaper, (1 << 30) + 1 + number));
        let exec = container.process(&name).unwrap();
        container.forget(&name, &exec);
    }
    assert!(container.readable("e99").is_ok());
    assert!(container.readable("e0").is_err(), "the oldest went first");
}

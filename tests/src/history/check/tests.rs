//! A history that could be, and what is found when it is bent.

use std::collections::BTreeMap;
use std::time::Duration;

use virtcontainers::types::{ContainerId, ContainerState, SandboxState};

use super::{Promise, check};
use crate::history::{Call, Ending, Event, INCARNATION, Line, Seen, Verb};

const PROMISE: Promise = Promise {
    lock: Duration::from_secs(1),
    call: Duration::from_secs(2),
};

/// The process that creates, and the one that sets an annotation and is refused a resume.
const FIRST: u32 = 1;
const SECOND: u32 = 2;

fn seen(generation: u64, state: SandboxState, annotation: Option<u64>) -> Seen {
    let mark = (INCARNATION.to_owned(), "one".to_owned());
    let of_second = annotation.map(|value| ("of-2".to_owned(), value.to_string()));
    let container = ContainerId::new("c").unwrap();
    let running = matches!(state, SandboxState::Running);
    let status = match running {
        true => ContainerState::Running,
        false => ContainerState::Created,
    };
    Seen {
        generation,
        state,
        annotations: [mark].into_iter().chain(of_second).collect(),
        containers: BTreeMap::from([(container, status)]),
    }
}

fn wrote(by: &str, seen: Seen) -> Event {
    let by = by.to_owned();
    Event::Wrote { by, seen }
}

fn done(seen: Option<&Seen>) -> Event {
    Event::Ended(Ending::Done {
        generation: seen.map(|seen| seen.generation),
        state: seen.map(|seen| seen.state),
    })
}

fn refused(kind: &str) -> Event {
    Event::Ended(Ending::Refused {
        kind: kind.to_owned(),
        message: "no".to_owned(),
    })
}

/// One sandbox: created by one process, annotated by another, started by the first.
fn history() -> Vec<Line> {
    use SandboxState::{Creating, Ready, Running};
    let annotate = Call {
        annotation: Some(("of-2".to_owned(), 7)),
        ..Call::of(Verb::Annotate)
    };
    let running = seen(4, Running, Some(7));
    let events = [
        (FIRST, 1, Event::Began(Call::of(Verb::Create))),
        (FIRST, 1, Event::Missed),
        (FIRST, 1, wrote("create", seen(1, Creating, None))),
        (FIRST, 1, wrote("create", seen(2, Ready, None))),
        (FIRST, 1, done(None)),
        (SECOND, 1, Event::Began(annotate)),
        (SECOND, 1, Event::Read(seen(2, Ready, None))),
        (SECOND, 1, wrote("set_annotations", seen(3, Ready, Some(7)))),
        (SECOND, 1, done(None)),
        (SECOND, 2, Event::Began(Call::of(Verb::Resume))),
        (SECOND, 2, Event::Read(seen(3, Ready, Some(7)))),
        (SECOND, 2, refused("wrong-state")),
        (FIRST, 2, Event::Began(Call::of(Verb::Start))),
        (FIRST, 2, Event::Read(seen(3, Ready, Some(7)))),
        (FIRST, 2, wrote("start_sandbox", running.clone())),
        (FIRST, 2, done(Some(&running))),
    ];
    let line = |(at, (process, call, event)): (u64, (u32, u64, Event))| Line {
        from: 10 * at,
        to: 10 * at + 5,
        process,
        call: Some(call),
        event,
    };
    (1..).zip(events).map(line).collect()
}

/// What is found when the event of one line is another, or is left out.
fn bent(index: usize, event: Option<Event>) -> String {
    let mut lines = history();
    match event {
        Some(event) => lines[index].event = event,
        None => drop(lines.remove(index)),
    }
    check(&lines, PROMISE).problems.join("\n")
}

#[test]
fn a_legal_history_has_no_problem() {
    let findings = check(&history(), PROMISE);
    assert_eq!(findings.problems, [""; 0], "{findings}");
    assert_eq!(findings.counts["records written"], 4);
    assert_eq!(findings.counts["Resume refused: wrong-state"], 1);
}

#[test]
fn a_lost_update_is_found() {
    let overwritten = wrote("start_sandbox", seen(3, SandboxState::Running, None));
    let found = bent(14, Some(overwritten));
    assert!(found.contains("generation 4 should have come"), "{found}");
}

#[test]
fn an_acknowledged_annotation_that_is_gone_is_found() {
    let without = wrote("start_sandbox", seen(4, SandboxState::Running, None));
    let found = bent(14, Some(without));
    assert!(found.contains("was done and has no effect"), "{found}");
}

#[test]
fn an_illegal_transition_is_found() {
    let by_another = wrote("pause_sandbox", seen(4, SandboxState::Running, Some(7)));
    let found = bent(14, Some(by_another));
    assert!(found.contains("ready became running"), "{found}");
}

#[test]
fn reads_of_what_was_not_there_are_found() {
    let stale = bent(13, Some(Event::Read(seen(1, SandboxState::Creating, None))));
    assert!(stale.contains("it was replaced before"), "{stale}");
    let early = seen(4, SandboxState::Running, Some(7));
    let early = bent(6, Some(Event::Read(early)));
    assert!(early.contains("it was not written yet"), "{early}");
    let other = bent(13, Some(Event::Read(seen(3, SandboxState::Ready, None))));
    assert!(other.contains("was written"), "{other}");
    let never = bent(13, Some(Event::Read(seen(9, SandboxState::Ready, None))));
    assert!(never.contains("nobody wrote that"), "{never}");
    let missed = bent(13, Some(Event::Missed));
    assert!(missed.contains("saw none of"), "{missed}");
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    for (index, kind) in [(8, "wrong-state"), (8, "internal"), (15, "timeout")] {
        let found = bent(index, Some(refused(kind)));
        assert!(found.contains("could not be"), "{kind}: {found}");
    }
}

#[test]
fn a_success_without_a_right_is_found() {
    let found = bent(11, Some(done(None)));
    assert!(found.contains("does not allow it"), "{found}");
    let found = bent(15, Some(done(Some(&seen(9, SandboxState::Running, None)))));
    assert!(found.contains("tells of generation 9"), "{found}");
}

#[test]
fn a_call_that_never_ends_is_found() {
    assert!(bent(15, None).contains("never ended"));
}

#[test]
fn a_call_that_takes_too_long_is_found() {
    let mut lines = history();
    lines[15].to += 3_000_000_000;
    let found = check(&lines, PROMISE).problems.join("\n");
    assert!(found.contains("took"), "{found}");
}

#[test]
fn a_second_sandbox_beside_the_first_is_found() {
    let mut lines = history();
    let mut other = seen(1, SandboxState::Creating, None);
    other
        .annotations
        .insert(INCARNATION.to_owned(), "two".to_owned());
    lines[14].event = wrote("create", other);
    let found = check(&lines, PROMISE).problems.join("\n");
    assert!(found.contains("another sandbox was created"), "{found}");
}

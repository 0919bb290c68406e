//! The table as a golden file, and its agreement with the lifecycle.
//!
//! To accept a change, run the tests once with `VC_UPDATE_GOLDEN=1` and read the difference.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;
use crate::{Decision, ErrorKind, Input, decide};

fn sandbox_states() -> impl Iterator<Item = Option<SandboxState>> {
    std::iter::once(None).chain(SandboxState::ALL.map(Some))
}

fn container_states() -> impl Iterator<Item = Option<ContainerState>> {
    std::iter::once(None).chain(ContainerState::ALL.map(Some))
}

/// A pair that the other object's column is not hidden by.
fn sandbox_column(operation: Operation, state: Option<SandboxState>) -> bool {
    allows(table::of(operation).sandbox, state)
}

fn container_column(operation: Operation, state: Option<ContainerState>) -> bool {
    allows(table::of(operation).container, state)
}

fn mark(allowed: bool) -> &'static str {
    if allowed { "yes" } else { "-" }
}

fn matrix() -> String {
    let mut text = format!("{:22} {:10} {:10}", "operation", "subsystem", "lock");
    text.push_str("| sandbox:   none creating ready running paused stopping stopped failed ");
    text.push_str("| container: none created running paused stopped\n");
    for operation in Operation::ALL {
        let lock = operation.lock().as_str();
        write!(
            text,
            "{:22} {:10} {lock:10}| {:11}",
            operation.name(),
            operation.subsystem(),
            ""
        )
        .unwrap();
        for state in sandbox_states() {
            let width = state.map_or("none", SandboxState::as_str).len();
            write!(text, "{:width$} ", mark(sandbox_column(operation, state))).unwrap();
        }
        write!(text, "| {:11}", "").unwrap();
        for state in container_states() {
            let width = state.map_or("none", ContainerState::as_str).len();
            write!(text, "{:width$} ", mark(container_column(operation, state))).unwrap();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn refusals() -> String {
    let mut text = String::new();
    for operation in Operation::ALL {
        // A container's states are asked for in a sandbox that allows the operation.
        let allowed = sandbox_states()
            .find(|state| sandbox_column(operation, *state))
            .flatten();
        let by_sandbox = sandbox_states()
            .filter(|state| !sandbox_column(operation, *state))
            .map(|state| check(operation, state, None));
        let by_container = container_states().map(|state| check(operation, allowed, state));
        for refusal in by_sandbox.chain(by_container).filter_map(Result::err) {
            writeln!(text, "{:14} {refusal}", refusal.kind().as_str()).unwrap();
        }
    }
    text
}

fn compare(name: &str, text: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("VC_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, text).expect("the golden file is written");
    }
    let expected = std::fs::read_to_string(&file).expect("the golden file is there");
    assert!(text == expected, "{name} differs; it would now be:\n{text}");
}

#[test]
fn the_table_is_as_written_down() {
    compare("preconditions.txt", &matrix());
}

#[test]
fn refusals_are_as_written_down() {
    compare("refusals.txt", &refusals());
}

#[test]
fn every_pair_of_states_has_an_answer() {
    for operation in Operation::ALL {
        for sandbox in sandbox_states() {
            for container in container_states() {
                let wanted =
                    sandbox_column(operation, sandbox) && container_column(operation, container);
                let got = check(operation, sandbox, container).is_ok();
                assert_eq!(got, wanted, "{operation} {sandbox:?} {container:?}");
            }
        }
    }
}

#[test]
fn the_table_agrees_with_the_lifecycle() {
    for operation in Operation::ALL {
        let Some(command) = operation.command() else {
            continue;
        };
        for state in sandbox_states() {
            let decision = decide(state, Input::Command(command));
            assert_eq!(
                sandbox_column(operation, state),
                !matches!(decision, Decision::Refuse { .. }),
                "{operation} in {state:?}"
            );
        }
    }
}

#[test]
fn names_are_unique_and_in_the_style_of_the_api() {
    let names: BTreeSet<_> = Operation::ALL.map(Operation::name).into();
    assert_eq!(names.len(), Operation::ALL.len());
    for operation in Operation::ALL {
        let camel: String = format!("{operation:?}").to_lowercase();
        assert_eq!(operation.name().replace('_', ""), camel);
    }
}

#[test]
fn whoever_changes_the_record_is_alone() {
    let changing = [
        "create", "delete", "start", "stop", "pause", "resume", "update", "add",
    ];
    for operation in Operation::ALL {
        let name = operation.name();
        if changing
            .iter()
            .any(|verb| name.starts_with(&format!("{verb}_")))
        {
            assert_eq!(operation.lock(), LockKind::Exclusive, "{name}");
        }
    }
}

#[test]
fn kinds_say_what_a_caller_can_do() {
    let kind = |operation, sandbox: Option<SandboxState>, container: Option<ContainerState>| {
        check(operation, sandbox, container).unwrap_err().kind()
    };
    let running = Some(SandboxState::Running);
    assert_eq!(
        kind(Operation::StopSandbox, None, None),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(Operation::CreateSandbox, running, None),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind(Operation::ResumeSandbox, running, None),
        ErrorKind::WrongState
    );
    assert_eq!(
        kind(Operation::StartContainer, running, None),
        ErrorKind::NotFound
    );
    let there = Some(ContainerState::Created);
    assert_eq!(
        kind(Operation::CreateContainer, running, there),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind(Operation::PauseContainer, running, there),
        ErrorKind::WrongState
    );
}

//! The table of the lifecycle: every state with every input.

use super::*;

/// One letter per outcome, in the order of `SandboxState::ALL`, after the "no record" column:
/// `C R U P G S F` become creating, ready, running, paused, stopping, stopped, failed;
/// `=` stay, `!` refuse, `s` stop first, `x` remove.
const TABLE: [(Input, &str); 10] = [
    //                                     none creating ready running paused stopping stopped failed
    (Input::Command(Command::Create), "C!!!!!!!"),
    (Input::Command(Command::Start), "!!U!!!C!"),
    (Input::Command(Command::Pause), "!!!P!!!!"),
    (Input::Command(Command::Resume), "!!!!U!!!"),
    (Input::Command(Command::Stop), "!GGGGG=="),
    (Input::Command(Command::Delete), "!!s!s!xx"),
    (Input::Fact(Fact::BootDone), "=R======"),
    (Input::Fact(Fact::BootFailed), "=F======"),
    (Input::Fact(Fact::MachineExited), "=FFFFS=="),
    (Input::Fact(Fact::StopFailed), "=====F=="),
];

fn letter(decision: Decision) -> char {
    match decision {
        Decision::Become(SandboxState::Creating) => 'C',
        Decision::Become(SandboxState::Ready) => 'R',
        Decision::Become(SandboxState::Running) => 'U',
        Decision::Become(SandboxState::Paused) => 'P',
        Decision::Become(SandboxState::Stopping) => 'G',
        Decision::Become(SandboxState::Stopped) => 'S',
        Decision::Become(SandboxState::Failed) => 'F',
        Decision::Stay => '=',
        Decision::StopFirst => 's',
        Decision::Remove => 'x',
        Decision::Refuse { .. } => '!',
    }
}

#[test]
fn every_state_and_input_has_its_row() {
    let inputs: Vec<Input> = Command::ALL
        .map(Input::Command)
        .into_iter()
        .chain(Fact::ALL.map(Input::Fact))
        .collect();
    assert_eq!(
        inputs,
        TABLE.map(|(input, _)| input),
        "a new input needs a row"
    );
    for (input, row) in TABLE {
        let states = std::iter::once(None).chain(SandboxState::ALL.map(Some));
        let got: String = states.map(|state| letter(decide(state, input))).collect();
        assert_eq!(got, row, "{input:?}");
    }
}

#[test]
fn a_refusal_names_states_that_accept() {
    for command in Command::ALL {
        for state in SandboxState::ALL {
            if let Decision::Refuse { wanted } = decide(Some(state), Input::Command(command)) {
                for wanted in wanted {
                    let there = decide(Some(*wanted), Input::Command(command));
                    assert!(
                        !matches!(there, Decision::Refuse { .. }),
                        "{command:?} in {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn names_are_stable() {
    let names = SandboxState::ALL.map(|state| serde_json::to_string(&state).unwrap());
    assert_eq!(
        names.join(" "),
        r#""creating" "ready" "running" "paused" "stopping" "stopped" "failed""#
    );
}

//! Asks what may be done with a sandbox in some state, and what to do where it may not:
//! `cargo run -p virtcontainers-types --example what_is_allowed -- paused`

use std::process::ExitCode;

use virtcontainers_types::{Operation, SandboxState, check};

fn main() -> ExitCode {
    let word = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "paused".to_owned());
    let Some(state) = SandboxState::ALL
        .into_iter()
        .find(|state| state.as_str() == word)
    else {
        let words = SandboxState::ALL.map(SandboxState::as_str).join(", ");
        eprintln!("there is no state {word:?}: use one of {words}");
        return ExitCode::FAILURE;
    };
    for operation in Operation::ALL
        .into_iter()
        .filter(|o| o.container_states().is_none())
    {
        match check(operation, state, None) {
            Ok(()) => println!(
                "{operation} is allowed, with a lock of kind {:?}",
                operation.lock()
            ),
            Err(refusal) => println!("{refusal}"),
        }
    }
    ExitCode::SUCCESS
}

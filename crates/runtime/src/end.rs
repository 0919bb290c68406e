//! Records of sandboxes whose machine is gone.

use virtcontainers_store::Record;
use virtcontainers_types::{Command, ContainerState, Decision, ExitStatus, Fact, Input, decide};

use crate::supervisor::control::Exits;

/// The record after a stop, with the exits that were seen; a container whose end nobody saw is
/// lost.
pub(crate) fn stopped(record: &Record, exits: &Exits) -> Record {
    let inputs = [
        Input::Command(Command::Stop),
        Input::Fact(Fact::MachineExited),
    ];
    ended(record, &inputs, exits)
}

/// The record after a stop that did not succeed to its end.
pub(crate) fn stop_failed(record: &Record, exits: &Exits, why: &str) -> Record {
    let inputs = [Input::Command(Command::Stop), Input::Fact(Fact::StopFailed)];
    let mut record = ended(record, &inputs, exits);
    record.failure = Some(why.to_owned());
    record
}

/// The record of a sandbox whose machine ended without being asked, or never came up, with the exits
/// that were seen before.
pub(crate) fn failed(record: &Record, exits: &Exits, why: &str) -> Record {
    let mut record = ended(record, &[Input::Fact(Fact::MachineExited)], exits);
    record.failure = Some(why.to_owned());
    record
}

fn ended(record: &Record, inputs: &[Input], exits: &Exits) -> Record {
    let mut record = record.clone();
    for input in inputs {
        if let Decision::Become(state) = decide(Some(record.state), *input) {
            record.state = state;
        }
    }
    record.supervisor = None;
    record.machine = None;
    record.network = None;
    for container in record.containers.iter_mut().map(|known| &mut known.status) {
        if container.state != ContainerState::Stopped {
            let status = exits.get(&container.id).copied();
            container.state = ContainerState::Stopped;
            container.exit_status = Some(status.unwrap_or(ExitStatus::LOST));
        }
    }
    record
}

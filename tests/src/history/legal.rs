//! Which record may follow which, as the table of the lifecycle says, while nobody dies.

use std::collections::BTreeSet;

use virtcontainers::types::{
    Command, ContainerId, ContainerState, Decision, Fact, Input, Operation, SandboxState, decide,
};

use super::Seen;

/// The word by which a supervisor takes the lock.
const SUPERVISE: &str = "supervise";
/// The word by which a creation takes it.
const CREATE: &str = "create";

/// Why `after` may not follow `before` in a write for the operation `by`; `None` when it may.
pub(super) fn objection(before: Option<&Seen>, by: &str, after: &Seen) -> Option<String> {
    let Some(before) = before else {
        let first = after.generation == 1 && after.state == SandboxState::Creating;
        return (!first).then(|| format!("begins as {}", after.state));
    };
    if !state_may_follow(before.state, by, after.state) {
        return Some(format!("{} became {}", before.state, after.state));
    }
    let containers: BTreeSet<&ContainerId> = before
        .containers
        .keys()
        .chain(after.containers.keys())
        .collect();
    containers.into_iter().find_map(|id| {
        let (was, is) = (before.container(Some(id)), after.container(Some(id)));
        let legal = was == is || container_may_follow(was, by, is);
        (!legal).then(|| format!("container {id} was {was:?} and became {is:?}"))
    })
}

/// What a write for this operation may stand for.
fn inputs(by: &str) -> &'static [&'static [Input]] {
    const START: Input = Input::Command(Command::Start);
    const STOP: Input = Input::Command(Command::Stop);
    const UP: Input = Input::Fact(Fact::BootDone);
    const DOWN: Input = Input::Fact(Fact::MachineExited);
    let is = |operation: Operation| by == operation.name();
    if by == CREATE {
        return &[&[UP]];
    }
    if is(Operation::StartSandbox) {
        return &[&[START], &[UP, START]];
    }
    // The first container that is started makes the sandbox run.
    if is(Operation::StartContainer) {
        return &[&[START]];
    }
    if is(Operation::StopSandbox) || is(Operation::DeleteSandbox) {
        return &[&[STOP, DOWN]];
    }
    if is(Operation::PauseSandbox) {
        return &[&[Input::Command(Command::Pause)]];
    }
    if is(Operation::ResumeSandbox) {
        return &[&[Input::Command(Command::Resume)]];
    }
    &[]
}

fn state_may_follow(was: SandboxState, by: &str, is: SandboxState) -> bool {
    let led_to = |inputs: &&[Input]| {
        inputs
            .iter()
            .try_fold(was, |state, input| match decide(Some(state), *input) {
                Decision::Become(next) => Some(next),
                Decision::Stay => Some(state),
                Decision::StopFirst | Decision::Remove | Decision::Refuse { .. } => None,
            })
    };
    was == is || inputs(by).iter().any(|inputs| led_to(inputs) == Some(is))
}

fn container_may_follow(was: Option<ContainerState>, by: &str, is: Option<ContainerState>) -> bool {
    use ContainerState::{Created, Running, Stopped};
    let any = |operations: &[Operation]| operations.iter().any(|one| one.name() == by);
    match (was, is) {
        (None, Some(Created)) => any(&[Operation::CreateContainer]),
        (Some(Created), Some(Running)) => {
            any(&[Operation::StartContainer, Operation::StartSandbox])
        }
        // A sandbox that boots again starts all its containers anew.
        (Some(Stopped), Some(Running)) => any(&[Operation::StartSandbox]),
        (Some(Created | Running), Some(Stopped)) => {
            by == SUPERVISE
                || any(&[
                    // A start that the guest refused is taken back.
                    Operation::StartContainer,
                    Operation::StartSandbox,
                    Operation::StopContainer,
                    Operation::StopSandbox,
                    Operation::DeleteSandbox,
                ])
        }
        (Some(Created | Stopped), None) => any(&[Operation::DeleteContainer]),
        _ => false,
    }
}

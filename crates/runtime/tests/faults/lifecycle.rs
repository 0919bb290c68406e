//! Random sequences of operations against a model: the pure functions of the lifecycle, and what each
//! operation says it does to containers.

use std::collections::BTreeMap;

use virtcontainers_runtime::{ContainerIo, CreateOptions, Error, ErrorKind, Runtime};
use virtcontainers_types::{
    Command, ContainerId, ContainerState, Decision, Fact, Input, Lifetime, Operation, Resources,
    SandboxState, check, decide,
};

use crate::act::exec;
use crate::aftermath::text;
use crate::alone;
use crate::child::executor;
use crate::place::Place;
use crate::stage::{Setting, Stage};

/// The environment variable with the seed of a sequence that is to be seen again.
const SEED_VARIABLE: &str = "VC_LIFECYCLE_SEED";
const SEQUENCES: u64 = 60;
const STEPS: usize = 40;
const SIGKILL: u32 = 9;

/// What is tried: the operations whose effect is on the states.
const OPERATIONS: [Operation; 17] = [
    Operation::CreateSandbox,
    Operation::RunSandbox,
    Operation::StartSandbox,
    Operation::StartSandbox,
    Operation::StopSandbox,
    Operation::DeleteSandbox,
    Operation::PauseSandbox,
    Operation::ResumeSandbox,
    Operation::CreateContainer,
    Operation::StartContainer,
    Operation::StopContainer,
    Operation::DeleteContainer,
    Operation::PauseContainer,
    Operation::ResumeContainer,
    Operation::UpdateContainer,
    Operation::EnterContainer,
    Operation::KillContainer,
];

/// Numbers that follow from a seed (splitmix64, Steele et al. 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// The sandbox as it should be.
#[derive(Debug, Default, Clone, PartialEq)]
struct Model {
    state: Option<SandboxState>,
    containers: BTreeMap<ContainerId, ContainerState>,
}

impl Model {
    /// What must come of an operation: refused with this kind, or done.
    fn expect(&self, operation: Operation, container: &ContainerId) -> Result<(), ErrorKind> {
        let wanted = match operation.subsystem() {
            "sandbox" => None,
            _ => self.containers.get(container).copied(),
        };
        match check(operation, self.state, wanted) {
            // Whether the container was ever there is looked at first.
            Err(_) if operation == Operation::KillContainer && wanted.is_none() => {
                Err(ErrorKind::NotFound)
            }
            // SIGKILL for what is gone is no error, if it ever was.
            Err(refusal)
                if operation == Operation::KillContainer
                    && refusal.kind() == ErrorKind::WrongState
                    && (wanted == Some(ContainerState::Stopped)
                        || self.state != Some(SandboxState::Paused)) =>
            {
                Ok(())
            }
            Err(refusal) => Err(refusal.kind()),
            Ok(()) => {
                let boots = operation == Operation::StartSandbox
                    && self.state == Some(SandboxState::Stopped);
                match boots && self.containers.is_empty() {
                    true => Err(ErrorKind::Invalid),
                    false => Ok(()),
                }
            }
        }
    }

    /// Goes on as an operation that was done does.
    fn apply(&mut self, operation: Operation, first: &ContainerId, container: &ContainerId) {
        use ContainerState::{Created, Paused, Running, Stopped};
        let before = self.state;
        if let Some(command) = operation.command() {
            self.command(command);
        }
        let all = self.containers.values_mut();
        match operation {
            Operation::CreateSandbox | Operation::RunSandbox => {
                self.fact(Fact::BootDone);
                let started = operation == Operation::RunSandbox;
                if started {
                    self.command(Command::Start);
                }
                let state = if started { Running } else { Created };
                self.containers.insert(first.clone(), state);
            }
            Operation::StartSandbox if before == Some(SandboxState::Stopped) => {
                all.for_each(|state| *state = Running);
                self.fact(Fact::BootDone);
                self.command(Command::Start);
            }
            Operation::StartSandbox => all
                .filter(|state| **state == Created)
                .for_each(|state| *state = Running),
            Operation::StopSandbox => {
                all.for_each(|state| *state = Stopped);
                self.fact(Fact::MachineExited);
            }
            Operation::DeleteSandbox => *self = Self::default(),
            Operation::DeleteContainer => drop(self.containers.remove(container)),
            Operation::KillContainer => {
                let allowed = self.containers.get(container).copied();
                if check(operation, before, allowed).is_ok() {
                    self.containers.insert(container.clone(), Stopped);
                }
            }
            _ => {
                if operation == Operation::StartContainer {
                    self.command(Command::Start);
                }
                let state = match operation {
                    Operation::CreateContainer => Created,
                    Operation::StartContainer | Operation::ResumeContainer => Running,
                    Operation::StopContainer => Stopped,
                    Operation::PauseContainer => Paused,
                    _ => return,
                };
                self.containers.insert(container.clone(), state);
            }
        }
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    fn fact(&mut self, fact: Fact) {
        self.input(Input::Fact(fact));
    }

    fn input(&mut self, input: Input) {
        if let Decision::Become(state) = decide(self.state, input) {
            self.state = Some(state);
        }
    }

    /// The machine is lost.
    fn crash(&mut self) {
        self.fact(Fact::MachineExited);
        let all = self.containers.values_mut();
        all.for_each(|state| *state = ContainerState::Stopped);
    }

    /// As it is shown: in a paused machine nothing runs.
    fn shown(&self) -> Self {
        let mut shown = self.clone();
        if self.state == Some(SandboxState::Paused) {
            let running = |state: &&mut ContainerState| **state == ContainerState::Running;
            let all = shown.containers.values_mut().filter(running);
            all.for_each(|state| *state = ContainerState::Paused);
        }
        shown
    }
}

async fn perform(
    operation: Operation,
    stage: &Stage,
    runtime: &Runtime,
    container: &ContainerId,
) -> Result<(), Error> {
    let id = &stage.id();
    let options = CreateOptions::default();
    let config = stage.sandbox(Lifetime::Explicit);
    match operation {
        Operation::CreateSandbox => drop(runtime.create_sandbox(config, options).await?),
        Operation::RunSandbox => drop(runtime.run_sandbox(config, options).await?),
        Operation::StartSandbox => drop(runtime.start_sandbox(id).await?),
        Operation::StopSandbox => drop(runtime.stop_sandbox(id, false).await?),
        Operation::DeleteSandbox => runtime.delete_sandbox(id, false).await?,
        Operation::PauseSandbox => drop(runtime.pause_sandbox(id).await?),
        Operation::ResumeSandbox => drop(runtime.resume_sandbox(id).await?),
        Operation::CreateContainer => {
            let config = stage.container(container.clone());
            let io = ContainerIo::default();
            drop(runtime.create_container(id, config, io).await?);
        }
        Operation::StartContainer => drop(runtime.start_container(id, container).await?),
        Operation::StopContainer => drop(runtime.stop_container(id, container, false).await?),
        Operation::DeleteContainer => runtime.delete_container(id, container).await?,
        Operation::PauseContainer => drop(runtime.pause_container(id, container).await?),
        Operation::ResumeContainer => drop(runtime.resume_container(id, container).await?),
        Operation::UpdateContainer => {
            let limits = Resources::default();
            runtime.update_container(id, container, limits).await?;
        }
        Operation::EnterContainer => drop(exec(stage, runtime, container.clone()).await?),
        Operation::KillContainer => {
            let killed = runtime.kill_container(id, container, SIGKILL, true);
            killed.await?;
            let status = runtime.status_container(id, container).await?;
            let wanted = status
                .is_some_and(|known| check(operation, SandboxState::Running, known.state).is_ok());
            let up = runtime.status_sandbox(id).await?.state;
            if wanted && matches!(up, SandboxState::Ready | SandboxState::Running) {
                runtime.wait_container(id, container).await?;
            }
        }
        other => unreachable!("{other} is not in the list"),
    }
    Ok(())
}

async fn found(stage: &Stage, runtime: &Runtime) -> Result<Model, String> {
    match runtime.status_sandbox(&stage.id()).await {
        Ok(status) => Ok(Model {
            state: Some(status.state),
            containers: status
                .containers
                .into_iter()
                .map(|known| (known.id, known.state))
                .collect(),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Model::default()),
        Err(error) => Err(format!("status: {}", text(&error))),
    }
}

/// One sequence; on a difference, the steps that led there.
async fn sequence(stage: &Stage, random: &mut Random) -> Result<(), String> {
    let runtime = stage.runtime();
    let first = stage.first();
    let containers = [first.clone(), stage.second()];
    let mut model = Model::default();
    let mut steps = Vec::new();
    for _ in 0..STEPS {
        let container = &containers[random.below(containers.len())];
        let crash = random.below(40) == 0;
        let step = match crash {
            true => {
                let lives = model.state.is_some_and(SandboxState::is_live);
                if lives {
                    let sandbox = runtime.fetch_sandbox(&stage.id()).await;
                    stage.crash();
                    let ended = sandbox.map_err(|error| text(&error))?.monitor().await;
                    ended.map_err(|error| text(&error))?;
                    model.crash();
                }
                "crash".to_owned()
            }
            false => {
                let operation = OPERATIONS[random.below(OPERATIONS.len())];
                let expected = model.expect(operation, container);
                let done = perform(operation, stage, &runtime, container).await;
                steps.push(format!("{operation} {container}: {expected:?}"));
                match (expected, done) {
                    (Ok(()), Ok(())) => model.apply(operation, &first, container),
                    (Err(kind), Err(error)) if kind == error.kind() => {}
                    (expected, done) => {
                        let done = done.map_err(|error| text(&error));
                        let steps = steps.join("\n  ");
                        return Err(format!("{expected:?} expected, {done:?} after\n  {steps}"));
                    }
                }
                format!("{operation}")
            }
        };
        let now = found(stage, &runtime).await?;
        if now != model.shown() {
            let steps = steps.join("\n  ");
            let shown = model.shown();
            return Err(format!(
                "after {step} {shown:?} expected, {now:?} after\n  {steps}"
            ));
        }
    }
    if model.state.is_some() {
        let deleted = runtime.delete_sandbox(&stage.id(), true).await;
        deleted.map_err(|error| text(&error))?;
    }
    match stage.violations() {
        violations if violations.is_empty() => Ok(()),
        violations => Err(format!("the agent was mistreated: {violations:?}")),
    }
}

#[test]
fn random_sequences_do_what_the_model_does() {
    let _alone = alone();
    let given = std::env::var(SEED_VARIABLE).ok();
    let given = given.map(|seed| seed.parse::<u64>().unwrap());
    let seed = given.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        let flags = rustix::rand::GetRandomFlags::empty();
        rustix::rand::getrandom(&mut bytes, flags).unwrap();
        u64::from_le_bytes(bytes)
    });
    let count = if given.is_some() { 1 } else { SEQUENCES };
    for seed in (0..count).map(|number| seed.wrapping_add(number)) {
        let place = Place::new();
        let stage = Stage::new(Setting::Values, place.path(), place.name());
        let executor = executor();
        let played = executor.block_on(sequence(&stage, &mut Random(seed)));
        assert_eq!(played, Ok(()), "again with {SEED_VARIABLE}={seed}");
    }
}

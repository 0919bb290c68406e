//! The lifecycle against a model of it that was written apart: not states and arrows, but a machine
//! that is off, boots, is up or ends, and a few things that may be true of it.

mod common;

use common::Numbers;
use virtcontainers_types::{Command, Decision, Fact, Input, SandboxState, decide};

const SEQUENCES: usize = 5000;
const LONGEST: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Machine {
    Off,
    Boots,
    Up,
    Ends,
}

/// What is so, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq)]
struct World {
    recorded: bool,
    machine: Machine,
    containers_started: bool,
    halted: bool,
    broken: bool,
}

/// What the model says of an input.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Done,
    NotNow,
    StopFirst,
}

impl World {
    const EMPTY: Self = Self {
        recorded: false,
        machine: Machine::Off,
        containers_started: false,
        halted: false,
        broken: false,
    };

    fn boot() -> Self {
        Self {
            recorded: true,
            machine: Machine::Boots,
            ..Self::EMPTY
        }
    }

    fn wreck() -> Self {
        Self {
            recorded: true,
            broken: true,
            ..Self::EMPTY
        }
    }

    fn name(self) -> Option<&'static str> {
        let name = match self.machine {
            _ if self.broken => "failed",
            Machine::Off => "stopped",
            Machine::Boots => "creating",
            Machine::Ends => "stopping",
            Machine::Up if self.halted => "paused",
            Machine::Up if self.containers_started => "running",
            Machine::Up => "ready",
        };
        self.recorded.then_some(name)
    }

    fn command(&mut self, command: Command) -> Answer {
        let up = self.recorded && self.machine == Machine::Up;
        let at_rest = self.recorded && (self.broken || self.machine == Machine::Off);
        let (allowed, next) = match command {
            Command::Create => (!self.recorded, Self::boot()),
            Command::Start if up => (
                !self.containers_started,
                Self {
                    containers_started: true,
                    ..*self
                },
            ),
            Command::Start => (at_rest && !self.broken, Self::boot()),
            Command::Pause => (
                up && self.containers_started && !self.halted,
                Self {
                    halted: true,
                    ..*self
                },
            ),
            Command::Resume => (
                up && self.halted,
                Self {
                    halted: false,
                    ..*self
                },
            ),
            Command::Stop if at_rest => (true, *self),
            Command::Stop => (
                self.recorded,
                Self {
                    machine: Machine::Ends,
                    ..*self
                },
            ),
            Command::Delete if up && (self.halted || !self.containers_started) => {
                return Answer::StopFirst;
            }
            Command::Delete => (at_rest, Self::EMPTY),
        };
        if !allowed {
            return Answer::NotNow;
        }
        *self = next;
        Answer::Done
    }

    fn fact(&mut self, fact: Fact) {
        let alive = self.recorded && !self.broken;
        match (fact, self.machine) {
            (Fact::BootDone, Machine::Boots) if alive => self.machine = Machine::Up,
            (Fact::MachineExited, Machine::Ends) if alive => {
                *self = Self {
                    recorded: true,
                    ..Self::EMPTY
                };
            }
            (Fact::BootFailed, Machine::Boots)
            | (Fact::MachineExited, Machine::Boots | Machine::Up)
            | (Fact::StopFailed, Machine::Ends)
                if alive =>
            {
                *self = Self::wreck();
            }
            _ => {}
        }
    }
}

/// The state after a decision, which keeps what it does not change.
fn follow(state: Option<SandboxState>, decision: Decision) -> Option<SandboxState> {
    match decision {
        Decision::Become(next) => Some(next),
        Decision::Remove => None,
        Decision::Stay | Decision::StopFirst | Decision::Refuse { .. } => state,
    }
}

fn answer(decision: Decision) -> Answer {
    match decision {
        Decision::Become(_) | Decision::Stay | Decision::Remove => Answer::Done,
        Decision::StopFirst => Answer::StopFirst,
        Decision::Refuse { .. } => Answer::NotNow,
    }
}

#[test]
fn random_commands_and_facts() {
    let mut numbers = Numbers::new();
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..SEQUENCES {
        let (mut world, mut state, mut history) = (World::EMPTY, None, Vec::new());
        for _ in 0..1 + numbers.below(LONGEST) {
            // Commands and facts alike, or most sequences would stay in a failed state.
            let input = match numbers.below(2) {
                0 => Input::Command(numbers.pick(&Command::ALL)),
                _ => Input::Fact(numbers.pick(&Fact::ALL)),
            };
            history.push(input);
            let decision = decide(state, input);
            let expected = match input {
                Input::Command(command) => world.command(command),
                Input::Fact(fact) => {
                    world.fact(fact);
                    Answer::Done
                }
            };
            state = follow(state, decision);
            assert_eq!(answer(decision), expected, "{history:?}");
            assert_eq!(state.map(SandboxState::as_str), world.name(), "{history:?}");
            met.insert(format!("{:?} {input:?}", world.name()));
        }
    }
    // No record and seven states, ten inputs each, but not all can be the end of a step.
    assert!(met.len() > 50, "only {} ends of a step were met", met.len());
}

#[test]
fn every_sandbox_can_be_removed() {
    for state in SandboxState::ALL {
        let mut now = Some(state);
        for input in [
            Input::Command(Command::Stop),
            Input::Fact(Fact::MachineExited),
            Input::Command(Command::Delete),
        ] {
            now = follow(now, decide(now, input));
        }
        assert_eq!(now, None, "{state}");
    }
}

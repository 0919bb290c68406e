//! Calls: who succeeded did what was asked, who was refused could be refused.

use std::collections::BTreeMap;
use std::time::Duration;

use virtcontainers::types::{ContainerState, Operation, SandboxState, check as allowed};

use super::{Findings, Promise};
use crate::history::{Call, Ending, Event, Line, Seen, Timeline, Verb};

/// One call with everything that happened during it.
struct Told<'a> {
    call: &'a Call,
    name: String,
    from: u64,
    to: u64,
    ending: Option<&'a Ending>,
    trace: Vec<&'a Line>,
}

pub(super) fn check(
    lines: &[Line],
    timeline: &Timeline,
    promise: Promise,
    findings: &mut Findings,
) {
    let calls = collect(lines);
    for told in &calls {
        let verb = format!("{:?}", told.call.verb);
        let Some(ending) = told.ending else {
            findings.problem(format!("{} never ended", told.name));
            continue;
        };
        let took = Duration::from_nanos(told.to - told.from);
        let longest = findings.longest.entry(verb.clone()).or_default();
        *longest = took.max(*longest);
        if took > promise.call {
            findings.problem(format!("{} took {took:?}", told.name));
        }
        let problem = match ending {
            Ending::Done { .. } => {
                findings.count(format!("{verb} done"));
                told.undone(timeline)
            }
            Ending::Refused { kind, message } => {
                findings.count(format!("{verb} refused: {kind}"));
                let refusable = told.could_be_refused(kind, took, promise, timeline, &calls);
                (!refusable).then(|| format!("was refused, and could not be ({kind}): {message}"))
            }
        };
        if let Some(problem) = problem {
            let trace: Vec<String> = told.trace.iter().map(|line| told_short(line)).collect();
            findings.problem(format!("{}: {problem}; {}", told.name, trace.join(", ")));
        }
    }
}

fn told_short(line: &Line) -> String {
    let short = |seen: &Seen| format!("{} {} {:?}", seen.generation, seen.state, seen.containers);
    match &line.event {
        Event::Read(seen) => format!("read {}", short(seen)),
        Event::Wrote { by, seen } => format!("wrote for {by} {}", short(seen)),
        Event::Missed => "found nothing".to_owned(),
        Event::Removed(_) => "removed it".to_owned(),
        Event::Began(_) | Event::Ended(_) => String::new(),
    }
}

fn collect(lines: &[Line]) -> Vec<Told<'_>> {
    let mut calls: BTreeMap<(u32, u64), Told<'_>> = BTreeMap::new();
    for line in lines {
        let Some(number) = line.call else { continue };
        let key = (line.process, number);
        match &line.event {
            Event::Began(call) => {
                let told = Told {
                    call,
                    name: format!("{} {number} {call:?}", line.process),
                    from: line.from,
                    to: line.to,
                    ending: None,
                    trace: Vec::new(),
                };
                calls.insert(key, told);
            }
            Event::Ended(ending) => {
                if let Some(told) = calls.get_mut(&key) {
                    told.to = line.to;
                    told.ending = Some(ending);
                }
            }
            Event::Read(_) | Event::Missed | Event::Wrote { .. } | Event::Removed(_) => {
                if let Some(told) = calls.get_mut(&key) {
                    told.trace.push(line);
                }
            }
        }
    }
    calls.into_values().collect()
}

impl<'a> Told<'a> {
    fn seen(&self) -> impl Iterator<Item = &'a Seen> {
        self.trace.iter().filter_map(|line| match &line.event {
            Event::Read(seen) | Event::Wrote { seen, .. } => Some(seen),
            _ => None,
        })
    }

    fn wrote(&self) -> impl Iterator<Item = &'a Seen> {
        self.trace.iter().filter_map(|line| match &line.event {
            Event::Wrote { seen, .. } => Some(seen),
            _ => None,
        })
    }

    fn allows(&self, operation: Operation, seen: Option<&Seen>) -> bool {
        let container = self.call.container.as_ref();
        // The sandbox's first container, for what is about one.
        let state = seen.and_then(|seen| match container {
            Some(_) => seen.container(container),
            None => seen.containers.values().next().copied(),
        });
        allowed(operation, seen.map(|seen| seen.state), state).is_ok()
    }

    /// Why a call that succeeded has not done what was asked.
    fn undone(&self, timeline: &Timeline) -> Option<String> {
        if let Some(Ending::Done {
            generation: Some(generation),
            state,
        }) = self.ending
        {
            let named = |seen: &&Seen| seen.generation == *generation && Some(seen.state) == *state;
            if self.seen().find(named).is_none() {
                return Some(format!("tells of generation {generation}, {state:?}"));
            }
        }
        let during = timeline.during(self.from, self.to);
        let may_begin = match (self.call.verb, self.call.verb.operation()) {
            // With SIGKILL what is gone already is a success, and force is force.
            (Verb::Kill, _) | (_, None) => true,
            (Verb::Delete, _) if self.call.force => true,
            (Verb::Create, Some(operation)) => {
                during.iter().any(|seen| self.allows(operation, *seen))
            }
            (_, Some(operation)) => self.seen().any(|seen| self.allows(operation, Some(seen))),
        };
        if !may_begin {
            return Some("was done in a state that does not allow it".to_owned());
        }
        (!self.has_effect(timeline)).then(|| "was done and has no effect".to_owned())
    }

    fn has_effect(&self, timeline: &Timeline) -> bool {
        let call = self.call;
        let container = call.container.as_ref();
        let became = |state| self.wrote().last().is_some_and(|seen| seen.state == state);
        match call.verb {
            Verb::Create => became(SandboxState::Ready),
            Verb::Start => became(SandboxState::Running),
            Verb::Pause => became(SandboxState::Paused),
            Verb::Resume => became(SandboxState::Running),
            Verb::Stop => {
                let stopped = |seen: &Seen| {
                    matches!(seen.state, SandboxState::Stopped | SandboxState::Failed)
                };
                self.seen().last().is_some_and(stopped)
            }
            Verb::Delete => {
                let mut trace = self.trace.iter();
                trace.any(|line| matches!(line.event, Event::Removed(_)))
            }
            Verb::Annotate => self.is_kept(timeline),
            Verb::CreateContainer => {
                let there = |seen: &Seen| seen.container(container).is_some();
                self.wrote().last().is_some_and(there)
            }
            Verb::StartContainer => {
                let runs = |seen: &Seen| seen.container(container) == Some(ContainerState::Running);
                self.wrote().last().is_some_and(runs)
            }
            Verb::StopContainer => {
                let stopped =
                    |seen: &Seen| seen.container(container) == Some(ContainerState::Stopped);
                self.seen().last().is_some_and(stopped)
            }
            Verb::DeleteContainer => {
                let gone = |seen: &Seen| seen.container(container).is_none();
                self.wrote().last().is_some_and(gone)
            }
            Verb::Status | Verb::List | Verb::Kill | Verb::Exec | Verb::Recover => true,
        }
    }

    /// An annotation that was acknowledged is in every record from then on.
    fn is_kept(&self, timeline: &Timeline) -> bool {
        let Some((key, value)) = &self.call.annotation else {
            return false;
        };
        let holds = |seen: &Seen| {
            let held = seen.annotations.get(key).and_then(|held| held.parse().ok());
            held.is_some_and(|held: u64| held >= *value)
        };
        let Some(own) = self.wrote().find(|seen| holds(seen)) else {
            return false;
        };
        let life = timeline.life(own.incarnation());
        life.is_some_and(|life| {
            let mut later = life.writes.iter().map(|write| &write.seen);
            later.all(|seen| seen.generation < own.generation || holds(seen))
        })
    }

    /// Whether a state that there was during the call refuses it, or its lock was held throughout.
    fn could_be_refused(
        &self,
        kind: &str,
        took: Duration,
        promise: Promise,
        timeline: &Timeline,
        calls: &[Told<'_>],
    ) -> bool {
        if ![
            "wrong-state",
            "not-found",
            "already-exists",
            "gone",
            "timeout",
        ]
        .contains(&kind)
        {
            return false;
        }
        // Done, and said not to be.
        if self.wrote().next().is_some() && self.has_effect(timeline) {
            return false;
        }
        if kind == "timeout" && took >= promise.lock {
            return true;
        }
        let Some(operation) = self.call.verb.operation() else {
            return false;
        };
        let during = timeline.during(self.from, self.to);
        let refused = during.iter().any(|seen| !self.allows(operation, *seen));
        match self.call.verb {
            Verb::Create => refused || self.overlaps(calls, &[Verb::Create]),
            // The guest knows of a container's end before the record tells of it.
            Verb::Start | Verb::Exec | Verb::StartContainer | Verb::StopContainer | Verb::Kill => {
                let ends = [Verb::Kill, Verb::StopContainer, Verb::DeleteContainer];
                refused || self.follows(calls, &ends)
            }
            // They hold the lock: what they read there is what refuses them.
            _ => match self.seen().last() {
                Some(seen) => !self.allows(operation, Some(seen)),
                None => during.contains(&None),
            },
        }
    }

    fn overlaps(&self, calls: &[Told<'_>], verbs: &[Verb]) -> bool {
        calls.iter().any(|other| {
            let apart = other.to < self.from || self.to < other.from;
            other.name != self.name && verbs.contains(&other.call.verb) && !apart
        })
    }

    /// Whether the end of the same container was asked for, not long before; of any, for a call that
    /// is about all.
    fn follows(&self, calls: &[Told<'_>], verbs: &[Verb]) -> bool {
        calls.iter().any(|other| {
            let container = &self.call.container;
            let same = container.is_none() || other.call.container == *container;
            let before = other.from <= self.to && other.to + 1_000_000_000 >= self.from;
            same && before && other.name != self.name && verbs.contains(&other.call.verb)
        })
    }
}

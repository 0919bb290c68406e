//! The points: a counter that all decorators share, and what happens when it comes to its target.

use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// What happens at the point that was aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// The effect fails: it did not happen, or it did and its answer was lost.
    Fail,
    /// This effect fails, and so does every one after it: the disk is full.
    Collapse,
    /// Whoever drives the operation drops its future here.
    Cancel,
    /// The process gets SIGKILL.
    Kill,
}

impl Blow {
    /// The word for it, lowercase.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Collapse => "collapse",
            Self::Cancel => "cancel",
            Self::Kill => "kill",
        }
    }
}

impl Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Numbered points, one before and one after each effect. Clones share the count.
///
/// Until they are aimed, and after they were rested, all effects pass and none is counted.
#[derive(Debug, Clone, Default)]
pub struct Points(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    drop: watch::Sender<Dropping>,
}

#[derive(Debug, Default)]
struct State {
    aim: Option<(Target, Blow)>,
    passed: u64,
    hit: Option<String>,
    /// The thread that polls the operation; it must not block.
    driver: Option<ThreadId>,
}

/// On which side of an effect a point is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Before,
    After,
}

impl Side {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

impl Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which point is meant.
#[derive(Debug, Clone, Copy)]
enum Target {
    Number(u64),
    Point(&'static str),
}

/// How far a cancellation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Dropping {
    #[default]
    Unwanted,
    Wanted,
    Done,
}

impl Points {
    /// Points that let everything pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on the points are counted from 1, and `blow` falls at the one with this number.
    pub fn aim(&self, number: u64, blow: Blow) {
        self.set(Target::Number(number), blow);
    }

    /// As [`aim`](Self::aim), at the first point with this name, such as `after kill_all`.
    pub fn aim_at(&self, point: &'static str, blow: Blow) {
        self.set(Target::Point(point), blow);
    }

    fn set(&self, target: Target, blow: Blow) {
        *self.state() = State {
            aim: Some((target, blow)),
            ..State::default()
        };
        self.0.drop.send_replace(Dropping::Unwanted);
    }

    /// From now on everything passes again. Gives the point at which the blow fell, if it did.
    pub fn rest(&self) -> Option<String> {
        let mut state = self.state();
        state.aim = None;
        state.hit.clone()
    }

    /// Carries an operation out, unless its future is to be dropped meanwhile: then `None`.
    ///
    /// On a runtime of one thread the operation is dropped as soon as it yields after the point was
    /// reached; what runs on another thread or in another task goes on from the point after that.
    pub async fn drive<T>(&self, operation: impl Future<Output = T>) -> Option<T> {
        self.state().driver = Some(std::thread::current().id());
        let mut dropped = self.0.drop.subscribe();
        let driven = tokio::select! {
            biased;
            _ = dropped.wait_for(|drop| *drop == Dropping::Wanted) => None,
            done = operation => Some(done),
        };
        // The operation, which was moved into the select, is dropped by now.
        self.0.drop.send_replace(Dropping::Done);
        driven
    }

    /// A point in code that cannot wait.
    pub(super) fn pass(&self, side: Side, effect: &str) -> Result<(), String> {
        match self.count(side, effect) {
            None => Ok(()),
            Some(Blow::Fail | Blow::Collapse) => Err(format!("struck {side} {effect}")),
            Some(Blow::Kill) => die(),
            Some(Blow::Cancel) => {
                self.0.drop.send_replace(Dropping::Wanted);
                let driver = self.state().driver;
                if driver != Some(std::thread::current().id())
                    && let Ok(runtime) = Handle::try_current()
                {
                    runtime.block_on(self.dropped());
                }
                Ok(())
            }
        }
    }

    /// A point in code that can wait.
    pub(super) async fn pass_waiting(&self, side: Side, effect: &str) -> Result<(), String> {
        match self.count(side, effect) {
            None => Ok(()),
            Some(Blow::Fail | Blow::Collapse) => Err(format!("struck {side} {effect}")),
            Some(Blow::Kill) => die(),
            Some(Blow::Cancel) => {
                self.0.drop.send_replace(Dropping::Wanted);
                self.dropped().await;
                Ok(())
            }
        }
    }

    /// An effect between two points. One that failed by itself has no second.
    pub(super) fn around<T, E>(
        &self,
        effect: &str,
        act: impl FnOnce() -> Result<T, E>,
        error: impl Fn(String) -> E,
    ) -> Result<T, E> {
        self.pass(Side::Before, effect).map_err(&error)?;
        let done = act()?;
        self.pass(Side::After, effect).map_err(&error)?;
        Ok(done)
    }

    /// The same for an effect that is waited for.
    pub(super) async fn around_waiting<T, E>(
        &self,
        effect: &str,
        act: impl Future<Output = Result<T, E>>,
        error: impl Fn(String) -> E,
    ) -> Result<T, E> {
        let before = self.pass_waiting(Side::Before, effect).await;
        before.map_err(&error)?;
        let done = act.await?;
        let after = self.pass_waiting(Side::After, effect).await;
        after.map_err(&error)?;
        Ok(done)
    }

    async fn dropped(&self) {
        let mut dropped = self.0.drop.subscribe();
        // The sender lives as long as the points.
        drop(dropped.wait_for(|drop| *drop != Dropping::Wanted).await);
    }

    fn count(&self, side: Side, effect: &str) -> Option<Blow> {
        let mut state = self.state();
        let (target, blow) = state.aim?;
        state.passed += 1;
        let there = match target {
            Target::Number(number) if blow == Blow::Collapse => state.passed >= number,
            Target::Number(number) => state.passed == number,
            Target::Point(point) => {
                let point = point.split_once(' ');
                state.hit.is_none() && point == Some((side.as_str(), effect))
            }
        };
        if !there {
            return None;
        }
        state.hit.get_or_insert_with(|| format!("{side} {effect}"));
        Some(blow)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere must still be able to look at what happened.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the process as nothing can catch it.
fn die() -> ! {
    loop {
        // It cannot fail for our own process.
        kill_process(getpid(), Signal::KILL).unwrap_or_default();
        std::thread::park();
    }
}

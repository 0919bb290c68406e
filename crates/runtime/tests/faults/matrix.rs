//! Every operation with every fault at every point.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::yield_now;
use virtcontainers_testkit::fault::Blow;
use virtcontainers_testkit::inventory::Inventory;

use crate::act::Act;
use crate::aftermath::{at_last, check, text};
use crate::alone;
use crate::child::{self, Victim, executor};
use crate::place::Place;
use crate::stage::{Setting, Stage};
use crate::table::{Row, show};

/// A case that takes longer hangs.
const HANGS: Duration = Duration::from_secs(60);
/// An operation with more points than these never ends.
const MOST_POINTS: u64 = 500;
/// After these it is not looked for more.
const MOST_WRONG: usize = 50;
/// After so many deaths in a row that nobody saw, the supervisor ends before it comes to the point.
const MOST_UNSEEN: u64 = 40;
/// The environment variable with the one operation to try, for whoever looks for a fault.
const ONLY_VARIABLE: &str = "VC_FAULTS_ONLY";

/// The case ends, and so do all tasks of it.
async fn within<T>(case: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let whole = async {
        let done = case.await?;
        while Handle::current().metrics().num_alive_tasks() > 0 {
            yield_now().await;
        }
        Ok(done)
    };
    match tokio::time::timeout(HANGS, whole).await {
        Ok(done) => done,
        Err(_) => {
            let alive = Handle::current().metrics().num_alive_tasks();
            Err(format!("it hangs, {alive} tasks are alive"))
        }
    }
}

/// The host is as it was, at the latest when threads that waited for a lock have let it go.
async fn same(stage: &Stage, before: &Inventory) -> Result<(), String> {
    at_last(async || {
        let changed = stage.inventory().compared_with(before);
        match changed.is_empty() {
            true => Ok(()),
            false => Err(changed.join("; ")),
        }
    })
    .await
}

/// Plays one case in this process. Says whether the blow fell.
fn play(act: Act, setting: Setting, number: u64, blow: Blow) -> Result<bool, String> {
    let place = Place::new();
    let stage = Stage::new(setting, place.path(), place.name());
    let executor = executor();
    let struck = executor.block_on(async {
        let before = stage.inventory();
        let mut hit = None;
        let played = within(async {
            let runtime = stage.runtime();
            let prepared = act.prepare(&stage, &runtime).await;
            prepared.map_err(|error| format!("prepare: {}", text(&error)))?;
            stage.points.aim(number, blow);
            let played = stage.points.drive(act.play(&stage, &runtime)).await;
            hit = stage.points.rest();
            if let (None, Some(Err(error))) = (&hit, &played) {
                return Err(format!("it failed by itself: {}", text(error)));
            }
            check(&stage, act).await
        });
        let played = played.await;
        let at = hit.clone().unwrap_or_else(|| "its end".to_owned());
        let told = |error: String| format!("{act}, {blow} at {number} ({at}): {error}");
        played.map_err(&told)?;
        same(&stage, &before).await.map_err(told)?;
        Ok(hit.is_some())
    });
    executor.shutdown_timeout(HANGS);
    struck
}

/// Plays one case in a process that is killed. Says whether it was.
fn play_killed(act: Act, setting: Setting, number: u64) -> Result<bool, String> {
    let place = Place::new();
    let stage = Stage::new(setting, place.path(), place.name());
    let executor = executor();
    let told = |error: String| format!("{act}, kill at {number} in {setting:?}: {error}");
    let killed = executor.block_on(async {
        let before = stage.inventory();
        let victim = Victim {
            act,
            setting,
            base: place.path().to_owned(),
            name: place.name().to_owned(),
            number,
        };
        let killed = child::run(&victim)?;
        within(check(&stage, act)).await?;
        same(&stage, &before).await?;
        Ok(killed)
    });
    executor.shutdown_timeout(HANGS);
    killed.map_err(told)
}

/// Plays a sandbox's life, whose supervisor's process is killed. Says whether that was seen: at its
/// very end nobody needs it any more.
fn play_supervised(number: u64) -> Result<bool, String> {
    let place = Place::new();
    let mut stage = Stage::new(Setting::Processes, place.path(), place.name());
    stage.supervisor_dies_at = Some(number);
    let executor = executor();
    let told = |error: String| format!("the supervisor dies at {number}: {error}");
    let seen = executor.block_on(async {
        let before = stage.inventory();
        let mut lived = Ok(());
        let whole = within(async {
            lived = Act::Life.play(&stage, &stage.runtime()).await;
            stage.supervisor_dies_at = None;
            check(&stage, Act::Life).await
        });
        let checked = whole.await;
        checked.map_err(|error| format!("{error}, after {lived:?}"))?;
        same(&stage, &before).await?;
        Ok(lived.is_err())
    });
    executor.shutdown_timeout(HANGS);
    seen.map_err(told)
}

/// Goes through all points of some operations. Fails at the end, with everything that was wrong.
fn go_through(name: &str, acts: &[Act], setting: Setting, blow: Blow) {
    let _alone = alone();
    let only = std::env::var(ONLY_VARIABLE).ok();
    let mut wrong = Vec::new();
    let wanted = |act: &&Act| only.as_ref().is_none_or(|only| *only == act.to_string());
    let rows: Vec<Row> = acts
        .iter()
        .filter(wanted)
        .map(|act| all_points(*act, setting, blow, &mut wrong))
        .collect();
    show(name, &rows);
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{count} cases are wrong:\n{}",
        wrong.join("\n")
    );
}

/// Plays an operation until it ends before it reaches the point.
fn all_points(act: Act, setting: Setting, blow: Blow, wrong: &mut Vec<String>) -> Row {
    let begun = Instant::now();
    let mut points = 0;
    while points < MOST_POINTS {
        let number = points + 1;
        let struck = match blow {
            Blow::Kill => play_killed(act, setting, number),
            Blow::Fail | Blow::Collapse | Blow::Cancel => play(act, setting, number, blow),
        };
        match struck {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                eprintln!("{error}");
                wrong.push(error);
                if wrong.len() > MOST_WRONG {
                    break;
                }
            }
        }
        points = number;
    }
    Row {
        act,
        blow,
        setting,
        points,
        took: begun.elapsed(),
    }
}

#[test]
fn an_effect_that_fails_leaves_nothing() {
    go_through("fail", &Act::ALL, Setting::Values, Blow::Fail);
}

#[test]
fn a_disk_that_is_full_from_then_on_leaves_nothing_once_it_is_not() {
    go_through("collapse", &Act::ALL, Setting::Values, Blow::Collapse);
}

#[test]
fn a_caller_that_gives_up_leaves_nothing() {
    go_through("cancel", &Act::ALL, Setting::Values, Blow::Cancel);
}

#[test]
fn a_process_that_is_killed_leaves_nothing() {
    go_through("kill", &Act::ALL, Setting::Values, Blow::Kill);
}

#[test]
fn shared_directories_and_namespaces_are_taken_back_after_a_failure() {
    go_through("fail-shared", &Act::SHARING, Setting::Shared, Blow::Fail);
}

#[test]
fn shared_directories_and_namespaces_are_taken_back_after_a_cancellation() {
    go_through(
        "cancel-shared",
        &Act::SHARING,
        Setting::Shared,
        Blow::Cancel,
    );
}

#[test]
fn shared_directories_and_namespaces_are_taken_back_after_a_death() {
    go_through("kill-shared", &Act::SHARING, Setting::Shared, Blow::Kill);
}

#[test]
fn what_survives_its_caller_is_adopted_or_undone() {
    go_through(
        "kill-caller",
        Act::OF_CALLERS,
        Setting::Processes,
        Blow::Kill,
    );
}

#[test]
fn a_supervisor_may_die_at_any_time() {
    let _alone = alone();
    let begun = Instant::now();
    let mut wrong = Vec::new();
    let (mut number, mut unseen) = (0, 0);
    while unseen < MOST_UNSEEN && number < MOST_POINTS && wrong.len() < MOST_WRONG {
        number += 1;
        match play_supervised(number) {
            Ok(true) => unseen = 0,
            Ok(false) => unseen += 1,
            Err(error) => {
                eprintln!("{error}");
                wrong.push(error);
            }
        }
    }
    let row = Row {
        act: Act::Life,
        blow: Blow::Kill,
        setting: Setting::Processes,
        points: number - unseen,
        took: begun.elapsed(),
    };
    show("kill-supervisor", &[row]);
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{count} cases are wrong:\n{}",
        wrong.join("\n")
    );
}

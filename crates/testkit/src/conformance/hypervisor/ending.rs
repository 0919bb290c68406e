//! What a machine promises about its end.

use std::time::Duration;

use virtcontainers_process::Identity;

use super::polls::drop_after;
use super::stage::{Stage, done};
use super::{Harness, Promise};
use crate::conformance::ensure;

type Checked = Result<(), String>;

const AMPLE: Duration = Duration::from_secs(30);

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "a-shutdown-leaves-nothing",
        sentence: "A shutdown ends the machine and returns when all of it is gone.",
        needs: &[],
        check: |harness| Box::pin(shutdown(harness)),
    },
    Promise {
        name: "a-late-shutdown-kills",
        sentence: "A shutdown kills the monitor when the deadline passes.",
        needs: &[],
        check: |harness| Box::pin(late(harness)),
    },
    Promise {
        name: "a-shutdown-of-what-ended-succeeds",
        sentence: "A shutdown succeeds on a machine that is gone.",
        needs: &[],
        check: |harness| Box::pin(shutdown_of_ended(harness)),
    },
    Promise {
        name: "a-dropped-shutdown-can-be-repeated",
        sentence: "A shutdown whose future was dropped is called again and completes.",
        needs: &[],
        check: |harness| Box::pin(dropped_shutdown(harness)),
    },
    Promise {
        name: "a-kill-ends-the-machine",
        sentence: "A kill ends the monitor and its helpers.",
        needs: &[],
        check: |harness| Box::pin(kill(harness)),
    },
    Promise {
        name: "a-kill-of-what-ended-succeeds",
        sentence: "A kill succeeds on a machine that is gone.",
        needs: &[],
        check: |harness| Box::pin(kill_of_ended(harness)),
    },
    Promise {
        name: "the-end-is-told",
        sentence: "A wait resolves when the monitor ends, and says what ended and how.",
        needs: &[],
        check: |harness| Box::pin(told(harness)),
    },
    Promise {
        name: "all-are-told-the-same-end",
        sentence: "Several callers may wait; all get the same answer, later ones at once.",
        needs: &[],
        check: |harness| Box::pin(told_to_all(harness)),
    },
];

async fn shutdown(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    done("the shutdown", machine.shutdown(AMPLE).await)?;
    stage.nothing_is_left()
}

async fn late(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let ended = machine.shutdown(Duration::ZERO).await;
    done("the shutdown without patience", ended)?;
    stage.nothing_is_left()
}

async fn shutdown_of_ended(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start_and_crash().await?;
    done("the shutdown", machine.shutdown(AMPLE).await)?;
    done("the second shutdown", machine.shutdown(AMPLE).await)?;
    stage.nothing_is_left()
}

async fn dropped_shutdown(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    for polls in 1..4 {
        drop(drop_after(polls, machine.shutdown(AMPLE)).await);
    }
    done("the shutdown", machine.shutdown(AMPLE).await)?;
    stage.nothing_is_left()
}

async fn kill(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let processes = machine.processes();
    done("the kill", machine.kill())?;
    machine.wait().await;
    for process in processes {
        let process = Identity {
            pid: process.pid,
            start_time: process.start_time,
        };
        let gone = process.wait_gone(AMPLE).await;
        gone.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn kill_of_ended(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start_and_crash().await?;
    done("the kill", machine.kill())?;
    done("the second kill", machine.kill())
}

async fn told(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start_and_crash().await?;
    let exit = machine.wait().await;
    ensure!(
        !exit.program.is_empty() && !exit.reason.is_empty(),
        "the end is told as {exit:?}"
    );
    Ok(())
}

async fn told_to_all(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let crash = async { stage.crash() };
    let (one, two, crashed) = tokio::join!(machine.wait(), machine.wait(), crash);
    crashed?;
    let late = machine.wait().await;
    ensure!(
        one == two && two == late,
        "three are told {one:?}, {two:?} and {late:?}"
    );
    Ok(())
}

//! What an agent promises about processes.

use virtcontainers_agent::{AgentPort, ErrorKind, OutputStream};
use virtcontainers_types::ExitStatus;

use super::Promise;
use super::request::{ONE, done, exec, id, init, process, refused, running};
use crate::conformance::{Ability, Need, ensure};

type Checked = Result<(), String>;

const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;
/// A status above this tells of a signal.
const KILLED: i32 = 128;

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "the-status-is-told",
        sentence: "Waiting for a process gives the status that it ended with.",
        needs: &[],
        check: |port| Box::pin(status(port)),
    },
    Promise {
        name: "the-status-is-kept",
        sentence: "The status is kept, so that a repetition of the wait gives the same.",
        needs: &[],
        check: |port| Box::pin(kept(port)),
    },
    Promise {
        name: "a-stranger-is-not-waited-for",
        sentence: "Waiting for a process that the agent does not know is not found.",
        needs: &[],
        check: |port| Box::pin(stranger(port)),
    },
    Promise {
        name: "a-signal-ends-a-process",
        sentence: "A signal is sent to one process.",
        needs: &[],
        check: |port| Box::pin(signal(port)),
    },
    Promise {
        name: "a-signal-to-what-ended-succeeds",
        sentence: "A signal to a process that has ended already is success.",
        needs: &[],
        check: |port| Box::pin(signal_to_ended(port)),
    },
    Promise {
        name: "a-kill-reaches-all",
        sentence: "A kill of all reaches every process of the container.",
        needs: &[],
        check: |port| Box::pin(kill_all(port)),
    },
    Promise {
        name: "an-exec-runs-at-once",
        sentence: "One more process is started in a container, at once.",
        needs: &[],
        check: |port| Box::pin(exec_runs(port)),
    },
    Promise {
        name: "a-missing-program-is-told",
        sentence: "An exec of a program that is not there is told apart from other failures.",
        needs: &[Need::Has(Ability::Programs)],
        check: |port| Box::pin(missing(port)),
    },
];

fn is(found: ExitStatus, wanted: i32) -> Checked {
    ensure!(
        found == ExitStatus(wanted),
        "the status is {found:?}, not {wanted}"
    );
    Ok(())
}

async fn status(port: &dyn AgentPort) -> Checked {
    running(port, "exit-3", false).await?;
    is(done("the wait", port.wait_process(&init()?).await)?, 3)
}

async fn kept(port: &dyn AgentPort) -> Checked {
    running(port, "exit-3", false).await?;
    let first = done("the wait", port.wait_process(&init()?).await)?;
    let second = done("the second wait", port.wait_process(&init()?).await)?;
    ensure!(first == second, "{first:?} is told, then {second:?}");
    Ok(())
}

async fn stranger(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let waited = port.wait_process(&exec("nobody")?).await;
    refused("waiting for nobody", waited, ErrorKind::NotFound)
}

async fn signal(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    done("the signal", port.signal_process(&init()?, SIGTERM).await)?;
    let status = done("the wait", port.wait_process(&init()?).await)?;
    is(status, KILLED + SIGTERM.cast_signed())
}

/// The end of its output tells that it ended; nobody has waited for it yet.
async fn signal_to_ended(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let short = exec("short")?;
    let started = port.exec_process(&short, process("true", false)).await;
    done("the exec", started)?;
    let read = port.read_output(&short, OutputStream::Stdout, 4096).await;
    let read = done("the read", read)?;
    ensure!(read.is_none(), "{read:?} is read");
    done("the signal", port.signal_process(&short, SIGTERM).await)
}

async fn kill_all(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let other = exec("other")?;
    let started = port.exec_process(&other, process("block", false)).await;
    done("the exec", started)?;
    done("the kill", port.kill_all(&id(ONE)?).await)?;
    for process in [other, init()?] {
        let status = done("the wait", port.wait_process(&process).await)?;
        is(status, KILLED + SIGKILL.cast_signed())?;
    }
    Ok(())
}

async fn exec_runs(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let other = exec("other")?;
    let started = port.exec_process(&other, process("exit-3", false)).await;
    done("the exec", started)?;
    is(done("the wait", port.wait_process(&other).await)?, 3)
}

async fn missing(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let started = port
        .exec_process(&exec("other")?, process("missing", false))
        .await;
    match started {
        Ok(()) => Err("a program that is not there runs".to_owned()),
        Err(error) => {
            ensure!(
                error.is_program_not_found(),
                "it is not told that the program is missing: {error}"
            );
            Ok(())
        }
    }
}

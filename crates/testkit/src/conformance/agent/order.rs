//! What an agent promises about the order of calls.

use std::time::Duration;

use virtcontainers_agent::{AgentPort, ErrorKind};

use super::Promise;
use super::request::{
    ONE, container, created, done, exec, id, init, process, refused, running, sandbox,
};
use crate::conformance::ensure;

type Checked = Result<(), String>;

const SIGKILL: u32 = 9;

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "the-agent-serves",
        sentence: "An agent that is asked whether it serves says so, and says who it is.",
        needs: &[],
        check: |port| Box::pin(serves(port)),
    },
    Promise {
        name: "a-sandbox-is-created-once",
        sentence: "The sandbox is created once in a guest's life; a repetition is a wrong state.",
        needs: &[],
        check: |port| Box::pin(one_sandbox(port)),
    },
    Promise {
        name: "a-container-id-is-used-once",
        sentence: "An id that has been used exists already; a repetition kills nothing.",
        needs: &[],
        check: |port| Box::pin(one_container(port)),
    },
    Promise {
        name: "a-container-starts-once",
        sentence: "A second start is a wrong state.",
        needs: &[],
        check: |port| Box::pin(one_start(port)),
    },
    Promise {
        name: "an-exec-id-is-used-once",
        sentence: "An exec id that is in use exists already.",
        needs: &[],
        check: |port| Box::pin(one_exec(port)),
    },
    Promise {
        name: "a-removed-container-is-forgotten",
        sentence: "Removing forgets a container.",
        needs: &[],
        check: |port| Box::pin(removed(port)),
    },
    Promise {
        name: "a-container-is-paused-and-resumed",
        sentence: "A container is frozen and thawed.",
        needs: &[],
        check: |port| Box::pin(paused(port)),
    },
    Promise {
        name: "no-random-data-is-refused",
        sentence: "Data for the random number generator must not be empty.",
        needs: &[],
        check: |port| Box::pin(no_random_data(port)),
    },
    Promise {
        name: "the-sandbox-is-destroyed",
        sentence: "Destroying the sandbox ends all containers.",
        needs: &[],
        check: |port| Box::pin(destroyed(port)),
    },
];

async fn serves(port: &dyn AgentPort) -> Checked {
    done("the check", port.check().await)?;
    let version = done("the version", port.version().await)?;
    ensure!(!version.protocol.is_empty(), "no protocol is named");
    Ok(())
}

async fn one_sandbox(port: &dyn AgentPort) -> Checked {
    sandbox(port).await?;
    let again = port.create_sandbox(Default::default()).await;
    refused("a second creation", again, ErrorKind::WrongState)
}

async fn one_container(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let again = port.create_container(container("true", false)).await;
    refused("a second creation", again, ErrorKind::AlreadyExists)?;
    let signalled = port.signal_process(&init()?, 0).await;
    done("a signal to the first", signalled)
}

async fn one_start(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let again = port.start_container(&id(ONE)?).await;
    refused("a second start", again, ErrorKind::WrongState)
}

async fn one_exec(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let one = exec("e1")?;
    let first = port.exec_process(&one, process("block", false)).await;
    done("the first exec", first)?;
    let again = port.exec_process(&one, process("block", false)).await;
    refused("a second exec", again, ErrorKind::AlreadyExists)
}

async fn removed(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let killed = port.signal_process(&init()?, SIGKILL).await;
    done("the kill", killed)?;
    done("the wait", port.wait_process(&init()?).await)?;
    let (id, limit) = (id(ONE)?, Duration::from_secs(5));
    done("the removal", port.remove_container(&id, limit).await)?;
    let again = port.remove_container(&id, limit).await;
    ensure!(again.is_err(), "it is removed twice");
    Ok(())
}

async fn paused(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    done("the pause", port.pause_container(&id(ONE)?).await)?;
    done("the resume", port.resume_container(&id(ONE)?).await)
}

async fn no_random_data(port: &dyn AgentPort) -> Checked {
    let fed = port.reseed_random_dev(Vec::new()).await;
    refused("feeding nothing", fed, ErrorKind::Invalid)
}

async fn destroyed(port: &dyn AgentPort) -> Checked {
    created(port, "block").await?;
    done("the destruction", port.destroy_sandbox().await)?;
    let started = port.start_container(&id(ONE)?).await;
    ensure!(started.is_err(), "a container starts afterwards");
    Ok(())
}

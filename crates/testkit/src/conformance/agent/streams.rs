//! What an agent promises about the streams of processes.

use virtcontainers_agent::{AgentPort, ErrorKind, OutputStream};

use super::Promise;
use super::request::{done, init, refused, running};
use crate::conformance::{Ability, Need, ensure};

type Checked = Result<(), String>;

/// More than one call may carry.
const TOO_MUCH: usize = (1 << 20) + 1;

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "output-is-read-to-its-end",
        sentence: "Output is read until there is none, and its end is told.",
        needs: &[],
        check: |port| Box::pin(output(port)),
    },
    Promise {
        name: "input-reaches-the-process",
        sentence: "What is written reaches the process, and so does the end of its input.",
        needs: &[Need::Has(Ability::Programs)],
        check: |port| Box::pin(input(port)),
    },
    Promise {
        name: "no-input-is-refused",
        sentence: "Input is written in pieces that are not empty.",
        needs: &[],
        check: |port| Box::pin(no_input(port)),
    },
    Promise {
        name: "too-much-input-is-refused",
        sentence: "Input is written in pieces of at most one mebibyte.",
        needs: &[],
        check: |port| Box::pin(too_much(port)),
    },
    Promise {
        name: "a-terminal-keeps-its-input",
        sentence: "Closing the input of a process with a terminal is a wrong state.",
        needs: &[],
        check: |port| Box::pin(terminal(port)),
    },
    Promise {
        name: "a-terminal-has-one-output",
        sentence: "Standard error of a process with a terminal is at its end at once.",
        needs: &[],
        check: |port| Box::pin(one_output(port)),
    },
];

/// Reads standard output to its end.
async fn read(port: &dyn AgentPort) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    loop {
        let part = port.read_output(&init()?, OutputStream::Stdout, 4096).await;
        match done("the read", part)? {
            Some(part) => all.extend(part),
            None => return Ok(all),
        }
    }
}

async fn output(port: &dyn AgentPort) -> Checked {
    running(port, "hello", false).await?;
    let all = read(port).await?;
    ensure!(all == b"hello\n", "{all:?} is read");
    Ok(())
}

async fn input(port: &dyn AgentPort) -> Checked {
    running(port, "cat", false).await?;
    let written = port.write_stdin(&init()?, b"to and fro".to_vec()).await;
    done("the write", written)?;
    done("the end of the input", port.close_stdin(&init()?).await)?;
    let all = read(port).await?;
    ensure!(all == b"to and fro", "{all:?} came back");
    Ok(())
}

async fn no_input(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let written = port.write_stdin(&init()?, Vec::new()).await;
    refused("writing nothing", written, ErrorKind::Invalid)
}

async fn too_much(port: &dyn AgentPort) -> Checked {
    running(port, "block", false).await?;
    let written = port.write_stdin(&init()?, vec![0; TOO_MUCH]).await;
    refused("writing too much", written, ErrorKind::Invalid)
}

async fn terminal(port: &dyn AgentPort) -> Checked {
    running(port, "block", true).await?;
    let closed = port.close_stdin(&init()?).await;
    refused("hanging up", closed, ErrorKind::WrongState)
}

async fn one_output(port: &dyn AgentPort) -> Checked {
    running(port, "block", true).await?;
    let part = port.read_output(&init()?, OutputStream::Stderr, 4096).await;
    let part = done("the read", part)?;
    ensure!(part.is_none(), "{part:?} is read");
    Ok(())
}

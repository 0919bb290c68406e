//! `vc console`: a debug shell in the guest, on this terminal.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use virtcontainers::DebugConsole;

use crate::args::Global;
use crate::args::operator::Console;
use crate::commands::runtime;
use crate::terminal::Raw;

/// Ctrl-], as of telnet and virsh: leaves a shell that does not answer.
const LEAVE: u8 = 0x1d;
/// What is typed after input that is not typed. Not Ctrl-D: a shell that has yet to set its terminal
/// up would not see it.
const END: &[u8] = b"exit\n";

pub(crate) async fn run(global: &Global, console: &Console) -> anyhow::Result<ExitCode> {
    let (_, runtime) = runtime(global)?;
    let id = super::sandbox_id(&runtime, &console.id).await?;
    let sandbox = runtime.fetch_sandbox(&id).await?;
    let shell = DebugConsole::open(&runtime, &sandbox).await?.into_stream();
    let raw = Raw::enter()?;
    if raw.is_some() {
        eprint!("a shell in the guest of {id}; `exit` or Ctrl-] leaves it\r\n");
    }
    let keys = Keys {
        leave: std::io::stdin().is_terminal().then_some(LEAVE),
    };
    let told = carry(shell, tokio::io::stdin(), tokio::io::stdout(), keys).await;
    drop(raw);
    let answered = told.context("the connection to the guest was lost")?;
    anyhow::ensure!(
        answered,
        "the guest closed the connection at once: it may have no shell"
    );
    Ok(ExitCode::SUCCESS)
}

/// What has a meaning of its own among what is typed.
#[derive(Debug, Clone, Copy)]
struct Keys {
    leave: Option<u8>,
}

/// Carries bytes both ways until the shell ends or is left. Tells whether the guest said anything.
async fn carry(
    shell: impl AsyncRead + AsyncWrite,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    keys: Keys,
) -> std::io::Result<bool> {
    let (mut from_guest, mut to_guest) = tokio::io::split(shell);
    let (mut typed, mut said) = ([0; 4096], [0; 4096]);
    let (mut answered, mut more, mut in_line) = (false, true, false);
    loop {
        tokio::select! {
            count = from_guest.read(&mut said) => {
                let count = count?;
                if count == 0 {
                    return Ok(answered);
                }
                answered = true;
                output.write_all(&said[..count]).await?;
                output.flush().await?;
            }
            count = input.read(&mut typed), if more => {
                let bytes = &typed[..count?];
                if keys.leave.is_some_and(|key| bytes.contains(&key)) {
                    return Ok(true);
                }
                if let Some(last) = bytes.last() {
                    in_line = *last != b'\n';
                    to_guest.write_all(bytes).await?;
                } else {
                    more = false;
                    let line_end: &[u8] = if in_line { b"\n" } else { b"" };
                    to_guest.write_all(&[line_end, END].concat()).await?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a console whose guest gives `answer` and ends, or waits for ever without one.
    async fn run(
        typed: &[u8],
        answer: Option<&[u8]>,
        leave: Option<u8>,
    ) -> (bool, Vec<u8>, Vec<u8>) {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut output = Vec::new();
        let guest = async {
            let mut heard = Vec::new();
            if let Some(answer) = answer {
                let mut one = [0];
                while !heard.ends_with(END) {
                    assert_eq!(theirs.read(&mut one).await.unwrap(), 1);
                    heard.push(one[0]);
                }
                theirs.write_all(answer).await.unwrap();
                drop(theirs);
            } else {
                std::future::pending::<()>().await;
            }
            heard
        };
        let carried = carry(ours, typed, &mut output, Keys { leave });
        let (answered, heard) = match answer {
            Some(_) => tokio::join!(carried, guest),
            None => {
                tokio::select! { done = carried => (done, Vec::new()), _ = guest => unreachable!() }
            }
        };
        (answered.unwrap(), heard, output)
    }

    #[tokio::test]
    async fn what_is_typed_arrives_and_the_shell_is_ended() {
        for typed in [&b"ls\n"[..], b"ls"] {
            let (answered, heard, output) = run(typed, Some(b"bin\r\n"), None).await;
            assert!(answered);
            assert_eq!(heard, b"ls\nexit\n");
            assert_eq!(output, b"bin\r\n");
        }
    }

    #[tokio::test]
    async fn a_shell_that_says_nothing_is_told_from_one_that_ended() {
        let (answered, _, _) = run(b"", Some(b""), None).await;
        assert!(!answered);
    }

    #[tokio::test]
    async fn a_key_leaves_a_shell_that_does_not_answer() {
        let (left, _, _) = run(b"x\x1d", None, Some(LEAVE)).await;
        assert!(left);
    }
}

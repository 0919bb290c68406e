//! Processes in a container: more of them, lists, signals, terminals and waits.

use std::io::{BufReader, Read as _};

use anyhow::{Context, Result};
use rustix::process::Signal;
use virtcontainers::ErrorKind;
use virtcontainers::types::ExitStatus;

use crate::rig::{Rig, line, pipe, refused, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_are_started_listed_and_signalled() -> Result<()> {
    let rig = Rig::new()?;
    let sandbox = rig.run_sleeping("processes").await?;
    let container = rig.id("processes")?;

    let (stream, stdout) = pipe()?;
    let mut output = BufReader::new(stream);
    let script = "trap 'echo hup; exit 9' HUP; echo up; sleep 54321 & wait";
    let mut process = request(&container, &["sh", "-c", script], Some(stdout));
    process.process.set_user(serde_json::from_value(
        serde_json::json!({"uid": 1000, "gid": 1000}),
    )?);
    let process = sandbox.enter_container(process).await?;
    let remote = process.remote();
    let waiting = tokio::spawn(process.wait());
    assert_eq!(line(&mut output)?, "up\n");

    // The shell has said that it is up, and may not have started its child yet.
    let mut listed = sandbox.process_list_container(&container).await?;
    for _ in 0..100 {
        if listed.iter().any(|one| one.command == "sleep 54321") {
            break;
        }
        listed = sandbox.process_list_container(&container).await?;
    }
    let find = |command: &str| {
        let mut found = listed.iter().filter(|one| one.command == command);
        let one = found.next().with_context(|| format!("{listed:#?}"))?;
        anyhow::ensure!(found.next().is_none(), "{listed:#?}");
        Ok(one)
    };
    let init = find("sleep 100000")?;
    let shell = find(&format!("sh -c {script}"))?;
    let child = find("sleep 54321")?;
    assert_eq!(listed.len(), 3, "{listed:#?}");
    assert_eq!((init.uid, shell.uid, child.uid), (0, 1000, 1000));
    assert_eq!(child.ppid, shell.pid);
    assert_ne!(shell.ppid, init.pid);
    assert!(listed.iter().all(|one| one.rss > 0), "{listed:#?}");
    let json = serde_json::to_value(&listed)?;
    assert_eq!(json[0]["command"].as_str(), Some(&*listed[0].command));

    remote.signal(Signal::HUP.as_raw().unsigned_abs()).await?;
    assert_eq!(waiting.await??, ExitStatus(9));
    assert_eq!(line(&mut output)?, "hup\n");
    // It has ended, which is success.
    remote.signal(Signal::HUP.as_raw().unsigned_abs()).await?;

    // A program that does not exist ends as in a shell.
    let missing = sandbox
        .enter_container(request(&container, &["/nosuch"], None))
        .await?;
    assert_eq!(missing.wait().await?, ExitStatus::NOT_FOUND);

    // A terminal gets its size from outside.
    let (mut screen, stdout) = pipe()?;
    let script = "trap 'stty size; exit' WINCH; stty size; while :; do usleep 20000; done";
    let mut shell = request(&container, &["sh", "-c", script], Some(stdout));
    shell.process.set_terminal(Some(true));
    let shell = sandbox.enter_container(shell).await?;
    let id = shell.id().clone();
    let waiting = tokio::spawn(shell.wait());
    let mut first = [0; 5];
    screen.read_exact(&mut first)?;
    sandbox
        .resize_terminal(&container, Some(&id), 24, 80)
        .await?;
    assert_eq!(waiting.await??, ExitStatus(0));
    let mut rest = String::new();
    screen.read_to_string(&mut rest)?;
    assert!(rest.contains("24 80"), "{rest:?}");

    // By its name, from another handle; whoever waits there gets the status and no output.
    let other = rig.another_runtime()?.fetch_sandbox(sandbox.id()).await?;
    let sleeping = sandbox
        .enter_container(request(&container, &["sleep", "11111"], None))
        .await?;
    let id = sleeping.id().clone();
    let term = Signal::TERM.as_raw().unsigned_abs();
    other.signal_process(&container, Some(&id), term).await?;
    let status = other.wait_process(&container, Some(&id)).await?;
    assert_eq!(status, ExitStatus(143));
    drop(sleeping);

    // Signals to the init process.
    let kill = Signal::KILL.as_raw().unsigned_abs();
    sandbox.signal_process(&container, None, kill).await?;
    assert_eq!(
        sandbox.wait_process(&container, None).await?,
        ExitStatus(137)
    );
    let listed = sandbox.process_list_container(&container).await;
    refused(
        listed,
        ErrorKind::WrongState,
        &["process_list_container", "stopped"],
    )?;
    rig.finish(sandbox).await
}

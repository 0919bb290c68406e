//! Tasks of containerd, as `ctr` makes them.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use virtcontainers_tests::pty::Pty;

use super::Containerd;
use crate::stage::Runtime;

with_both!(crate::containerd::with_containerd:
    a_task_has_streams_and_a_status,
    a_task_has_a_life,
    a_running_task_is_deleted_by_force,
    a_task_has_a_terminal,
    a_task_that_cannot_be_leaves_nothing,
);

fn a_task_has_streams_and_a_status(containerd: &Containerd) -> Result<()> {
    let script = "echo out; echo err >&2; exit 3";
    let run = containerd.run("streams", &["--rm"], &["/bin/sh", "-c", script]);
    let run = run.finish()?.expect(3)?;
    ensure!(run.text() == "out\n", "{:?}", run.text());
    ensure!(run.stderr.starts_with("err\n"), "{:?}", run.stderr);
    Ok(())
}

fn a_task_has_a_life(containerd: &Containerd) -> Result<()> {
    let run = containerd.run("life", &["--detach"], &["/bin/sleep", "100000"]);
    run.output_to(&containerd.stage().place().path("."))?
        .finish()?
        .expect(0)?;
    let is = |status: &str| -> Result<()> {
        let found = containerd.status("life")?;
        ensure!(found.as_deref() == Some(status), "{found:?}, not {status}");
        Ok(())
    };
    is("RUNNING")?;

    let script = "cat /proc/1/cmdline; cat; exit 4";
    let exec = containerd.exec("life", "status", &[], &["/bin/sh", "-c", script]);
    let exec = exec.finish_with(b"in\n")?.expect(4)?;
    ensure!(
        exec.text() == "/bin/sleep\x00100000\0in\n",
        "{:?}",
        exec.text()
    );
    let exec = containerd.exec("life", "detached", &["--detach"], &["/bin/sleep", "100000"]);
    exec.finish()?.expect(0)?;
    let list = containerd.ok(["task", "ps", "life"])?.text();
    match containerd.stage().runtime() {
        Runtime::Runc => ensure!(list.contains("detached"), "{list}"),
        // The processes are the guest's; by their pids containerd does not know its own again.
        Runtime::Vc => ensure!(list.lines().count() == 3, "{list}"),
    }
    containerd.ok([
        "task",
        "kill",
        "--exec-id",
        "detached",
        "--signal",
        "KILL",
        "life",
    ])?;

    containerd.ok(["task", "pause", "life"])?;
    is("PAUSED")?;
    containerd.ok(["task", "resume", "life"])?;
    is("RUNNING")?;

    // Process 1 of a container that does not want a signal does not get it.
    containerd.ok(["task", "kill", "--signal", "TERM", "life"])?;
    is("RUNNING")?;
    // Whoever is attached sees the end, and deletes the task.
    let attached = containerd.call(["task", "attach", "life"]).start()?;
    containerd.ok(["task", "kill", "--signal", "KILL", "life"])?;
    attached.finish()?.expect(137)?;
    ensure!(containerd.status("life")?.is_none());
    containerd.ok(["container", "delete", "life"]).map(drop)
}

fn a_running_task_is_deleted_by_force(containerd: &Containerd) -> Result<()> {
    let run = containerd.run("forced", &["--detach"], &["/bin/sleep", "100000"]);
    run.output_to(&containerd.stage().place().path("."))?
        .finish()?
        .expect(0)?;
    let refused = containerd.call(["task", "delete", "forced"]).finish()?;
    ensure!(refused.status != 0, "a running task was deleted");
    ensure!(containerd.status("forced")?.as_deref() == Some("RUNNING"));
    containerd.ok(["task", "delete", "--force", "forced"])?;
    ensure!(containerd.status("forced")?.is_none());
    containerd.ok(["container", "delete", "forced"]).map(drop)
}

fn a_task_has_a_terminal(containerd: &Containerd) -> Result<()> {
    let mut pty = Pty::new(33, 77)?;
    let run = containerd
        .run("tty", &["--rm", "--tty"], &["/bin/sh"])
        .stdin(pty.user_side()?)
        .stdout(pty.user_side()?)
        .start()?;
    pty.read_until("# ")?;
    pty.await_size(33, 77)?;
    pty.resize(44, 88)?;
    run.signal(Signal::WINCH)?;
    pty.await_size(44, 88)?;
    pty.write("exit 9\n")?;
    run.finish()?.expect(9)?;
    Ok(())
}

fn a_task_that_cannot_be_leaves_nothing(containerd: &Containerd) -> Result<()> {
    let run = containerd.run("nosuch", &["--rm"], &["/nosuch"]).finish()?;
    ensure!(run.status != 0, "a command that is not there was run");
    ensure!(run.stderr.contains("/nosuch"), "{}", run.stderr);
    let known = containerd.ok(["container", "list", "--quiet"])?.text();
    if !known.is_empty() {
        containerd
            .ok(["container", "delete", "nosuch"])
            .context(known)?;
    }
    Ok(())
}

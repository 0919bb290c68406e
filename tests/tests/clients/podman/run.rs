//! `podman run`: streams, statuses, who and where.

use std::io::{BufRead as _, BufReader};

use anyhow::{Context, Result, ensure};

use super::Podman;

with_both!(crate::podman::with_podman:
    streams_stay_apart_and_the_status_comes_back,
    input_arrives_and_ends,
    who_where_and_with_which_environment,
    what_cannot_be_executed_has_its_status,
    whoever_is_attached_sees_a_kill,
);

fn streams_stay_apart_and_the_status_comes_back(podman: &Podman) -> Result<()> {
    let script = "echo out; echo err >&2; exit 3";
    let run = podman.run(&["--rm"], &["sh", "-c", script]);
    let run = run.finish()?.expect(3)?;
    ensure!(run.text() == "out\n", "{:?}", run.text());
    ensure!(run.stderr == "err\n", "{:?}", run.stderr);
    Ok(())
}

fn input_arrives_and_ends(podman: &Podman) -> Result<()> {
    let lines: Vec<String> = (0..20_000).map(|number| format!("{number}\n")).collect();
    let input = lines.concat();
    let run = podman.run(&["--rm", "--interactive"], &["cat"]);
    let run = run.finish_with(input.as_bytes())?.expect(0)?;
    ensure!(run.text() == input, "{} bytes came", run.stdout.len());
    Ok(())
}

fn who_where_and_with_which_environment(podman: &Podman) -> Result<()> {
    let options = [
        "--rm",
        "--env",
        "A=b c",
        "--user",
        "user",
        "--workdir",
        "/etc",
        "--hostname",
        "box",
    ];
    let script = "echo $A; id -un; id -g; pwd; hostname";
    let run = podman.run(&options, &["sh", "-c", script]).finish()?;
    let text = run.expect(0)?.text();
    ensure!(text == "b c\nuser\n1000\n/etc\nbox\n", "{text:?}");
    Ok(())
}

fn what_cannot_be_executed_has_its_status(podman: &Podman) -> Result<()> {
    std::fs::write(podman.stage().place().rootfs().join("data"), "no program")?;
    for (command, status) in [("/nosuch", 127), ("/data", 126)] {
        let run = podman.run(&["--rm"], &[command]).finish()?.expect(status)?;
        ensure!(run.stderr.contains(command), "{}", run.stderr);
    }
    Ok(())
}

fn whoever_is_attached_sees_a_kill(podman: &Podman) -> Result<()> {
    let script = "echo ready; sleep 100000";
    let mut run = podman
        .run(&["--name", "killed"], &["sh", "-c", script])
        .start()?;
    let stdout = run.take_stdout().context("no standard output")?;
    let mut output = BufReader::new(stdout);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(line == "ready\n", "{line:?}");
    podman.ok(["kill", "killed"])?;
    run.finish()?.expect(137)?;
    podman.ok(["rm", "killed"]).map(drop)
}

//! Standard streams: every byte, both ways, at any speed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use virtcontainers_tests::Place;
use virtcontainers_tests::inventory::works_in;

#[test]
fn input_is_echoed_and_errors_are_apart() -> Result<()> {
    let place = Place::new()?;
    let input: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let script = "cat; echo oops >&2";
    let run = place
        .run(&place.id("echo"), [], ["sh", "-c", script])
        .finish_with(&input)?;
    let run = run.expect(0)?;
    assert!(
        run.stdout == input,
        "{} of {} bytes",
        run.stdout.len(),
        input.len()
    );
    assert_eq!(run.stderr, "oops\n");
    place.assert_clean()
}

#[test]
fn output_after_a_fast_exit_is_complete() -> Result<()> {
    let place = Place::new()?;
    let script = "dd if=/dev/zero bs=1000 count=1000 2>/dev/null";
    let run = place
        .run(&place.id("fast"), [], ["sh", "-c", script])
        .finish()?
        .expect(0)?;
    assert_eq!(run.stdout.len(), 1_000_000);
    place.assert_clean()
}

#[test]
fn a_background_child_does_not_hold_up_the_end() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("background");
    // Another process of the container keeps the streams open when the exec'd one has ended.
    place
        .run(&id, ["--detach"], ["sleep", "1000"])
        .output_to(&place.path("."))?
        .finish()?
        .expect(0)?;
    let exec = place
        .vc(["exec", &id, "sh", "-c", "sleep 1000 & echo done"])
        .finish()?
        .expect(0)?;
    assert_eq!(exec.text(), "done\n");
    place.vc(["delete", "--force", &id]).finish()?.expect(0)?;
    place.assert_clean()
}

#[test]
fn a_slow_reader_loses_nothing_and_nobody_grows() -> Result<()> {
    const MEGABYTES: usize = 64;
    let place = Place::new()?;
    let script = format!("dd if=/dev/zero bs=1M count={MEGABYTES} 2>/dev/null");
    let mut run = place
        .run(&place.id("slow"), [], ["sh", "-c", &script])
        .start()?;
    let mut stdout = run.take_stdout().context("no output")?;
    let mut buffer = vec![0; 1 << 20];
    stdout.read_exact(&mut buffer)?;
    // Everything between the guest and here is full now, and stays so while we look.
    let start = memory_of_sandbox(&place)?;
    let mut total = buffer.len();
    let mut most = start;
    loop {
        match stdout.read(&mut buffer[..64 * 1024])? {
            0 => break,
            length => {
                assert!(buffer[..length].iter().all(|byte| *byte == 0));
                total += length;
            }
        }
        if total % (8 << 20) < 64 * 1024 {
            most = most.max(memory_of_sandbox(&place)?);
        }
    }
    assert_eq!(total, MEGABYTES << 20);
    assert!(most < start + (8 << 20), "grew from {start} to {most}");
    run.finish()?.expect(0)?;
    place.assert_clean()
}

/// The private memory of all processes that work in this place, QEMU's guest memory apart.
fn memory_of_sandbox(place: &Place) -> Result<usize> {
    let root = place.root().display().to_string();
    let mut total = 0;
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let ours = line.contains(&root) || works_in(&path, place.root());
        let rollup = std::fs::read_to_string(path.join("smaps_rollup")).unwrap_or_default();
        if ours && !line.contains("qemu-system") {
            let field = |name: &str| {
                let line = rollup.lines().find(|line| line.starts_with(name));
                line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok())
            };
            total += field("Private_Dirty:").unwrap_or(0) * 1024;
        }
    }
    Ok(total)
}

#[test]
fn a_reader_that_leaves_ends_the_command() -> Result<()> {
    let place = Place::new()?;
    let mut run = place.run(&place.id("leaves"), [], ["yes"]).start()?;
    let mut line = [0; 2];
    run.take_stdout()
        .context("no output")?
        .read_exact(&mut line)?;
    assert_eq!(&line, b"y\n");
    run.finish()?.expect(141)?;
    place.assert_clean()
}

#[test]
fn standard_input_may_be_closed() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("closed");
    let run = place.run(&id, [], ["sh", "-c", "cat; echo end"]);
    let run = run
        .under(["sh", "-c", "exec \"$0\" \"$@\" <&-"])
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), "end\n");
    place.assert_clean()
}

#[test]
fn input_that_stays_open_does_not_hold_up_the_end() -> Result<()> {
    let place = Place::new()?;
    let (read, write) = rustix::pipe::pipe()?;
    let run = place
        .run(&place.id("open"), [], ["echo", "hello"])
        .stdin(read)
        .finish()?
        .expect(0)?;
    assert_eq!(run.text(), "hello\n");
    keep_open(write);
    place.assert_clean()
}

fn keep_open(write: OwnedFd) {
    // Written to only to show that it was open until here; nobody reads it any more.
    File::from(write).write_all(b"late").unwrap_or_default();
}

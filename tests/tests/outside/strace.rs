//! The same with a tool that is not ours: `strace --inject`. It counts the calls of each thread
//! apart, so that a number may hit several.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use virtcontainers_tests::program::Program;

use crate::rig::{Rig, Sandbox};
use crate::sweep::sweep;

/// The calls, each with how far apart the numbers are that are tried: all, but for those that are
/// mostly of no effect.
const CALLS: &[(&str, usize)] = &[
    ("mkdir", 1),
    ("mkdirat", 1),
    ("rmdir", 1),
    ("mount", 1),
    ("umount2", 1),
    ("open_tree", 1),
    ("move_mount", 1),
    ("mount_setattr", 1),
    ("unshare", 1),
    ("setns", 1),
    ("clone", 1),
    ("clone3", 1),
    ("execve", 1),
    ("renameat", 1),
    ("unlink", 1),
    ("unlinkat", 1),
    ("socket", 1),
    ("bind", 1),
    ("connect", 2),
    ("sendmsg", 2),
    ("sendto", 40),
    ("openat", 20),
];

/// An actor's life under strace. The actor is our child, and strace its tracer beside it, which ends
/// with the last of those that it traces.
fn life(rig: &Rig, log: &Path, options: &[String]) -> Result<Program> {
    let log = log.display().to_string();
    let fixed = ["strace", "-D", "-f", "-qq", "-o", &log].map(str::to_owned);
    let mut words = fixed.into_iter().chain(options.iter().cloned());
    let strace = words.next().context("no program")?;
    let words = words.chain(rig.words("life"));
    let program = words.fold(Program::new(strace), |program, word| program.arg(word));
    program.output_to(&rig.path(""))
}

/// The most calls that one thread makes in a life.
fn most_calls() -> Result<BTreeMap<String, usize>> {
    let rig = Rig::new(Sandbox::Sharing, false)?;
    let log = rig.path("log");
    let names: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    let options = ["-e".to_owned(), format!("trace={}", names.join(","))];
    life(&rig, &log, &options)?.finish()?.expect(0)?;
    // The tracer has written all of it when it is gone.
    rig.assert_clean()?;
    let mut counts = BTreeMap::<(String, String), usize>::new();
    for line in std::fs::read_to_string(&log)?.lines() {
        let mut words = line.split_whitespace();
        if let (Some(thread), Some(call)) = (words.next(), words.next())
            && let Some((name, _)) = call.split_once('(')
        {
            *counts
                .entry((thread.to_owned(), name.to_owned()))
                .or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, name), count) in counts {
        let known = most.entry(name).or_default();
        *known = count.max(*known);
    }
    Ok(most)
}

/// Whether anybody was killed.
fn life_with_a_death(call: &str, number: usize) -> Result<bool> {
    let rig = Rig::new(Sandbox::Sharing, false)?;
    let log = rig.path("log");
    let trace = format!("trace={call}");
    let inject = format!("--inject={call}:signal=KILL:when={number}");
    let ended = life(&rig, &log, &["-e".to_owned(), trace, inject])?.finish()?;
    rig.clear()?;
    rig.assert_clean()?;
    // A call that never returns. Machines and daemons are killed in a life without a death, too.
    let log = std::fs::read_to_string(&log)?;
    let killed = log.lines().any(|line| line.trim_end().ends_with("= ?"));
    ensure!(killed || ended.status == 0, "a life without a death failed");
    Ok(killed)
}

#[test]
fn strace_kills_at_any_call() -> Result<()> {
    let most = most_calls()?;
    let mut deaths = Vec::new();
    for (call, stride) in CALLS {
        let most = most.get(*call).copied().unwrap_or_default();
        let numbers = (1..=most).step_by(*stride);
        deaths.extend(numbers.map(|number| (*call, number)));
        println!("{call}: at most {most} by one thread, every {stride}. is tried");
    }
    let killed = sweep(&deaths, |(call, number)| {
        life_with_a_death(call, *number).with_context(|| format!("{call} {number}"))
    })?;
    let killed = killed.iter().filter(|killed| **killed).count();
    println!("somebody died in {killed} of {} lives", deaths.len());
    ensure!(killed * 4 >= deaths.len() * 3, "hardly anybody was killed");
    Ok(())
}

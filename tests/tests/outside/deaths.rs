//! Whoever changes the host dies just before: after a recovery and a removal by others, the host is
//! as it was.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use virtcontainers_tests::tracer::{Hit, Seen, trace};

use crate::rig::{Rig, Sandbox};
use crate::sweep::sweep;

/// No operation takes as long, whatever dies.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);
/// Only every n-th call, if this environment variable says so.
const STRIDE_VARIABLE: &str = "VC_DEATHS_STRIDE";

/// How far apart the calls are at which somebody dies, if the variable says so.
pub(crate) fn stride() -> Result<Option<usize>> {
    match std::env::var(STRIDE_VARIABLE) {
        Ok(text) => Ok(Some(text.parse().context(STRIDE_VARIABLE)?)),
        Err(_) => Ok(None),
    }
}

/// What a life's calls are, by name and process.
pub(crate) fn tally<'a>(hits: impl IntoIterator<Item = &'a Hit>) -> String {
    let mut counts = BTreeMap::<&str, BTreeMap<&str, usize>>::new();
    for hit in hits {
        let of = counts.entry(&hit.who).or_default();
        *of.entry(hit.call).or_default() += 1;
    }
    let line = |(who, calls): (&str, BTreeMap<&str, usize>)| {
        let calls: Vec<_> = calls
            .iter()
            .map(|(call, n)| format!("{n} {call}"))
            .collect();
        format!("  {who}: {}\n", calls.join(", "))
    };
    counts.into_iter().map(line).collect()
}

/// Leads a life in which somebody dies at the n-th call; gives the call, or `None` when there are
/// fewer.
fn life_with_a_death(kill_at: usize) -> Result<Option<Hit>> {
    let rig = Rig::new(Sandbox::Sharing, false)?;
    let traced = trace(rig.words("life"), Some(kill_at));
    let seen = traced.first_end(PATIENCE)?;
    let killed = format!("{:?}, the life ended with {}", seen.killed, seen.status);
    rig.clear().with_context(|| killed.clone())?;
    rig.assert_clean().with_context(|| killed.clone())?;
    traced.last_end(PATIENCE).with_context(|| killed.clone())?;
    if seen.killed.is_none() {
        ensure!(seen.status == 0, "a life without a death failed");
    }
    Ok(seen.killed)
}

#[test]
fn at_any_call_that_changes_the_host() -> Result<()> {
    let rig = Rig::new(Sandbox::Sharing, false)?;
    let traced = trace(rig.words("life"), None);
    let seen = traced.first_end(PATIENCE)?;
    ensure!(seen.status == 0, "a life ended with {}", seen.status);
    traced.last_end(PATIENCE)?;
    rig.assert_clean()?;
    let calls = seen.calls.len();
    println!("a life has {calls} calls:\n{}", tally(&seen.calls));

    // Processes side by side do not make the same number of calls each time: the last ones may find
    // nobody to kill.
    let trials: Vec<usize> = (1..=calls).step_by(stride()?.unwrap_or(1)).collect();
    let deaths = sweep(&trials, |at| {
        life_with_a_death(*at).with_context(|| format!("call {at}"))
    })?;
    let (lives, hits) = (deaths.len(), deaths.into_iter().flatten());
    let hits: Vec<Hit> = hits.collect();
    println!("{} deaths in {lives} lives:\n{}", hits.len(), tally(&hits));
    ensure!(hits.len() * 4 >= lives * 3, "hardly anybody was killed");
    Ok(())
}

/// A sandbox whose supervisor was killed, and somebody who dies while cleaning up after it.
fn recovery_with_a_death(command: &str, kill_at: Option<usize>) -> Result<Seen> {
    let rig = Rig::new(Sandbox::Sharing, false)?;
    for operation in ["create", "start"] {
        rig.do_one([operation])?;
    }
    rig.kill_supervisor()?;
    let traced = trace(rig.words(command), kill_at);
    let seen = traced.first_end(PATIENCE)?;
    let killed = format!("{:?}, {command} ended with {}", seen.killed, seen.status);
    rig.clear().with_context(|| killed.clone())?;
    rig.assert_clean().with_context(|| killed.clone())?;
    traced.last_end(PATIENCE).with_context(|| killed.clone())?;
    Ok(seen)
}

#[test]
fn at_any_call_of_who_cleans_up() -> Result<()> {
    let mut trials = Vec::new();
    for command in ["recover", "start", "delete"] {
        let calls = recovery_with_a_death(command, None)?.calls;
        println!("{command} of a lost sandbox:\n{}", tally(&calls));
        trials.extend((1..=calls.len()).map(|at| (command, at)));
    }
    let deaths = sweep(&trials, |(command, at)| {
        let seen = recovery_with_a_death(command, Some(*at));
        seen.with_context(|| format!("{command}, call {at}"))
    })?;
    let killed = deaths.iter().filter(|seen| seen.killed.is_some()).count();
    println!("{killed} deaths in {} recoveries", trials.len());
    ensure!(killed * 4 >= trials.len() * 3, "hardly anybody was killed");
    Ok(())
}

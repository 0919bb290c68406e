//! Whoever changes the host dies just before: after a recovery and a removal by others, the host is
//! as it was.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use virtcontainers_tests::tracer::{Hit, trace};

use crate::rig::{Rig, Sandbox};

/// No operation of an actor takes as long, whatever dies.
const PATIENCE: Duration = Duration::from_secs(100);
/// How many lives are led at a time.
const SIDE_BY_SIDE: usize = 3;
/// Only every n-th call, if this environment variable says so.
const STRIDE_VARIABLE: &str = "VC_DEATHS_STRIDE";

/// What a life's calls are, by name and process.
fn tally<'a>(hits: impl IntoIterator<Item = &'a Hit>) -> String {
    let mut counts = BTreeMap::<&str, BTreeMap<&str, usize>>::new();
    for hit in hits {
        let of = counts.entry(&hit.who).or_default();
        *of.entry(hit.call).or_default() += 1;
    }
    let line = |(who, calls): (&str, BTreeMap<&str, usize>)| {
        let calls: Vec<_> = calls.iter().map(|(call, n)| format!("{n} {call}")).collect();
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
    let stride: usize = match std::env::var(STRIDE_VARIABLE) {
        Ok(text) => text.parse()?,
        Err(_) => 1,
    };
    let rig = Rig::new(Sandbox::Sharing, false)?;
    let traced = trace(rig.words("life"), None);
    let seen = traced.first_end(PATIENCE)?;
    ensure!(seen.status == 0, "a life ended with {}", seen.status);
    traced.last_end(PATIENCE)?;
    rig.assert_clean()?;
    let calls = seen.calls.len();
    println!("a life has {calls} calls:\n{}", tally(&seen.calls));

    let next = AtomicUsize::new(1);
    let hits = Mutex::new(Vec::new());
    let failures = Mutex::new(Vec::new());
    let lives = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(stride, Ordering::Relaxed);
                    // Processes side by side do not make the same number of calls each time.
                    if at > calls {
                        return;
                    }
                    lives.fetch_add(1, Ordering::Relaxed);
                    let lived = life_with_a_death(at).with_context(|| format!("call {at}"));
                    match (lived, hits.lock(), failures.lock()) {
                        (Ok(hit), Ok(mut hits), _) => hits.extend(hit),
                        (Err(error), _, Ok(mut failures)) => failures.push(error),
                        _ => return,
                    }
                }
            });
        }
    });
    let hits = hits.into_inner().map_err(|_| anyhow!("a thread died"))?;
    let failures = failures.into_inner().map_err(|_| anyhow!("a thread died"))?;
    let lives = lives.into_inner();
    println!("{} deaths in {lives} lives:\n{}", hits.len(), tally(&hits));
    for failure in &failures {
        println!("{failure:#}");
    }
    if !failures.is_empty() {
        bail!("{} of {lives} deaths were not survived", failures.len());
    }
    Ok(())
}

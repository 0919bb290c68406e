//! Many processes on one sandbox: the history that they tell is one that could be.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use virtcontainers_tests::history::{Event, Promise, Timeline, check};

use crate::rig::{Rig, Sandbox, refusal, together};

/// How many act at once.
const ACTORS: u64 = 50;
/// How long, unless this environment variable says how many seconds.
const SECONDS: u64 = 10;
const SECONDS_VARIABLE: &str = "VC_STORM_SECONDS";
/// The first seed, unless this environment variable says which.
const SEED_VARIABLE: &str = "VC_STORM_SEED";

/// Nothing keeps a kill from coming between the look at a container's record and its start: a kill
/// takes no lock. The history tells whether there was one.
const LATE: &str = "was started or has ended";
/// Whoever removes a container waits for its end, and so does its supervisor: two answers that leave
/// the agent at the same time, and the supervisor's may be under way still. It takes an end that it
/// was not told of for a lost one.
const EARLY: &str = "before WaitProcess";

/// The deadlines of actors are twice the usual ones.
const PROMISE: Promise = Promise {
    lock: Duration::from_secs(20),
    // The lock's, a guest's call, and the longest ways to an end.
    call: Duration::from_secs(60),
};

fn number(variable: &str, otherwise: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable}={text}")),
        Err(_) => Ok(otherwise),
    }
}

#[test]
fn a_storm_of_operations_has_a_legal_history() -> Result<()> {
    let mut rig = Rig::new(Sandbox::Plain, true)?;
    let seconds = number(SECONDS_VARIABLE, SECONDS)?;
    let seed = number(SEED_VARIABLE, u64::from(std::process::id()))?;
    println!("{ACTORS} actors for {seconds} s, {SEED_VARIABLE}={seed}");
    let storm = |actor: u64| {
        let (seed, millis) = ((seed + actor).to_string(), (seconds * 1000).to_string());
        rig.actor(["storm", &seed, &millis])
    };
    // Who came too late to be refused waits for a guest that somebody paused, for a minute. The last
    // actors would meet nobody who lets it go on.
    let let_go_on = || rig.actor(["resume"]).finish().map(drop);
    for finished in together((0..ACTORS).map(storm).collect(), let_go_on)? {
        finished.expect(0)?;
    }
    rig.clear()?;
    let findings = check(&rig.history()?, PROMISE);
    println!("{findings}");
    if !findings.problems.is_empty() {
        let kept = rig.keep();
        bail!("not a legal history; see {}", kept.display());
    }
    let (late, other): (Vec<_>, Vec<_>) = rig
        .violations()
        .into_iter()
        .partition(|violation| violation.contains(LATE));
    let (early, other): (Vec<_>, Vec<_>) = other
        .into_iter()
        .partition(|violation| violation.contains(EARLY));
    println!(
        "{} starts came after a kill, {} removals beside the end of a wait",
        late.len(),
        early.len()
    );
    ensure!(other.is_empty(), "the agent was misused: {other:#?}");
    rig.assert_clean()
}

#[test]
fn of_two_creations_of_one_id_one_wins_and_the_other_changes_nothing() -> Result<()> {
    const ROUNDS: u32 = 20;
    for round in 0..ROUNDS {
        let rig = Rig::new(Sandbox::Plain, true)?;
        let both = together(
            vec![rig.actor(["create"]), rig.actor(["create"])],
            || Ok(()),
        )?;
        let (won, lost): (Vec<_>, Vec<_>) = both.iter().partition(|one| one.status == 0);
        ensure!(won.len() == 1 && lost.len() == 1, "round {round}: {both:?}");
        let kind = refusal(lost[0]);
        ensure!(kind.as_deref() == Some("already-exists"), "{kind:?}");
        let status = rig.do_one(["status"])?;
        ensure!(status.text().contains("\"ready\""), "{}", status.text());

        let history = rig.history()?;
        let timeline = Timeline::new(&history);
        let [life] = &timeline.lives[..] else {
            anyhow::bail!("round {round}: {:?}", timeline.lives);
        };
        let winner = life.writes.first().map(|write| write.process);
        let foreign = history.iter().find(|line| {
            let changes = matches!(line.event, Event::Wrote { .. } | Event::Removed(_));
            changes && Some(line.process) != winner
        });
        ensure!(foreign.is_none(), "round {round}: the loser: {foreign:?}");
        let findings = check(&history, PROMISE);
        ensure!(findings.problems.is_empty(), "round {round}: {findings}");
        rig.clear()?;
        rig.assert_clean()?;
    }
    println!("{ROUNDS} rounds, one winner each");
    Ok(())
}

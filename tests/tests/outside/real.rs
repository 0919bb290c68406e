//! Deaths around a real virtual machine: one for each kind of effect and each who has it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use virtcontainers_tests::tracer::{Hit, Seen, trace};
use virtcontainers_tests::{Place, place};

use crate::deaths::{PATIENCE, stride, tally};
use crate::host::Host;
use crate::sweep::sweep;

/// Calls of the same kind of effect: one of them stands for all.
const KINDS: &[&[&str]] = &[
    &["clone", "clone3", "fork", "vfork"],
    &["execve"],
    &["mkdir", "mkdirat"],
    &["mount", "move_mount"],
    &["umount2"],
    &["unshare", "setns"],
    &["bind"],
    &["connect"],
    &["sendto", "sendmsg"],
    &["rename", "renameat"],
    &["openat"],
    &["unlink", "unlinkat"],
];

/// `vc run` of a container that ends at once, in which somebody may die.
fn run(kill_at: Option<usize>) -> Result<Seen> {
    let place = Place::new()?;
    let id = place.id("outside");
    let host = Host::look(place.root(), &id)?;
    let (root, rootfs) = (place.root().display(), place.rootfs());
    let (program, rootfs) = (place::vc_program(), rootfs.display());
    let line = format!(
        "{} --root {root} run --rootfs {rootfs} {id} -- true",
        program.display()
    );
    let words = line.split(' ').map(str::to_owned).collect();

    let traced = trace(words, kill_at);
    let seen = traced.first_end(PATIENCE)?;
    let killed = format!("{:?}, the run ended with {}", seen.killed, seen.status);
    place
        .vc(["gc"])
        .finish()?
        .expect(0)
        .context(killed.clone())?;
    // It may be gone.
    let deleted = place.vc(["delete", "--force", &id]).finish()?;
    let gone = deleted.status == 0 || deleted.stderr.contains("no such sandbox");
    ensure!(gone, "{killed}: {}", deleted.stderr);
    host.assert_same().context(killed.clone())?;
    traced.last_end(PATIENCE).context(killed)?;
    Ok(seen)
}

/// For each kind of effect and each who has it, the number of the call in the middle.
fn sample(calls: &[Hit]) -> Vec<(usize, String)> {
    let mut places = BTreeMap::<(usize, &str), Vec<usize>>::new();
    for (index, hit) in calls.iter().enumerate() {
        if let Some(kind) = KINDS.iter().position(|kind| kind.contains(&hit.call)) {
            places.entry((kind, &hit.who)).or_default().push(index);
        }
    }
    let middle = |indices: Vec<usize>| indices.get(indices.len() / 2).copied();
    let middles = places.into_values().filter_map(middle);
    middles
        .map(|index| (index + 1, format!("{:?}", calls[index])))
        .collect()
}

fn every(calls: &[Hit], stride: usize) -> Vec<(usize, String)> {
    let numbered = calls.iter().enumerate().step_by(stride);
    numbered
        .map(|(index, hit)| (index + 1, format!("{hit:?}")))
        .collect()
}

#[test]
fn around_a_real_machine() -> Result<()> {
    let seen = run(None)?;
    ensure!(seen.status == 0, "a run ended with {}", seen.status);
    println!(
        "a run has {} calls:\n{}",
        seen.calls.len(),
        tally(&seen.calls)
    );
    // All that the variable asks for, or one for each.
    let trials = match stride()? {
        Some(stride) => every(&seen.calls, stride),
        None => sample(&seen.calls),
    };
    let deaths = sweep(&trials, |(at, what)| {
        run(Some(*at)).with_context(|| format!("call {at}, about {what}"))
    })?;
    let hits: Vec<Hit> = deaths.into_iter().filter_map(|seen| seen.killed).collect();
    println!(
        "{} deaths in {} runs:\n{}",
        hits.len(),
        trials.len(),
        tally(&hits)
    );
    ensure!(
        hits.len() * 4 >= trials.len() * 3,
        "hardly anybody was killed"
    );
    Ok(())
}

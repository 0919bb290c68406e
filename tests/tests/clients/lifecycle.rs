//! The lifecycle of the runtime specification: each operation from each state succeeds or is refused
//! as it should. What is refused says why, writes nothing to standard output and changes nothing.

use anyhow::{Context, Result, ensure};

use crate::direct::Direct;
use crate::stage::{Runtime, Stage};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It succeeds and leaves the state as it is.
    Stays,
    /// It succeeds and leads to another state.
    To(&'static str),
    /// It is refused.
    Refused,
    /// Runtimes differ here; either way the state stays.
    Either,
}

use Wanted::{Either, Refused, Stays, To};

const NONE: &str = "none";

/// The states, in the order of the columns below.
const STATES: [&str; 5] = [NONE, "created", "running", "paused", "stopped"];

/// What each operation does in each of the states.
#[rustfmt::skip]
const TABLE: [(&str, [Wanted; 5]); 10] = [
    //           none           created        running        paused         stopped
    ("create", [To("created"), Refused,       Refused,       Refused,       Refused]),
    ("start",  [Refused,       To("running"), Refused,       Refused,       Refused]),
    ("state",  [Refused,       Stays,         Stays,         Stays,         Stays]),
    ("kill",   [Refused,       To("stopped"), To("stopped"), To("stopped"), Refused]),
    ("delete", [Refused,       To(NONE),      Refused,       Refused,       To(NONE)]),
    ("exec",   [Refused,       Either,        Stays,         Refused,       Refused]),
    ("pause",  [Refused,       Refused,       To("paused"),  Refused,       Refused]),
    ("resume", [Refused,       Refused,       Refused,       To("running"), Refused]),
    ("update", [Refused,       Either,        Stays,         Either,        Refused]),
    ("ps",     [Refused,       Either,        Stays,         Either,        Either]),
];

/// What runc alone allows: it freezes a container that was not started.
const RUNC_ALLOWS: (&str, &str) = ("pause", "created");

/// Operations that lead once from each state to each state that the table has for it; what does not
/// change the state is tried on the way, wherever it first leads.
const WAYS: [&[&str]; 4] = [
    &["create", "start", "pause", "resume", "kill", "delete"],
    &["create", "delete"],
    &["create", "kill", "delete"],
    &["create", "start", "pause", "kill", "delete"],
];

with_both!(crate::direct::with_runtime: each_operation_from_each_state);

fn each_operation_from_each_state(stage: &Stage) -> Result<()> {
    let mut seen: Vec<&str> = Vec::new();
    let mut taken: Vec<(&str, &str)> = Vec::new();
    for (number, way) in WAYS.iter().enumerate() {
        let name = format!("way{number}");
        let direct = Direct::bundle(stage, &name, false, &["sleep", "100000"])?;
        let mut state = NONE;
        for operation in way.iter().copied() {
            if !seen.contains(&state) {
                seen.push(state);
                stand_still(stage, &direct, state)?;
            }
            taken.push((operation, state));
            state = go(stage, &direct, operation, state)?;
        }
    }
    ensure!(STATES.iter().all(|state| seen.contains(state)), "{seen:?}");
    for (operation, row) in TABLE {
        for (state, wanted) in STATES.iter().zip(row) {
            let tried = taken.contains(&(operation, *state));
            ensure!(tried == matches!(wanted, To(_)), "{operation} when {state}");
        }
    }
    Ok(())
}

/// All that leaves the state as it is.
fn stand_still(stage: &Stage, direct: &Direct<'_>, state: &'static str) -> Result<()> {
    for (operation, _) in TABLE {
        let wanted = wanted(operation, state)?;
        if stage.runtime() == Runtime::Runc && (operation, state) == RUNC_ALLOWS {
            continue;
        }
        if !matches!(wanted, To(_)) {
            let what = format!("{operation} when {state}");
            call(stage, direct, operation, wanted).context(what.clone())?;
            expect_state(direct, state).context(what)?;
        }
    }
    Ok(())
}

/// One step to the next state.
fn go(
    stage: &Stage,
    direct: &Direct<'_>,
    operation: &str,
    state: &'static str,
) -> Result<&'static str> {
    let wanted = wanted(operation, state)?;
    let To(next) = wanted else {
        anyhow::bail!("{operation} leads nowhere from {state}");
    };
    let what = format!("{operation} when {state}");
    call(stage, direct, operation, wanted).context(what.clone())?;
    if operation == "kill" {
        crate::left::await_end(direct.pid()?)?;
    }
    expect_state(direct, next).context(what)?;
    Ok(next)
}

fn wanted(operation: &str, state: &str) -> Result<Wanted> {
    let column = STATES.iter().position(|name| *name == state);
    let row = TABLE.iter().find(|(name, _)| *name == operation);
    let (_, row) = row.with_context(|| format!("no row of {operation}"))?;
    Ok(row[column.with_context(|| format!("no column of {state}"))?])
}

fn call(stage: &Stage, direct: &Direct<'_>, operation: &str, wanted: Wanted) -> Result<()> {
    let id = direct.id();
    let words: &[&str] = match operation {
        "create" => &[],
        "kill" => &["kill", id, "KILL"],
        "exec" => &["exec", id, "true"],
        "update" => &["update", "--memory", "100000000", id],
        other => &[other, id],
    };
    let (status, stdout, stderr) = if operation == "create" {
        let status = direct.creation(&[])?.finish()?.status;
        let (stdout, stderr) = direct.outputs()?;
        (status, stdout, stderr)
    } else {
        let end = stage.call(words.iter().copied()).finish()?;
        (end.status, end.text(), end.stderr)
    };
    let refused = match wanted {
        Refused => true,
        Stays | To(_) => false,
        Either => status != 0,
    };
    ensure!(
        refused == (status != 0),
        "status {status}; stdout: {stdout:?}; stderr: {stderr}"
    );
    if refused {
        ensure!(stdout.is_empty(), "refused, and yet wrote {stdout:?}");
        ensure!(!stderr.trim().is_empty(), "refused without a word");
    }
    Ok(())
}

fn expect_state(direct: &Direct<'_>, state: &str) -> Result<()> {
    let status = direct.status()?;
    let found = status.as_deref().unwrap_or(NONE);
    ensure!(found == state, "the state is {found} and not {state}");
    Ok(())
}

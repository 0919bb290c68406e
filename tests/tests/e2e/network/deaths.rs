//! The supervisor is killed: what was connected is taken back, and the namespace serves another. Who
//! adds or removes an interface is killed: the next command makes a whole of what is left.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use virtcontainers_tests::tracer::{Seen, trace};
use virtcontainers_tests::{Place, place};

use super::{Guest, READY, Wire, assert_echo, settings};
use crate::deaths::kill;
use crate::detached::wait_for_end;

#[test]
fn the_filters_of_a_killed_supervisor_are_taken_back() -> Result<()> {
    supervisor("tcfilter")
}

#[test]
fn the_macvtap_of_a_killed_supervisor_is_taken_back() -> Result<()> {
    supervisor("macvtap")
}

#[test]
fn the_bridge_of_a_killed_supervisor_is_taken_back() -> Result<()> {
    supervisor("bridged")
}

/// One interface was there at the start, one was added.
fn supervisor(model: &str) -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    let before = wire.inventory()?;
    let settings = settings(model);
    let guest = Guest::start_with(&place, "killed", &wire.sandbox.path(), &settings)?;
    wire.add_lan(1500)?;
    guest.add(&["lan0"])?;
    assert_echo(&wire.outside, "10.8.0.2:7")?;
    assert_echo(&wire.outside, "10.9.0.2:7")?;
    ensure!(wire.inventory()? != before, "nothing is connected");

    let state = place.vc(["state", &guest.id]).finish()?.expect(0)?;
    let state: Value = serde_json::from_slice(&state.stdout)?;
    let supervisor = u32::try_from(state["pid"].as_u64().context("no pid")?)?;
    kill(supervisor)?;
    wait_for_end(supervisor)?;
    let said = place.vc(["gc"]).finish()?.expect(0)?.text();
    ensure!(said.contains("undone"), "{said}");
    wire.outside.run("ip link delete out1")?;
    wire.assert_as(&before)?;
    guest.delete()?;
    wire.assert_as(&before)?;

    let guest = Guest::start_with(&place, "next", &wire.sandbox.path(), &settings)?;
    assert_echo(&wire.outside, "10.9.0.2:7")?;
    guest.delete()?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

/// No change of a network takes as long, whatever dies.
const PATIENCE: Duration = Duration::from_secs(100);

/// How many deaths are tried in a change by another model than the default, by which every call is
/// tried, unless the variable says how far apart they are.
const DEATHS: usize = 12;

/// Only every n-th call, if this environment variable says so.
const STRIDE_VARIABLE: &str = "VC_DEATHS_STRIDE";

#[test]
fn whoever_changes_filters_may_die() -> Result<()> {
    changes("tcfilter")
}

#[test]
fn whoever_changes_macvtaps_may_die() -> Result<()> {
    changes("macvtap")
}

#[test]
fn whoever_changes_bridges_may_die() -> Result<()> {
    changes("bridged")
}

fn changes(model: &str) -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    let before = wire.inventory()?;
    let guest = Guest::start_with(&place, model, &wire.sandbox.path(), &settings(model))?;
    wire.add_lan(1500)?;
    let idle = wire.inventory()?;

    let whole = change(&guest, "add", None)?;
    let back = change(&guest, "remove", None)?;
    ensure!((whole.status, back.status) == (0, 0), "{whole:?}, {back:?}");
    wire.assert_as(&idle)?;
    for (command, calls) in [("add", whole.calls.len()), ("remove", back.calls.len())] {
        let mut killed = 0;
        let stride = stride(model, calls)?;
        // The last call too, where the most has happened.
        let trials: Vec<_> = (1..calls).step_by(stride).chain([calls]).collect();
        for at in &trials {
            let there = guest.links()?.iter().any(|link| link == "lan0");
            if there && command == "add" {
                guest.remove("lan0")?;
            } else if !there && command == "remove" {
                guest.add(&["lan0"])?;
            }
            let seen = change(&guest, command, Some(*at))?;
            let told = || format!("{command}, call {at} of {calls}: {:?}", seen.killed);
            killed += usize::from(seen.killed.is_some());
            settled(&wire, &guest, &idle).with_context(told)?;
        }
        println!(
            "{model}: {killed} deaths in {} calls of {command}",
            trials.len()
        );
        ensure!(killed * 4 >= trials.len() * 3, "hardly anybody was killed");
    }
    if !guest.links()?.iter().any(|link| link == "lan0") {
        guest.add(&["lan0"])?;
    }
    guest.sh(READY)?;
    assert_echo(&wire.outside, "10.8.0.2:7")?;
    assert_echo(&wire.outside, "10.9.0.2:7")?;
    guest.delete()?;
    wire.outside.run("ip link delete out1")?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

/// `vc network add` or `remove` of the second interface, in which somebody may die.
fn change(guest: &Guest<'_>, command: &str, kill_at: Option<usize>) -> Result<Seen> {
    let (program, root) = (place::vc_program(), guest.place.root().display());
    let line = format!(
        "{} --config {} --root {root} network {command} {} lan0",
        program.display(),
        guest.config.display(),
        guest.id
    );
    let traced = trace(line.split(' ').map(str::to_owned).collect(), kill_at);
    let seen = traced.first_end(PATIENCE)?;
    traced.last_end(PATIENCE)?;
    Ok(seen)
}

/// The second interface is there and serves, or it is not there and the host is as it was.
fn settled(
    wire: &Wire,
    guest: &Guest<'_>,
    idle: &[std::collections::BTreeSet<String>; 2],
) -> Result<()> {
    guest.place.vc(["gc"]).finish()?.expect(0)?;
    let there = guest.links()?.iter().any(|link| link == "lan0");
    let seen = guest.sh("ls /sys/class/net")?;
    let in_guest = seen.lines().any(|line| line == "lan0");
    ensure!(there == in_guest, "told {there}, the guest has {seen}");
    if there {
        guest.sh(READY)?;
        assert_echo(&wire.outside, "10.8.0.2:7")
    } else {
        wire.assert_as(idle)
    }
}

/// How far apart the calls are at which somebody dies.
fn stride(model: &str, calls: usize) -> Result<usize> {
    match std::env::var(STRIDE_VARIABLE) {
        Ok(text) => text.parse().context(STRIDE_VARIABLE),
        Err(_) if model == "tcfilter" => Ok(1),
        Err(_) => Ok(calls.div_ceil(DEATHS)),
    }
}

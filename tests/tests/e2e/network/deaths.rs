//! The supervisor is killed: what was connected is taken back, and the namespace serves another.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use virtcontainers_tests::Place;

use super::{Guest, Wire, assert_echo};
use crate::deaths::kill;
use crate::detached::wait_for_end;

#[test]
fn the_network_of_a_killed_supervisor_is_taken_back() -> Result<()> {
    let place = Place::new()?;
    let wire = Wire::new(&place, 1500)?;
    let before = wire.inventory()?;
    let guest = Guest::start(&place, "killed", &wire.sandbox.path())?;
    assert_echo(&wire.outside, "10.9.0.2:7")?;
    ensure!(wire.inventory()? != before, "nothing is connected");

    let state = place.vc(["state", &guest.id]).finish()?.expect(0)?;
    let state: Value = serde_json::from_slice(&state.stdout)?;
    let supervisor = u32::try_from(state["pid"].as_u64().context("no pid")?)?;
    kill(supervisor)?;
    wait_for_end(supervisor)?;
    let said = place.vc(["gc"]).finish()?.expect(0)?.text();
    ensure!(said.contains("undone"), "{said}");
    wire.assert_as(&before)?;
    guest.delete()?;
    wire.assert_as(&before)?;

    let guest = Guest::start(&place, "next", &wire.sandbox.path())?;
    assert_echo(&wire.outside, "10.9.0.2:7")?;
    guest.delete()?;
    wire.assert_as(&before)?;
    drop(wire);
    place.assert_clean()
}

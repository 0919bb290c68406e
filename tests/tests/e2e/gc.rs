//! `vc gc`: what died midway is cleaned up, and told; what is sound is left alone.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use virtcontainers_store::{BootId, FileStore, LeaseMode, Store as _};
use virtcontainers_tests::Place;

use crate::deaths::{kill, supervisor_of};
use crate::detached::{Running, wait_for_end};

/// What `vc gc` says, with further options.
fn gc<'a>(place: &Place, options: impl IntoIterator<Item = &'a str>) -> Result<Value> {
    let words = ["gc", "--format", "json"].into_iter().chain(options);
    let said = place.vc(words).finish()?.expect(0)?;
    Ok(serde_json::from_slice(&said.stdout)?)
}

fn outcome(id: &str, outcome: &str) -> Value {
    json!([{"id": id, "outcome": outcome}])
}

#[test]
fn a_sandbox_whose_supervisor_was_killed_is_undone_once() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "orphan")?;
    let id = running.id().to_owned();
    assert_eq!(gc(&place, [])?, outcome(&id, "sound"));
    assert_eq!(running.state()?["status"], "running", "it was left alone");

    let store = FileStore::new(place.root(), BootId::current()?);
    let lease = store.open(&id.parse()?, LeaseMode::Exclusive, "hold", Duration::ZERO)?;
    assert_eq!(gc(&place, [])?, outcome(&id, "busy"));
    drop(lease);

    let supervisor = running.supervisor()?;
    kill(supervisor)?;
    wait_for_end(supervisor)?;
    let record = place.root().join("sandboxes").join(&id).join("record.json");
    let before = std::fs::read(&record)?;
    assert_eq!(gc(&place, ["--dry-run"])?, outcome(&id, "undone"));
    assert_eq!(std::fs::read(&record)?, before, "nothing was changed");
    let table = place.vc(["gc"]).finish()?.expect(0)?.text();
    let row = table.lines().find(|line| line.contains(&id));
    assert!(row.context("no row")?.contains("undone"), "{table}");
    assert_eq!(gc(&place, [])?, outcome(&id, "sound"));
    assert_eq!(running.state()?["status"], "stopped");
    place.vc(["delete", &id]).finish()?.expect(0)?;
    assert_eq!(gc(&place, [])?, json!([]));
    place.assert_clean()
}

#[test]
fn a_creation_of_which_nobody_is_left_is_removed() -> Result<()> {
    for phase in ["supervisor", "share", "launch", "guest"] {
        let place = Place::new()?;
        let id = place.id("halfmade");
        let mut run = place.run(&id, ["-v"], ["sleep", "100000"]).start()?;
        run.wait_for_stderr(&format!("phase={phase}"))?;
        let supervisor = supervisor_of(run.pid())?;
        // The creator first, so that it cannot tidy up after its supervisor; they may be as fast.
        run.signal(rustix::process::Signal::STOP)?;
        kill(supervisor)?;
        kill(run.pid())?;
        run.finish()?.expect(137)?;
        wait_for_end(supervisor)?;
        assert_eq!(
            gc(&place, ["--dry-run"])?,
            outcome(&id, "removed"),
            "{phase}"
        );
        assert_eq!(gc(&place, [])?, outcome(&id, "removed"), "{phase}");
        assert_eq!(gc(&place, [])?, json!([]), "{phase}");
        place.assert_clean()?;
    }
    Ok(())
}

#[test]
fn a_creator_that_is_killed_leaves_its_supervisor_to_clean_up() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("creator");
    let mut run = place.run(&id, ["-v"], ["sleep", "100000"]).start()?;
    run.wait_for_stderr("phase=launch")?;
    let supervisor = supervisor_of(run.pid())?;
    kill(run.pid())?;
    run.finish()?.expect(137)?;
    // It is at it, or was.
    let said = gc(&place, [])?;
    let row = said.get(0).map(|row| row["outcome"].clone());
    let known = [None, Some(json!("removed")), Some(json!("busy"))];
    assert!(known.contains(&row), "{said}");
    wait_for_end(supervisor)?;
    gc(&place, [])?;
    assert_eq!(gc(&place, [])?, json!([]));
    place.assert_clean()
}

#[test]
fn a_record_of_a_later_version_is_left_until_somebody_says_so() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("later");
    let directory = place.root().join("sandboxes").join(&id);
    std::fs::create_dir_all(&directory)?;
    let record = directory.join("record.json");
    std::fs::write(&record, "{\"format\": 4000000000}\n")?;
    let gc = place.vc(["gc", "--format", "json"]).finish()?.expect(1)?;
    let said: Value = serde_json::from_slice(&gc.stdout)?;
    let error = said[0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("another version"), "{said}");
    assert!(record.exists());
    place.vc(["delete", "--force", &id]).finish()?.expect(0)?;
    place.assert_clean()
}

#[test]
fn a_record_that_cannot_be_read_is_removed() -> Result<()> {
    let place = Place::new()?;
    let (id, other) = (place.id("torn"), place.id("empty"));
    for (id, text) in [(&id, "{\"format\": 1, "), (&other, "")] {
        let directory = place.root().join("sandboxes").join(id);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("record.json"), text)?;
    }
    let said = gc(&place, [])?;
    let outcomes: Vec<_> = said.as_array().into_iter().flatten().collect();
    assert_eq!(outcomes.len(), 2, "{said}");
    for row in outcomes {
        assert_eq!(row["outcome"], "removed", "{said}");
    }
    assert_eq!(gc(&place, [])?, json!([]));
    place.assert_clean()
}

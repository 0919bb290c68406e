//! Containers that outlive their creator: list, state, kill, logs, delete.

use anyhow::Result;
use serde_json::Value;
use virtcontainers_tests::Place;

/// A container that sleeps until it is deleted.
pub(crate) struct Running<'a> {
    place: &'a Place,
    id: String,
}

impl<'a> Running<'a> {
    pub(crate) fn start(place: &'a Place, name: &str) -> Result<Self> {
        Self::start_command(place, name, &["sleep", "100000"])
    }

    pub(crate) fn start_command(place: &'a Place, name: &str, command: &[&str]) -> Result<Self> {
        let id = place.id(name);
        let hostname = ["--detach", "--hostname", &id];
        // The container holds the caller's output, which must not be a pipe that the test waits for.
        let run = place.run(&id, hostname, command.iter().copied());
        run.output_to(&place.path("."))?.finish()?.expect(0)?;
        Ok(Self { place, id })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn state(&self) -> Result<Value> {
        let state = self.place.vc(["state", &self.id]).finish()?.expect(0)?;
        Ok(serde_json::from_slice(&state.stdout)?)
    }

    /// The supervisor's pid.
    pub(crate) fn supervisor(&self) -> Result<u32> {
        let pid = self.state()?["pid"].as_u64().unwrap_or_default();
        Ok(u32::try_from(pid)?)
    }

    pub(crate) fn delete(self) -> Result<()> {
        self.place
            .vc(["delete", "--force", &self.id])
            .finish()?
            .expect(0)?;
        Ok(())
    }
}

#[test]
fn a_detached_container_can_be_seen_and_removed() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "detached")?;
    let state = running.state()?;
    assert_eq!(state["status"], "running");
    assert_eq!(state["id"], running.id());
    assert!(state["pid"].as_u64().is_some(), "{state}");

    let list = place.vc(["list", "--format", "json"]).finish()?.expect(0)?;
    let list: Value = serde_json::from_slice(&list.stdout)?;
    assert_eq!(list[0]["id"], running.id());
    assert_eq!(list[0]["status"], "running");
    let quiet = place.vc(["list", "--quiet"]).finish()?.expect(0)?;
    assert_eq!(quiet.text(), format!("{}\n", running.id()));

    let refused = place.vc(["delete", running.id()]).finish()?.expect(1)?;
    assert!(refused.stderr.contains("force"), "{}", refused.stderr);
    running.delete()?;
    let gone = place.vc(["list", "--quiet"]).finish()?.expect(0)?;
    assert_eq!(gone.text(), "");
    place.assert_clean()
}

#[test]
fn a_killed_container_is_stopped_with_its_status() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "kill")?;
    let supervisor = running.supervisor()?;
    place
        .vc(["kill", running.id(), "TERM"])
        .finish()?
        .expect(0)?;
    wait_for_end(supervisor)?;
    assert_eq!(running.state()?["status"], "stopped");
    assert!(running.state()?["pid"].is_null());
    place.vc(["delete", running.id()]).finish()?.expect(0)?;
    place.assert_clean()
}

#[test]
fn the_guests_console_is_kept() -> Result<()> {
    let place = Place::new()?;
    let id = place.id("logs");
    let options = ["--detach", "--kernel-params", "ignore_loglevel"];
    let run = place.run(&id, options, ["sleep", "100000"]);
    run.output_to(&place.path("."))?.finish()?.expect(0)?;
    let logs = place.vc(["logs", &id]).finish()?.expect(0)?;
    assert!(logs.text().contains("Linux version"), "{:?}", logs.text());
    place.vc(["delete", "--force", &id]).finish()?.expect(0)?;
    place.assert_clean()
}

#[test]
fn an_id_in_use_is_refused_and_the_container_lives_on() -> Result<()> {
    let place = Place::new()?;
    let running = Running::start(&place, "twice")?;
    let again = place.run(running.id(), [], ["true"]).finish()?.expect(1)?;
    assert!(again.stderr.contains(running.id()), "{}", again.stderr);
    assert_eq!(again.text(), "");
    place
        .vc(["exec", running.id(), "true"])
        .finish()?
        .expect(0)?;
    running.delete()?;
    place.assert_clean()
}

/// Waits until a process is gone.
pub(crate) fn wait_for_end(pid: u32) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    let Some(pid) = Pid::from_raw(i32::try_from(pid)?) else {
        return Ok(());
    };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    let patience = Timespec {
        tv_sec: 60,
        tv_nsec: 0,
    };
    let ready = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience))?;
    anyhow::ensure!(ready == 1, "process {pid:?} does not end");
    Ok(())
}

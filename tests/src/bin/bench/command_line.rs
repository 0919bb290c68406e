//! The command line as managers call it, on a container that runs: `state` against runc's, `exec`
//! against the calls that it makes, and what the processes that stand for containers cost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use virtcontainers_agent::{Agent, AgentEndpoint, AgentPort as _, ProcessRef, Timeouts, connect};
use virtcontainers_tests::Place;
use virtcontainers_types::{ContainerId, ExecId};

use crate::bundle;
use crate::figure::{Row, Samples, Target, Unit, alternate};
use crate::host_memory::proportional_share;
use crate::runc::Runc;
use crate::setting::{PATIENCE, Setting, event_loop, vc_run};

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let place = Place::new()?;
    let kept = Kept::start(setting, &place)?;
    let mut rows = vec![kept.state(setting)?];
    rows.extend(kept.exec(setting)?);
    rows.extend(kept.memory()?);
    kept.end()?;
    place.assert_clean()?;
    Ok(rows)
}

/// A container that sleeps.
struct Kept<'a> {
    place: &'a Place,
    id: String,
}

impl<'a> Kept<'a> {
    fn start(setting: &Setting, place: &'a Place) -> Result<Self> {
        let id = place.id("kept");
        let run = vc_run(setting, place, &id, &["--detach"], &["sleep", "100000"]);
        run.output_to(&place.path("."))?.finish()?.expect(0)?;
        Ok(Self { place, id })
    }

    fn call(&self, words: &[&str]) -> Result<Duration> {
        let call = self.place.vc(words.iter().copied()).finish()?;
        Ok(call.expect(0)?.took)
    }

    fn state(&self, setting: &Setting) -> Result<Row> {
        let folder = tempfile::Builder::new().prefix("vc-bench-").tempdir()?;
        let runc = Runc::start(folder.path(), &setting.rootfs)?;
        let ours = || self.call(&["state", &self.id]);
        let (ours, other) = alternate(setting.many_pairs(), ours, || runc.state())?;
        let row = Row::new("`vc state`", Unit::Milliseconds, Samples::times(&ours)?);
        Ok(row
            .against("runc", Samples::times(&other)?)
            .target(Target::Ratio(0.6)))
    }

    fn exec(&self, setting: &Setting) -> Result<[Row; 2]> {
        let path = self.place.root().join("machines").join(&self.id);
        let endpoint = AgentEndpoint::HybridVsock {
            path: path.join("vm.vsock"),
        };
        let events = event_loop()?;
        let agent = connect(&endpoint, Timeouts::default(), PATIENCE);
        let agent = events
            .block_on(agent)
            .context("the bench wants hybrid vsock: set vsock = \"vhost-user\"")?;
        let id = ContainerId::new(self.id.clone())?;
        let mut number = 0;
        let bare = || {
            number += 1;
            events.block_on(exec_and_wait(&agent, &id, number))
        };
        let ours = || self.call(&["exec", &self.id, "true"]);
        let (ours, bare) = alternate(setting.many_pairs(), ours, bare)?;
        // What is left of a pair in which the machine was slow for the second only is below zero.
        let more =
            |(ours, bare): (&Duration, &Duration)| (ours.as_secs_f64() - bare.as_secs_f64()) * 1e3;
        let more = ours.iter().zip(&bare).map(more).collect();
        let whole = Row::new(
            "`vc exec … true`",
            Unit::Milliseconds,
            Samples::times(&ours)?,
        );
        let more = Row::new(
            "… more than exec + wait on an open connection",
            Unit::Milliseconds,
            Samples::new(more)?,
        );
        Ok([
            whole.against("exec + wait", Samples::times(&bare)?),
            more.target(Target::Value(15.0)),
        ])
    }

    /// The supervisor stands for the first container, a stand-in for a process that was left alone.
    fn memory(&self) -> Result<[Row; 2]> {
        let state = self.place.vc(["state", &self.id]).finish()?.expect(0)?;
        let state: serde_json::Value = serde_json::from_slice(&state.stdout)?;
        let supervisor = state["pid"].as_u64().context("no pid")?;
        let pid_file = self.place.path("exec.pid");
        let exec = self
            .place
            .vc(["exec", "--detach", "--pid-file"])
            .arg(&pid_file)
            .arg(&self.id)
            .arg("sleep")
            .arg("100000");
        exec.output_to(&self.place.path("."))?.finish()?.expect(0)?;
        let stand_in = std::fs::read_to_string(&pid_file)?.trim().parse()?;
        let row = |what: &str, pid: u32| -> Result<Row> {
            let share = Samples::one(proportional_share(pid)?);
            let row = Row::new(format!("{what}, PSS"), Unit::Mebibytes, share);
            Ok(row.target(Target::Value(4.0)))
        };
        Ok([
            row("supervisor", u32::try_from(supervisor)?)?,
            row("stand-in", stand_in)?,
        ])
    }

    fn end(self) -> Result<()> {
        self.call(&["delete", "--force", &self.id]).map(drop)
    }
}

async fn exec_and_wait(agent: &Agent, id: &ContainerId, number: u32) -> Result<Duration> {
    let process = ProcessRef::exec_of(id.clone(), ExecId::new(format!("bare{number}"))?);
    let spec = bundle::process(&["/bin/true"]);
    let begin = Instant::now();
    agent.exec_process(&process, spec).await?;
    let status = agent.wait_process(&process).await?;
    let took = begin.elapsed();
    anyhow::ensure!(status.0 == 0, "status {}", status.0);
    Ok(took)
}

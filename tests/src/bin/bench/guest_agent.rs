//! The guest agent, called directly on the host, against runc with the same bundle.

use std::time::Duration;

use anyhow::Result;

use crate::direct::{Direct, Exec, Life};
use crate::figure::{Row, Samples, Target, Unit};
use crate::runc::Runc;
use crate::setting::{Setting, event_loop};

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let folder = tempfile::Builder::new().prefix("vc-bench-").tempdir()?;
    event_loop()?.block_on(async {
        let agent = Direct::start(&setting.agent, folder.path(), &setting.rootfs).await?;
        let runc = Runc::start(folder.path(), &setting.rootfs)?;
        let (mut lives, mut runc_lives) = (Vec::new(), Vec::new());
        for number in 0..setting.many_pairs() {
            lives.push(agent.life(&format!("life{number}")).await?);
            runc_lives.push(runc.life(number)?);
        }
        let kept = agent.keep("kept").await?;
        let (mut execs, mut runc_execs) = (Vec::new(), Vec::new());
        for number in 0..setting.many_pairs() {
            execs.push(agent.exec(&kept, &format!("exec{number}")).await?);
            runc_execs.push(runc.exec()?);
        }
        agent.remove(&kept).await?;
        rows(&lives, &runc_lives, &execs, &runc_execs)
    })
}

fn rows(
    lives: &[Life],
    runc_lives: &[Duration],
    execs: &[Exec],
    runc_execs: &[Duration],
) -> Result<Vec<Row>> {
    let life = |time: fn(&Life) -> Duration| -> Vec<Duration> { lives.iter().map(time).collect() };
    let exec = |time: fn(&Exec) -> Duration| -> Vec<Duration> { execs.iter().map(time).collect() };
    let row = |what: &str, times: &[Duration]| -> Result<Row> {
        Ok(Row::new(what, Unit::Milliseconds, Samples::times(times)?))
    };
    let call = |what: &str, times: &[Duration], kata: &str| -> Result<Row> {
        Ok(row(&format!("agent, {what}"), times)?.note(format!("kata-agent: {kata}")))
    };
    Ok(vec![
        row("agent, create + start + wait + remove", &life(Life::whole))?
            .against("runc", Samples::times(runc_lives)?)
            .target(Target::Ratio(0.5)),
        row("agent, exec + wait", &exec(Exec::whole))?
            .against("runc", Samples::times(runc_execs)?)
            .target(Target::Ratio(0.5)),
        call("create", &life(|life| life.create), "7.6 to 10.4")?,
        call("start", &life(|life| life.start), "0.3 to 0.4")?,
        call("wait", &life(|life| life.wait), "1.4 to 1.7")?,
        call("remove", &life(|life| life.remove), "0.7 to 0.9")?,
        call("exec", &exec(|exec| exec.exec), "5.5 to 7.3")?,
        call("wait for exec", &exec(|exec| exec.wait), "1.4 to 1.7")?,
    ])
}

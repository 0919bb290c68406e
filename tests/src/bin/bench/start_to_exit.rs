//! `vc run … true` from its start to its exit, against a bare machine that boots to the agent's
//! health check and is told to quit.

use std::time::{Duration, Instant};

use anyhow::Result;
use virtcontainers_tests::Place;

use crate::bare::Bare;
use crate::figure::{Row, Samples, Target, Unit, alternate};
use crate::recipe::Recipe;
use crate::setting::{Setting, event_loop, vc_run};

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let recipe = Recipe::of_a_sandbox(setting)?;
    let place = Place::new()?;
    let served = tempfile::tempdir()?;
    let mut number = 0;
    let ours = || -> Result<Duration> {
        number += 1;
        let id = place.id(&format!("run{number}"));
        let run = vc_run(setting, &place, &id, &[], &["true"]);
        Ok(run.finish()?.expect(0)?.took)
    };
    let bare = || -> Result<Duration> {
        let events = event_loop()?;
        let begin = Instant::now();
        events.block_on(async {
            let mut bare = Bare::start(&recipe, served.path())?;
            bare.announced().await?;
            bare.connect().await?;
            bare.quit()
        })?;
        Ok(begin.elapsed())
    };
    let (ours, bare) = alternate(setting.pairs(), ours, bare)?;
    place.assert_clean()?;
    let row = Row::new(
        "`vc run … true`, start to exit",
        Unit::Milliseconds,
        Samples::times(&ours)?,
    );
    Ok(vec![
        row.against("bare", Samples::times(&bare)?)
            .target(Target::Ratio(1.25)),
    ])
}

//! Our initrd until the agent announces itself, against the same machine and kernel with an init
//! that only powers off.

use std::time::Duration;

use anyhow::Result;

use crate::bare::Bare;
use crate::figure::{Row, Samples, Target, Unit, alternate};
use crate::guest_program;
use crate::recipe::Recipe;
use crate::setting::{Setting, event_loop};

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let ours = Recipe::of_a_sandbox(setting)?;
    let empty = guest_program::initrd_that_powers_off(folder.path())?;
    let theirs = ours.clone().with_initrd(empty)?;
    let served = tempfile::tempdir()?;
    let ready = || -> Result<Duration> {
        event_loop()?.block_on(async {
            let mut bare = Bare::start(&ours, served.path())?;
            bare.announced().await?;
            let ready = bare.running_for();
            bare.quit()?;
            Ok(ready)
        })
    };
    let off = || -> Result<Duration> {
        event_loop()?.block_on(async {
            let bare = Bare::start(&theirs, served.path())?;
            bare.powered_off().await?;
            Ok(bare.running_for())
        })
    };
    let (ours, theirs) = alternate(setting.pairs(), ready, off)?;
    let row = Row::new(
        "our initrd to agent-ready",
        Unit::Milliseconds,
        Samples::times(&ours)?,
    );
    Ok(vec![
        row.against("power off at once", Samples::times(&theirs)?)
            .target(Target::Ratio(1.2)),
    ])
}

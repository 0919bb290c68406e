//! A gibibyte of standard output with a reader that pauses: how much our processes grow.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use virtcontainers_tests::Place;

use crate::figure::{Row, Samples, Unit};
use crate::guest_program;
use crate::held::Held;
use crate::host_memory::proportional_share;
use crate::setting::Setting;

const AMOUNT: u64 = 1 << 30;
/// After so much it pauses.
const STRETCH: u64 = 64 << 20;
/// For so long, in which buffers would fill.
const PAUSE: Duration = Duration::from_millis(1500);

/// Takes minutes under emulation: not for quick runs.
pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    if setting.quick {
        return Ok(Vec::new());
    }
    let place = Place::new()?;
    guest_program::stream(&place.rootfs().join("bin/stream"))?;
    let mut held = Held::start(setting, &place, "slow")?;
    let processes = held.ours()?;
    let mut shares: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    held.order(&format!("stream 0 {AMOUNT}"))?;
    let mut left = AMOUNT;
    let mut block = vec![0; 64 << 10];
    while left > 0 {
        let mut stretch = STRETCH.min(left);
        while stretch > 0 {
            let room = block.len().min(usize::try_from(stretch)?);
            let read = held.output.read(&mut block[..room])? as u64;
            anyhow::ensure!(read > 0, "the stream ended {left} bytes early");
            stretch -= read;
            left -= read;
        }
        must_live_on(held.helper("qemu")?)?;
        for (role, pid) in &processes {
            shares
                .entry(role)
                .or_default()
                .push(proportional_share(*pid)?);
        }
    }
    held.end()?;
    place.assert_clean()?;
    let mut rows = Vec::new();
    for (role, shares) in shares {
        let first = *shares.first().context("nothing was measured")?;
        let growth = shares
            .iter()
            .fold(0.0, |most: f64, share| most.max(share - first));
        let what = format!("1 GiB to a reader that pauses, growth of {role}");
        let row = Row::new(what, Unit::Mebibytes, Samples::one(growth));
        rows.push(row.note("PSS at its most, less that after the first 64 MiB"));
    }
    Ok(rows)
}

/// The reader's pause: nothing may end meanwhile.
fn must_live_on(pid: u32) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no pid")?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    let count = poll(&mut ended, Some(&Timespec::try_from(PAUSE)?))?;
    anyhow::ensure!(count == 0, "the machine ended");
    Ok(())
}

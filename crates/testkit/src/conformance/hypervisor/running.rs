//! What a machine that runs promises.

use std::time::Duration;

use virtcontainers_hypervisor::{ErrorKind, MachineEvent};
use virtcontainers_process::{Identity, kill_and_wait};

use super::stage::{Stage, done, refused};
use super::{Harness, Promise};
use crate::conformance::{Ability, Need, ensure};
use crate::hypervisor::Power;

type Checked = Result<(), String>;

const PAUSE: &[Need] = &[Need::Has(Ability::Pause)];

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "a-pause-halts-the-cpus",
        sentence: "A pause halts the CPUs.",
        needs: PAUSE,
        check: |harness| Box::pin(pause(harness)),
    },
    Promise {
        name: "a-resume-lets-the-cpus-go-on",
        sentence: "A resume lets the CPUs go on.",
        needs: PAUSE,
        check: |harness| Box::pin(resume(harness)),
    },
    Promise {
        name: "a-second-pause-is-refused",
        sentence: "A pause of what is halted already is a wrong state.",
        needs: PAUSE,
        check: |harness| Box::pin(second_pause(harness)),
    },
    Promise {
        name: "a-resume-of-what-runs-is-refused",
        sentence: "A resume of what is not halted is a wrong state.",
        needs: PAUSE,
        check: |harness| Box::pin(resume_of_running(harness)),
    },
    Promise {
        name: "a-pause-of-what-ended-is-gone",
        sentence: "A pause of a machine that has ended fails as gone.",
        needs: PAUSE,
        check: |harness| Box::pin(pause_of_ended(harness)),
    },
    Promise {
        name: "pausing-needs-the-ability",
        sentence: "Where machines cannot be paused, a pause is unsupported and halts nothing.",
        needs: &[Need::Lacks(Ability::Pause)],
        check: |harness| Box::pin(unable(harness)),
    },
    Promise {
        name: "a-power-down-asks-the-guest",
        sentence: "A power-down returns when the guest was asked.",
        needs: &[],
        check: |harness| Box::pin(power_down(harness)),
    },
    Promise {
        name: "a-power-down-of-what-ended-is-gone",
        sentence: "A power-down of a machine that has ended fails as gone.",
        needs: &[],
        check: |harness| Box::pin(power_down_of_ended(harness)),
    },
    Promise {
        name: "the-launcher-has-events",
        sentence: "A subscription tells what the monitor reports from then on.",
        needs: &[Need::Has(Ability::Events), Need::Has(Ability::Pause)],
        check: |harness| Box::pin(events(harness)),
    },
    Promise {
        name: "events-end-with-the-machine",
        sentence: "A subscription ends with the machine.",
        needs: &[Need::Has(Ability::Events)],
        check: |harness| Box::pin(last_event(harness)),
    },
    Promise {
        name: "the-monitor-is-listed-first",
        sentence: "The monitor is the first of the listed processes, and its end is the machine's.",
        needs: &[Need::Has(Ability::Processes)],
        check: |harness| Box::pin(monitor(harness)),
    },
];

async fn pause(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    done("the pause", machine.pause().await)?;
    stage.power_is(Power::Paused).await
}

async fn resume(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    done("the pause", machine.pause().await)?;
    done("the resume", machine.resume().await)?;
    stage.power_is(Power::Running).await
}

async fn second_pause(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    done("the pause", machine.pause().await)?;
    refused(
        "a second pause",
        machine.pause().await,
        ErrorKind::WrongState,
    )
}

async fn resume_of_running(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let resumed = machine.resume().await;
    refused("a resume of what runs", resumed, ErrorKind::WrongState)
}

async fn pause_of_ended(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start_and_crash().await?;
    refused("a pause", machine.pause().await, ErrorKind::Gone)
}

async fn unable(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    refused("a pause", machine.pause().await, ErrorKind::Unsupported)?;
    stage.power_is(Power::Running).await
}

async fn power_down(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    done("the power-down", machine.power_down().await)
}

async fn power_down_of_ended(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start_and_crash().await?;
    refused("a power-down", machine.power_down().await, ErrorKind::Gone)
}

async fn events(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let mut events = done("the subscription", machine.events())?;
    done("the pause", machine.pause().await)?;
    done("the resume", machine.resume().await)?;
    for wanted in [MachineEvent::Paused, MachineEvent::Resumed] {
        let found = events.next().await;
        ensure!(found == Some(wanted), "{found:?} is told, not {wanted:?}");
    }
    Ok(())
}

async fn last_event(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let mut events = done("the subscription", machine.events())?;
    stage.crash()?;
    while events.next().await.is_some() {}
    Ok(())
}

async fn monitor(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let processes = machine.processes();
    let first = processes.first().ok_or("no process is listed")?;
    let monitor = Identity {
        pid: first.pid,
        start_time: first.start_time,
    };
    ensure!(
        monitor.is_alive(),
        "the first of {processes:?} does not live"
    );
    let killed = kill_and_wait(monitor, Duration::from_secs(20));
    killed.map_err(|error| error.to_string())?;
    machine.wait().await;
    Ok(())
}

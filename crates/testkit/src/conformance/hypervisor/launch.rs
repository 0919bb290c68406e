//! What a backend promises of the way from a plan to CPUs that run.

use std::os::fd::OwnedFd;
use std::time::Duration;

use virtcontainers_hypervisor::{ErrorKind, Handoffs};
use virtcontainers_process::{find_by_nonce, on_thread};

use super::polls::drop_after;
use super::stage::{Ledger, Stage, done, refused};
use super::{Harness, Promise};
use crate::conformance::{Ability, Need, ensure};
use crate::hypervisor::Power;

type Checked = Result<(), String>;

/// More points at which a future can be dropped than any backend has.
const MOST_POLLS: usize = 500;
const VANISH: Duration = Duration::from_secs(20);

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "a-launch-holds-the-cpus",
        sentence: "A launched machine's CPUs have not started.",
        needs: &[],
        check: |harness| Box::pin(holds(harness)),
    },
    Promise {
        name: "a-dropped-launch-leaves-nothing",
        sentence: "Dropping the future of a launch ends and reaps what was started.",
        needs: &[],
        check: |harness| Box::pin(dropped_launch(harness)),
    },
    Promise {
        name: "an-unstarted-machine-ends-when-dropped",
        sentence: "Dropping a launched machine ends it.",
        needs: &[],
        check: |harness| Box::pin(dropped_launched(harness)),
    },
    Promise {
        name: "an-unstarted-machine-tells-its-end",
        sentence: "The end of the monitor or one of its helpers is told before the start too.",
        needs: &[],
        check: |harness| Box::pin(unstarted_end(harness)),
    },
    Promise {
        name: "a-start-lets-the-cpus-run",
        sentence: "A start lets the CPUs run.",
        needs: &[],
        check: |harness| Box::pin(starts(harness)),
    },
    Promise {
        name: "a-start-of-what-ended-is-gone",
        sentence: "A start fails as gone when the monitor has ended.",
        needs: &[],
        check: |harness| Box::pin(start_of_ended(harness)),
    },
    Promise {
        name: "a-dropped-start-leaves-nothing",
        sentence: "The machine is ended when the future of its start is dropped.",
        needs: &[],
        check: |harness| Box::pin(dropped_start(harness)),
    },
    Promise {
        name: "processes-carry-the-nonce",
        sentence: "Every process of the machine carries the sandbox's nonce.",
        needs: &[Need::Has(Ability::Processes)],
        check: |harness| Box::pin(nonce(harness)),
    },
    Promise {
        name: "processes-are-in-the-namespace",
        sentence: "The machine runs in the network namespace that is handed over.",
        needs: &[
            Need::Has(Ability::Processes),
            Need::Has(Ability::NetworkNamespaces),
        ],
        check: |harness| Box::pin(namespace(harness)),
    },
    Promise {
        name: "processes-die-with-their-launcher",
        sentence: "Where it was asked for, processes die with the thread that launched them.",
        needs: &[Need::Has(Ability::Processes)],
        check: |harness| Box::pin(launcher(harness)),
    },
];

async fn holds(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let _launched = stage.launch().await?;
    stage.power_is(Power::Held).await
}

async fn dropped_launch(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    for polls in 1..MOST_POLLS {
        let launched = drop_after(polls, stage.launch()).await;
        if launched.transpose()?.is_some() {
            return Ok(());
        }
        let left = stage.nothing_is_left();
        left.map_err(|left| format!("dropped when polled {polls} times: {left}"))?;
    }
    Err(format!(
        "a launch is not done when polled {MOST_POLLS} times"
    ))
}

async fn dropped_launched(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    drop(stage.launch().await?);
    stage.nothing_is_left()
}

async fn unstarted_end(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let launched = stage.launch().await?;
    stage.crash()?;
    let exit = launched.exited().await;
    ensure!(
        !exit.program.is_empty(),
        "it is not told which program ended"
    );
    Ok(())
}

async fn starts(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let _machine = stage.start().await?;
    stage.power_is(Power::Running).await
}

async fn start_of_ended(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let launched = stage.launch().await?;
    stage.crash()?;
    let started = launched.start().await;
    refused("a start of what ended", started, ErrorKind::Gone)?;
    stage.nothing_is_left()
}

async fn dropped_start(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    for polls in 1..MOST_POLLS {
        let launched = stage.launch().await?;
        let Some(started) = drop_after(polls, launched.start()).await else {
            let left = stage.nothing_is_left();
            left.map_err(|left| format!("dropped when polled {polls} times: {left}"))?;
            continue;
        };
        let machine = done("the start", started)?;
        return done("the shutdown", machine.shutdown(VANISH).await);
    }
    Err(format!(
        "a start is not done when polled {MOST_POLLS} times"
    ))
}

async fn nonce(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let marked = find_by_nonce(&stage.nonce).map_err(|error| error.to_string())?;
    let mut marked: Vec<u32> = marked.iter().map(|process| process.pid).collect();
    let mut listed: Vec<u32> = machine.processes().iter().map(|one| one.pid).collect();
    marked.sort_unstable();
    listed.sort_unstable();
    let ended = machine.shutdown(VANISH).await;
    ensure!(
        marked == listed && !listed.is_empty(),
        "the machine lists {listed:?}, and {marked:?} carry the nonce"
    );
    done("the shutdown", ended)
}

async fn namespace(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let namespace = unnamed_namespace(&stage.nonce)?;
    let stat = rustix::fs::fstat(&namespace).map_err(|error| error.to_string())?;
    let wanted = format!("net:[{}]", stat.st_ino);
    let handoffs = Handoffs {
        network_namespace: Some(namespace),
        ..stage.handoffs()
    };
    let launch = stage
        .backend
        .launch(stage.plan.clone(), handoffs, &stage.ledger);
    let launched = done("the launch", launch.await)?;
    let _machine = done("the start", launched.start().await)?;
    for process in find_by_nonce(&stage.nonce).map_err(|error| error.to_string())? {
        let link = std::fs::read_link(format!("/proc/{}/ns/net", process.pid));
        let found = link.map_err(|error| error.to_string())?;
        ensure!(
            found.as_os_str() == wanted.as_str(),
            "{process} is in {}, not in {wanted}",
            found.display()
        );
    }
    Ok(())
}

/// A network namespace that lives as long as somebody holds it: it is made with a name, which is
/// taken back at once.
fn unnamed_namespace(name: &str) -> Result<OwnedFd, String> {
    let ledger = Ledger::default();
    let made = virtcontainers_network::create_namespace(name, &ledger);
    let descriptor = made.and_then(|namespace| namespace.descriptor());
    for entry in ledger.entries().iter().rev() {
        virtcontainers_network::undo(entry).map_err(|error| error.to_string())?;
    }
    descriptor.map_err(|error| error.to_string())
}

async fn launcher(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let handoffs = Handoffs {
        die_with_launcher: true,
        ..stage.handoffs()
    };
    let (backend, plan) = (harness.backend(), stage.plan.clone());
    let started = on_thread("launcher", None, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let ledger = Ledger::default();
            let launched = done("the launch", backend.launch(plan, handoffs, &ledger).await)?;
            // The thread ends without a word to the machine.
            done("the start", launched.start().await).map(drop)
        })
    });
    started.await.map_err(|error| error.to_string())??;
    for process in find_by_nonce(&stage.nonce).map_err(|error| error.to_string())? {
        let gone = process.wait_gone(VANISH).await;
        gone.map_err(|_| format!("{process} lives on"))?;
    }
    Ok(())
}

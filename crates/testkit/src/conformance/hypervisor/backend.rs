//! What a backend promises before it launches anything.

use virtcontainers_hypervisor::{Carrier, ErrorKind, NetworkDevicePlan, SharePlan};
use virtcontainers_types::MacAddress;

use super::stage::{Stage, done, refused, text};
use super::{Harness, Promise};
use crate::conformance::{Ability, Need, ensure};

type Checked = Result<(), String>;

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "the-name-is-stable",
        sentence: "The name is stored with a sandbox and written in configurations; stable.",
        needs: &[],
        check: |harness| Box::pin(name(harness)),
    },
    Promise {
        name: "a-check-has-no-effect",
        sentence: "Checking a plan has no effect, and a good one passes.",
        needs: &[],
        check: |harness| Box::pin(check(harness)),
    },
    Promise {
        name: "foreseeable-failures-are-refused",
        sentence: "Every plan whose failure can be foreseen is refused by the check.",
        needs: &[],
        check: |harness| Box::pin(foreseeable(harness)),
    },
    Promise {
        name: "a-refused-launch-has-no-effect",
        sentence: "A launch refuses what the check refuses, in the same way, before any effect.",
        needs: &[],
        check: |harness| Box::pin(refused_launch(harness)),
    },
    Promise {
        name: "sharing-needs-the-ability",
        sentence: "A plan with a shared directory is unsupported where that cannot be.",
        needs: &[Need::Lacks(Ability::FilesystemSharing)],
        check: |harness| Box::pin(sharing(harness)),
    },
    Promise {
        name: "network-devices-are-counted",
        sentence: "More network devices than a machine can have are refused.",
        needs: &[],
        check: |harness| Box::pin(network_devices(harness)),
    },
    Promise {
        name: "network-devices-are-handed-over",
        sentence: "A launch without what carries the frames of its devices is refused, and has no effect.",
        needs: &[],
        check: |harness| Box::pin(network_handoffs(harness)),
    },
    Promise {
        name: "the-endpoint-is-known-before",
        sentence: "Where the agent will answer is known before the launch.",
        needs: &[],
        check: |harness| Box::pin(endpoint(harness)),
    },
];

async fn name(harness: &dyn Harness) -> Checked {
    let (name, other) = (harness.backend().name(), harness.backend().name());
    ensure!(name == other, "two backends are {name:?} and {other:?}");
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        !name.is_empty() && name.chars().all(fits),
        "{name:?} is not of lowercase letters, digits and hyphens"
    );
    Ok(())
}

async fn check(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    done("the check of a good plan", stage.backend.check(&stage.plan))?;
    stage.nothing_is_left()
}

async fn foreseeable(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    for (what, plan) in harness.refused(&stage.plan) {
        let Err(error) = stage.backend.check(&plan) else {
            return Err(format!("the check lets {what} pass"));
        };
        let kind = error.kind();
        ensure!(
            matches!(
                kind,
                ErrorKind::Invalid
                    | ErrorKind::NotFound
                    | ErrorKind::Unsupported
                    | ErrorKind::Denied
            ),
            "{what} is refused as {kind:?}: {}",
            text(&error)
        );
    }
    Ok(())
}

async fn refused_launch(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    for (what, plan) in harness.refused(&stage.plan) {
        let wanted = stage.backend.check(&plan).map_err(|error| error.kind());
        let launch = stage.backend.launch(plan, stage.handoffs(), &stage.ledger);
        let launched = launch.await.map(drop);
        if let Err(wanted) = wanted {
            refused(&format!("the launch with {what}"), launched, wanted)?;
        }
        let entries = stage.ledger.entries();
        ensure!(entries.is_empty(), "{what}: {entries:?} were entered");
        stage.nothing_is_left()?;
    }
    Ok(())
}

async fn sharing(harness: &dyn Harness) -> Checked {
    let mut stage = Stage::new(harness)?;
    stage.plan.share = Some(SharePlan {
        tag: "share".to_owned(),
        socket: "virtiofs.sock".into(),
    });
    let checked = stage.backend.check(&stage.plan);
    refused("a shared directory", checked, ErrorKind::Unsupported)
}

fn network_device(number: u8) -> NetworkDevicePlan {
    NetworkDevicePlan {
        id: format!("nic{number}"),
        mac: MacAddress([2, 0, 0, 0, 0, number]),
        mtu: 1500,
        queues: 1,
        carrier: Carrier::Tap,
    }
}

async fn network_devices(harness: &dyn Harness) -> Checked {
    let mut stage = Stage::new(harness)?;
    let most = stage.backend.capabilities().network_devices;
    stage.plan.network_devices = (0..most).map(network_device).collect();
    done(
        "the check with all devices",
        stage.backend.check(&stage.plan),
    )?;
    stage.plan.network_devices.push(network_device(most));
    let wanted = match most {
        0 => ErrorKind::Unsupported,
        _ => ErrorKind::Invalid,
    };
    let checked = stage.backend.check(&stage.plan);
    refused(
        &format!("a plan with {most} devices and one more"),
        checked,
        wanted,
    )
}

async fn network_handoffs(harness: &dyn Harness) -> Checked {
    let mut stage = Stage::new(harness)?;
    stage.plan.network_devices = vec![network_device(0)];
    let wanted = match stage.backend.capabilities().network_devices {
        0 => ErrorKind::Unsupported,
        _ => ErrorKind::Invalid,
    };
    let launched = stage.try_launch(&stage.ledger).await.map(drop);
    refused("a launch without a tap for its device", launched, wanted)?;
    let entries = stage.ledger.entries();
    ensure!(entries.is_empty(), "{entries:?} were entered");
    stage.nothing_is_left()
}

async fn endpoint(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let before = done("the endpoint", stage.backend.agent_endpoint(&stage.plan))?;
    let machine = stage.start().await?;
    let after = machine.agent_endpoint();
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(())
}

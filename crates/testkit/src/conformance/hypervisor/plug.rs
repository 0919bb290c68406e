//! What a backend promises about network devices that come and go while the machine runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use virtcontainers_hypervisor::{
    Carrier, Error, ErrorKind, Handoffs, Machine, NetworkDeviceHandoff, NetworkDevicePlan,
};
use virtcontainers_types::{MacAddress, PciPath};

use super::polls::drop_after;
use super::stage::{Stage, done, refused};
use super::{Harness, Promise};
use crate::conformance::{Ability, Need, ensure};

type Checked = Result<(), String>;

/// The name of a device that is in the machine's plan.
pub(in crate::conformance) const OF_THE_START: &str = "first";
/// More points at which a future can be dropped than any backend has.
const MOST_POLLS: usize = 500;

const HOTPLUG: &[Need] = &[Need::Has(Ability::NetworkHotplug)];

pub(super) const PROMISES: &[Promise] = &[
    Promise {
        name: "an-added-device-is-there",
        sentence: "A network device that is added is there, at a place of its own.",
        needs: HOTPLUG,
        check: |harness| Box::pin(added(harness)),
    },
    Promise {
        name: "a-device-is-added-once",
        sentence: "A device with the name of another one exists already, and changes nothing.",
        needs: HOTPLUG,
        check: |harness| Box::pin(twice(harness)),
    },
    Promise {
        name: "added-devices-are-counted",
        sentence: "More network devices in all than a machine can have are refused.",
        needs: HOTPLUG,
        check: |harness| Box::pin(counted(harness)),
    },
    Promise {
        name: "added-devices-are-handed-over",
        sentence: "A device without what carries its frames is refused, and changes nothing.",
        needs: HOTPLUG,
        check: |harness| Box::pin(handed_over(harness)),
    },
    Promise {
        name: "a-removed-device-is-gone",
        sentence: "A network device that is removed is gone, and can be added again.",
        needs: HOTPLUG,
        check: |harness| Box::pin(removed(harness)),
    },
    Promise {
        name: "a-device-of-the-start-is-removed",
        sentence: "A network device of the machine's plan can be removed like one that was added.",
        needs: HOTPLUG,
        check: |harness| Box::pin(of_the_start(harness)),
    },
    Promise {
        name: "a-removal-of-nothing-succeeds",
        sentence: "The removal of a network device that is not there succeeds.",
        needs: HOTPLUG,
        check: |harness| Box::pin(nothing(harness)),
    },
    Promise {
        name: "a-dropped-addition-is-removed",
        sentence: "A removal takes away what is left of an addition whose future was dropped.",
        needs: HOTPLUG,
        check: |harness| Box::pin(dropped(harness)),
    },
    Promise {
        name: "an-adopter-adds-and-removes",
        sentence: "Who adopted the machine adds and removes network devices like its launcher.",
        needs: &[
            Need::Has(Ability::NetworkHotplug),
            Need::Has(Ability::Adopt),
        ],
        check: |harness| Box::pin(adopter(harness)),
    },
    Promise {
        name: "devices-of-what-ended-are-gone",
        sentence: "Additions to and removals from a machine that has ended fail as gone.",
        needs: HOTPLUG,
        check: |harness| Box::pin(ended(harness)),
    },
    Promise {
        name: "hotplug-needs-the-ability",
        sentence: "Where network devices do not come and go, adding and removing is unsupported.",
        needs: &[Need::Lacks(Ability::NetworkHotplug)],
        check: |harness| Box::pin(unable(harness)),
    },
];

fn device(name: &str, number: u8) -> NetworkDevicePlan {
    NetworkDevicePlan {
        id: name.to_owned(),
        mac: MacAddress([2, 0, 0, 0, 1, number]),
        mtu: 1500,
        queues: 1,
        carrier: Carrier::Tap,
    }
}

fn handoff(
    harness: &dyn Harness,
    device: &NetworkDevicePlan,
) -> Result<NetworkDeviceHandoff, String> {
    Ok(NetworkDeviceHandoff {
        id: device.id.clone(),
        descriptors: vec![harness.network_descriptor()?],
        vhost: Vec::new(),
    })
}

async fn add(
    stage: &Stage<'_>,
    machine: &dyn Machine,
    device: &NetworkDevicePlan,
) -> Result<Result<Option<PciPath>, Error>, String> {
    let handoff = handoff(stage.harness, device)?;
    Ok(machine.add_network_device(device, handoff).await)
}

/// The devices of the machine are those with these names.
async fn devices_are(stage: &Stage<'_>, wanted: &[&str]) -> Checked {
    let found = stage.harness.network_devices(&stage.plan).await?;
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
    ensure!(
        found == wanted,
        "the machine has the network devices {found:?}, not {wanted:?}"
    );
    Ok(())
}

async fn added(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let one = done("one", add(&stage, &*machine, &device("one", 1)).await?)?;
    devices_are(&stage, &["one"]).await?;
    let two = done("two", add(&stage, &*machine, &device("two", 2)).await?)?;
    devices_are(&stage, &["one", "two"]).await?;
    ensure!(one.is_none() || one != two, "both are at {one:?}");
    Ok(())
}

async fn twice(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    done("one", add(&stage, &*machine, &device("one", 1)).await?)?;
    let again = add(&stage, &*machine, &device("one", 2)).await?;
    refused("one of the same name", again, ErrorKind::AlreadyExists)?;
    devices_are(&stage, &["one"]).await
}

async fn counted(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let most = stage.backend.capabilities().network_devices;
    let names: Vec<String> = (0..most).map(|number| format!("nic{number}")).collect();
    for (number, name) in (0..).zip(&names) {
        done(name, add(&stage, &*machine, &device(name, number)).await?)?;
    }
    let another = add(&stage, &*machine, &device("another", most)).await?;
    let what = format!("one more than {most}");
    refused(&what, another, ErrorKind::Invalid)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    devices_are(&stage, &names).await
}

async fn handed_over(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let one = device("one", 1);
    let nothing = NetworkDeviceHandoff {
        id: one.id.clone(),
        descriptors: Vec::new(),
        vhost: Vec::new(),
    };
    let of_another = handoff(harness, &device("two", 2))?;
    for (what, handoff) in [("nothing", nothing), ("that of another", of_another)] {
        let added = machine.add_network_device(&one, handoff).await;
        let what = format!("a device for which {what} is handed over");
        refused(&what, added, ErrorKind::Invalid)?;
    }
    devices_are(&stage, &[]).await
}

async fn removed(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    for (name, number) in [("one", 1), ("two", 2)] {
        done(name, add(&stage, &*machine, &device(name, number)).await?)?;
    }
    let removal = machine.remove_network_device("one").await;
    done("the removal", removal)?;
    devices_are(&stage, &["two"]).await?;
    let again = add(&stage, &*machine, &device("one", 1)).await?;
    done("a second addition", again)?;
    devices_are(&stage, &["one", "two"]).await
}

async fn of_the_start(harness: &dyn Harness) -> Checked {
    let mut stage = Stage::new(harness)?;
    let first = device(OF_THE_START, 1);
    let handoffs = Handoffs {
        network_devices: vec![handoff(harness, &first)?],
        ..stage.handoffs()
    };
    stage.plan.network_devices = vec![first];
    let launch = stage
        .backend
        .launch(stage.plan.clone(), handoffs, &stage.ledger);
    let launched = done("the launch", launch.await)?;
    let machine = done("the start", launched.start().await)?;
    done("two", add(&stage, &*machine, &device("two", 2)).await?)?;
    devices_are(&stage, &[OF_THE_START, "two"]).await?;
    let removal = machine.remove_network_device(OF_THE_START).await;
    done("the removal", removal)?;
    devices_are(&stage, &["two"]).await
}

async fn nothing(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let removal = machine.remove_network_device("one").await;
    done("the removal", removal)
}

async fn dropped(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    for polls in 1..MOST_POLLS {
        // Names of their own, so that nothing hides behind what was there before.
        let name = format!("nic{polls}");
        let device = device(&name, 1);
        let handoff = handoff(harness, &device)?;
        let adding = machine.add_network_device(&device, handoff);
        let added = drop_after(polls, adding).await;
        let removal = machine.remove_network_device(&name).await;
        let what = format!("the removal of what was polled {polls} times");
        done(&what, removal)?;
        let none = devices_are(&stage, &[]).await;
        none.map_err(|left| format!("dropped when polled {polls} times: {left}"))?;
        if let Some(added) = added {
            return done("the addition", added).map(drop);
        }
    }
    Err(format!(
        "an addition is not done when polled {MOST_POLLS} times"
    ))
}

async fn adopter(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let other: Arc<dyn Machine> = {
        let adopted = harness.backend().adopt(&machine.save()).await;
        done("the adoption", adopted)?
    };
    done("one", add(&stage, &*machine, &device("one", 1)).await?)?;
    done("two", add(&stage, &*other, &device("two", 2)).await?)?;
    devices_are(&stage, &["one", "two"]).await?;
    done("one's end", other.remove_network_device("one").await)?;
    done("two's end", machine.remove_network_device("two").await)?;
    devices_are(&stage, &[]).await
}

async fn ended(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start_and_crash().await?;
    let added = add(&stage, &*machine, &device("one", 1)).await?;
    refused("an addition", added, ErrorKind::Gone)?;
    let removed = machine.remove_network_device("one").await;
    refused("a removal", removed, ErrorKind::Gone)
}

async fn unable(harness: &dyn Harness) -> Checked {
    let stage = Stage::new(harness)?;
    let machine = stage.start().await?;
    let added = add(&stage, &*machine, &device("one", 1)).await?;
    refused("an addition", added, ErrorKind::Unsupported)?;
    let removed = machine.remove_network_device("one").await;
    refused("a removal", removed, ErrorKind::Unsupported)
}

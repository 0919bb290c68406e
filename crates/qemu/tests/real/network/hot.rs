//! Devices that come and go while the machine runs.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde_json::json;
use virtcontainers_hypervisor::{
    Backend, Carrier, Error, ErrorKind, Handoffs, Machine, NetworkDeviceHandoff, NetworkDevicePlan,
};
use virtcontainers_types::PciPath;

use super::switch::Switch;
use super::{device, taps};
use crate::fixture::{Fixture, SOON, console, descriptors, until_up};
use crate::guest::Guest;
use crate::schema::ask_with;

fn handoff(device: &NetworkDevicePlan, name: &str) -> NetworkDeviceHandoff {
    let descriptors = taps(&[(name, device.queues)]).remove(0);
    NetworkDeviceHandoff {
        id: device.id.clone(),
        descriptors,
        vhost: Vec::new(),
    }
}

async fn started(fixture: &Fixture) -> Arc<dyn Machine> {
    let (output, input) = console();
    let handoffs = Handoffs {
        console: Some(input),
        ..fixture.handoffs()
    };
    let machine = fixture.launch_with(handoffs).await;
    let machine = machine.start().await.expect("a start");
    drop(until_up(output).await);
    machine
}

/// What QEMU says of all carriers and devices.
async fn network(fixture: &Fixture) -> String {
    let command = json!({ "command-line": "info network" });
    let said = ask_with(&fixture.plan.directory, "human-monitor-command", command).await;
    said.as_str().expect("text").to_owned()
}

fn open_taps(machine: &dyn Machine) -> usize {
    let open = descriptors(machine.processes()[0]);
    let taps = open
        .iter()
        .filter(|path| *path == Path::new("/dev/net/tun"));
    taps.count()
}

fn place(path: &str) -> Option<PciPath> {
    Some(path.parse().expect("a path"))
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test]
async fn devices_come_and_go() {
    let mut fixture = Fixture::new(Guest::LetsGo);
    // One of the start takes the first slot.
    fixture.plan.network_devices = vec![device("nic2", 2, 1)];
    let (output, input) = console();
    let handoffs = Handoffs {
        console: Some(input),
        network_devices: vec![handoff(&fixture.plan.network_devices[0], "tap2")],
        ..fixture.handoffs()
    };
    let machine = fixture.launch_with(handoffs).await;
    let machine = machine.start().await.expect("a start");
    drop(until_up(output).await);

    let (one, several) = (device("nic3", 3, 1), device("nic4", 4, 3));
    let added = machine.add_network_device(&one, handoff(&one, "tap3"));
    assert_eq!(added.await.expect("a device"), place("1e/02"));
    let added = machine.add_network_device(&several, handoff(&several, "tap4"));
    assert_eq!(added.await.expect("a device"), place("1e/03"));
    assert_eq!(open_taps(&*machine), 5);
    let again = machine.add_network_device(&one, handoff(&one, "tap5"));
    assert_eq!(kind(again.await), Some(ErrorKind::AlreadyExists));
    assert_eq!(open_taps(&*machine), 5);

    // The one of the start can go as well, and its slot is the first that is free.
    for id in ["nic2", "nic3", "nic3", "nic9"] {
        machine.remove_network_device(id).await.expect("a removal");
    }
    assert_eq!(open_taps(&*machine), 3);
    let added = machine.add_network_device(&one, handoff(&one, "tap3"));
    assert_eq!(added.await.expect("a device"), place("1e/01"));
    for id in ["nic3", "nic4"] {
        machine.remove_network_device(id).await.expect("a removal");
    }
    assert_eq!(open_taps(&*machine), 0);
    assert_eq!(network(&fixture).await, "");
    machine.shutdown(SOON).await.expect("a shutdown");
    let gone = machine.add_network_device(&one, handoff(&one, "tap3"));
    assert_eq!(kind(gone.await), Some(ErrorKind::Gone));
    assert_eq!(
        kind(machine.remove_network_device("nic3").await),
        Some(ErrorKind::Gone)
    );
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn another_process_adds_and_removes() {
    let fixture = Fixture::new(Guest::LetsGo);
    let machine = started(&fixture).await;
    let adopted = Fixture::backend().adopt(&machine.save()).await;
    let adopted = adopted.expect("a machine");
    let (one, two) = (device("nic2", 2, 2), device("nic3", 3, 2));
    let added = machine.add_network_device(&one, handoff(&one, "tap2"));
    assert_eq!(added.await.expect("a device"), place("1e/01"));
    let added = adopted.add_network_device(&two, handoff(&two, "tap3"));
    assert_eq!(added.await.expect("a device"), place("1e/02"));
    // Each removes what the other one added.
    let (first, second) = tokio::join!(
        adopted.remove_network_device("nic2"),
        machine.remove_network_device("nic3"),
    );
    first.expect("a removal");
    second.expect("a removal");
    assert_eq!(open_taps(&*machine), 0);
    machine.shutdown(SOON).await.expect("a shutdown");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn devices_added_side_by_side_do_not_mix_their_taps() {
    let fixture = Fixture::new(Guest::LetsGo);
    let machine = started(&fixture).await;
    let (one, two) = (device("nic2", 2, 8), device("nic3", 3, 8));
    let (first, second) = (handoff(&one, "tap2"), handoff(&two, "tap3"));
    // Both may have chosen the same slot: then one is refused, and leaves nothing.
    let (first, second) = tokio::join!(
        machine.add_network_device(&one, first),
        machine.add_network_device(&two, second),
    );
    let added = usize::from(first.is_ok()) + usize::from(second.is_ok());
    assert!(added > 0, "{first:?} {second:?}");
    assert_eq!(open_taps(&*machine), 8 * added);
    machine.shutdown(SOON).await.expect("a shutdown");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_guest_that_does_not_let_go_keeps_its_device() {
    let mut fixture = Fixture::new(Guest::LetsGo);
    fixture.plan.deadlines.rpc = Duration::from_secs(1);
    let machine = started(&fixture).await;
    let one = device("nic2", 2, 1);
    let added = machine.add_network_device(&one, handoff(&one, "tap2"));
    added.await.expect("a device");
    machine.pause().await.expect("a pause");
    for _ in 0..2 {
        let removed = machine.remove_network_device("nic2").await;
        let error = removed.expect_err("nobody lets go");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("paused"), "{error}");
    }
    assert_eq!(open_taps(&*machine), 1);
    machine.resume().await.expect("a resume");
    let removed = machine.remove_network_device("nic2").await;
    removed.expect("a removal");
    assert_eq!(open_taps(&*machine), 0);
    machine.shutdown(SOON).await.expect("a shutdown");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_device_that_qemu_refuses_leaves_nothing() {
    let fixture = Fixture::new(Guest::LetsGo);
    let machine = started(&fixture).await;
    let one = device("nic2", 2, 3);
    let pipe = || console().1;
    let mut mixed = handoff(&one, "tap2");
    mixed.descriptors[1] = pipe();
    let refused = machine.add_network_device(&one, mixed).await;
    let error = refused.expect_err("a pipe is no tap");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let without_vhost = NetworkDeviceHandoff {
        vhost: vec![pipe(), pipe(), pipe()],
        ..handoff(&one, "tap2")
    };
    let refused = machine.add_network_device(&one, without_vhost).await;
    let error = refused.expect_err("a pipe is no vhost-net");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let left = (open_taps(&*machine), network(&fixture).await);
    assert_eq!(left, (0, String::new()));
    let good = machine.add_network_device(&one, handoff(&one, "tap2"));
    assert_eq!(good.await.expect("a device"), place("1e/01"));
    let named = device("hot", 2, 1);
    let refused = machine.add_network_device(&named, handoff(&named, "tap2"));
    assert_eq!(kind(refused.await), Some(ErrorKind::Invalid));
    let short = NetworkDeviceHandoff {
        descriptors: Vec::new(),
        ..handoff(&one, "tap3")
    };
    let refused = machine.add_network_device(&one, short);
    assert_eq!(kind(refused.await), Some(ErrorKind::Invalid));
    machine.shutdown(SOON).await.expect("a shutdown");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn what_a_dropped_addition_leaves_is_removed() {
    let fixture = Fixture::new(Guest::LetsGo);
    let machine = started(&fixture).await;
    let adopted = Fixture::backend().adopt(&machine.save()).await;
    let adopted = adopted.expect("a machine");
    for by in [&machine, &adopted] {
        let mut polls = 1;
        while !drop_and_remove(&fixture, by, polls).await {
            polls += 1;
        }
        assert!(polls > 5, "there are as many commands");
    }
    machine.shutdown(SOON).await.expect("a shutdown");
    fixture.assert_nothing_is_left();
}

/// Whether an addition was done when it had been polled so many times. Nothing of it is left.
async fn drop_and_remove(fixture: &Fixture, machine: &Arc<dyn Machine>, polls: u32) -> bool {
    let one = device("nic2", 2, 3);
    let handoff = handoff(&one, "tap2");
    let done = {
        let mut adding = pin!(machine.add_network_device(&one, handoff));
        let mut left = polls;
        let polled = poll_fn(|context| {
            left -= 1;
            match adding.as_mut().poll(context) {
                Poll::Ready(added) => Poll::Ready(Some(added)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        let added = polled.await;
        added.map(|added| added.expect("a device")).is_some()
    };
    let removed = machine.remove_network_device("nic2").await;
    removed.expect("a removal");
    let left = (open_taps(&**machine), network(fixture).await);
    assert_eq!(left, (0, String::new()), "polled {polls} times");
    done
}

#[tokio::test]
async fn a_device_of_a_switch_comes_and_goes() {
    let mut fixture = Fixture::new(Guest::LetsGo);
    let folder = tempfile::tempdir().expect("a folder");
    let switch = |name: &str| Switch::new(&folder.path().join(name));
    let (cold, hot) = (switch("a, b"), switch("c, d"));
    let on = |switch: &Switch, id, last, queues| NetworkDevicePlan {
        carrier: Carrier::VhostUser {
            socket: switch.socket.clone(),
        },
        ..device(id, last, queues)
    };
    let nothing = |device: &NetworkDevicePlan| NetworkDeviceHandoff {
        id: device.id.clone(),
        descriptors: Vec::new(),
        vhost: Vec::new(),
    };
    let (first, second) = (on(&cold, "nic2", 2, 1), on(&hot, "nic3", 3, 2));
    let (output, input) = console();
    let handoffs = Handoffs {
        console: Some(input),
        network_devices: vec![nothing(&first)],
        ..fixture.handoffs()
    };
    fixture.plan.network_devices = vec![first];
    let machine = fixture.launch_with(handoffs).await;
    let machine = machine.start().await.expect("a start");
    drop(until_up(output).await);
    let added = machine.add_network_device(&second, nothing(&second));
    assert_eq!(added.await.expect("a device"), place("1e/02"));
    let said = network(&fixture).await;
    assert_eq!(said.matches("type=vhost-user").count(), 3, "{said}");
    for (id, switch) in [("nic2", &cold), ("nic3", &hot)] {
        machine.remove_network_device(id).await.expect("a removal");
        switch.until_left();
    }
    assert_eq!(network(&fixture).await, "");

    let nobody = NetworkDevicePlan {
        carrier: Carrier::VhostUser {
            socket: folder.path().join("nobody"),
        },
        ..device("nic4", 4, 1)
    };
    let refused = machine.add_network_device(&nobody, nothing(&nobody)).await;
    assert_eq!(kind(refused), Some(ErrorKind::Internal));
    let of_the_host = NetworkDevicePlan {
        carrier: Carrier::Vfio {
            address: "0000:03:00.0".to_owned(),
        },
        ..device("nic5", 5, 1)
    };
    let refused = machine.add_network_device(&of_the_host, nothing(&of_the_host));
    assert_eq!(kind(refused.await), Some(ErrorKind::Unsupported));
    machine.shutdown(SOON).await.expect("a shutdown");
    fixture.assert_nothing_is_left();
}

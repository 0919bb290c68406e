//! Network devices on taps that the test makes, in a namespace of its own.
#![allow(unsafe_code, reason = "ioctl(2) and unshare(2) have no safe wrapper")]

mod hot;
mod switch;

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::thread::UnshareFlags;
use virtcontainers_hypervisor::{
    Backend, Carrier, ErrorKind, Handoffs, NetworkDeviceHandoff, NetworkDevicePlan,
};
use virtcontainers_types::MacAddress;

use crate::fixture::{Fixture, SOON, descriptors};
use crate::guest::Guest;
use crate::schema::ask;

/// Taps in a new namespace, which lives as long as they do.
fn taps(wanted: &[(&str, u16)]) -> Vec<Vec<OwnedFd>> {
    let make = || {
        // SAFETY: a network namespace of its own changes nothing that Rust's guarantees rest on.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("a namespace");
        let all = wanted.iter();
        all.map(|(name, queues)| (0..*queues).map(|_| tap(name, *queues > 1)).collect())
            .collect()
    };
    std::thread::scope(|scope| scope.spawn(make).join()).expect("taps")
}

fn tap(name: &str, several: bool) -> OwnedFd {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    let file = file.expect("/dev/net/tun");
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let flags = if several {
        flags | libc::IFF_MULTI_QUEUE
    } else {
        flags
    };
    // SAFETY: the structure is plain data, for which all zeroes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).expect("few bits");
    // SAFETY: the request points to a structure of the type that TUNSETIFF reads and writes, which
    // outlives the call.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    file.into()
}

fn device(id: &str, last: u8, queues: u16) -> NetworkDevicePlan {
    NetworkDevicePlan {
        id: id.to_owned(),
        mac: MacAddress([2, 0, 0x5e, 0, 0, last]),
        mtu: 1400,
        queues,
        carrier: Carrier::Tap,
    }
}

#[tokio::test]
async fn a_machine_has_the_devices_of_its_plan() {
    let mut fixture = Fixture::new(Guest::Halts);
    fixture.plan.network_devices = vec![device("nic2", 2, 1), device("nic5", 5, 2)];
    let made = taps(&[("tap2", 1), ("tap5", 2)]);
    let handed = made.into_iter().zip(&fixture.plan.network_devices);
    let handoffs = Handoffs {
        network_devices: handed
            .map(|(descriptors, device)| NetworkDeviceHandoff {
                id: device.id.clone(),
                descriptors,
                vhost: Vec::new(),
            })
            .collect(),
        ..fixture.handoffs()
    };
    let machine = fixture.launch_with(handoffs).await;
    let machine = machine.start().await.expect("a start");
    let filters = ask(&fixture.plan.directory, "query-rx-filter").await;
    let filters = filters.as_array().expect("a list");
    let mut found: Vec<_> = filters
        .iter()
        .map(|filter| (filter["name"].as_str(), filter["main-mac"].as_str()))
        .collect();
    found.sort_unstable();
    // One for each queue that there may be.
    found.dedup();
    let expected = [
        (Some("nic2"), Some("02:00:5e:00:00:02")),
        (Some("nic5"), Some("02:00:5e:00:00:05")),
    ];
    assert_eq!(found, expected);
    let monitor = machine.processes()[0];
    let open = descriptors(monitor);
    let taps = open
        .iter()
        .filter(|path| *path == Path::new("/dev/net/tun"));
    assert_eq!(taps.count(), 3, "{open:?}");
    machine.shutdown(SOON).await.expect("a shutdown");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn a_device_without_a_tap_is_refused_before_anything_happens() {
    let mut fixture = Fixture::new(Guest::Halts);
    fixture.plan.network_devices = vec![device("nic2", 2, 1)];
    let launch = fixture
        .backend
        .launch(fixture.plan.clone(), fixture.handoffs(), &fixture.ledger);
    let error = launch.await.expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(fixture.ledger.entries().is_empty());
    fixture.assert_nothing_is_left();
}

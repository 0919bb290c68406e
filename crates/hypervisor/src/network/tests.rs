//! Which network devices a plan may have, and what must be handed over with it.

use std::os::fd::OwnedFd;

use virtcontainers_types::{
    BootConfig, Deadlines, ErrorKind, GuestRoot, MacAddress, Mebibytes, SandboxId, VcpuCount,
};

use super::{NetworkDeviceHandoff, NetworkDevicePlan};
use crate::{Carrier, Handoffs, MachinePlan};

fn device(number: u8) -> NetworkDevicePlan {
    NetworkDevicePlan {
        id: format!("nic{number}"),
        mac: MacAddress([2, 0, 0, 0, 0, number]),
        mtu: 1500,
        queues: 1,
        carrier: Carrier::Tap,
    }
}

fn plan(devices: Vec<NetworkDevicePlan>) -> MachinePlan {
    MachinePlan {
        id: SandboxId::new("web").expect("an id"),
        directory: "/run".into(),
        memory: Mebibytes::MINIMUM,
        vcpus: VcpuCount::ONE,
        boot: BootConfig {
            kernel: "/kernel".into(),
            root: GuestRoot::Initrd("/initrd".into()),
            kernel_params: Vec::new(),
            hypervisor: Default::default(),
        },
        share: None,
        network_devices: devices,
        agent_announces: false,
        deadlines: Deadlines::EMULATED,
    }
}

#[test]
fn devices_are_counted() {
    let two = plan(vec![device(1), device(2)]);
    assert!(two.check_network_devices(2).is_ok());
    let rows = [(1, ErrorKind::Invalid), (0, ErrorKind::Unsupported)];
    for (most, kind) in rows {
        let error = two.check_network_devices(most).expect_err("too many");
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert!(plan(Vec::new()).check_network_devices(0).is_ok());
}

#[test]
fn devices_that_cannot_be() {
    let changes: [fn(&mut NetworkDevicePlan); 10] = [
        |device| device.id.clear(),
        |device| device.id = "1".to_owned(),
        |device| device.id = "a,b".to_owned(),
        |device| device.id = "nic1".to_owned(),
        |device| device.mac = MacAddress([2, 0, 0, 0, 0, 1]),
        |device| device.mac = MacAddress([0; 6]),
        |device| device.mac = MacAddress([1, 0, 0, 0, 0, 1]),
        |device| device.mtu = 67,
        |device| device.mtu = 65536,
        |device| device.queues = 0,
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut second = device(2);
        change(&mut second);
        let error = plan(vec![device(1), second]).check_network_devices(8);
        let kind = error.expect_err("it cannot be").kind();
        assert_eq!(kind, ErrorKind::Invalid, "change {number}");
    }
}

#[test]
fn carriers_that_cannot_be() {
    let switch = |socket: &str| Carrier::VhostUser {
        socket: socket.into(),
    };
    let host = |address: &str| Carrier::Vfio {
        address: address.to_owned(),
    };
    let rows = [
        (Carrier::Tap, true),
        (switch("/run/switch.sock"), true),
        (switch(&format!("/{}", "s".repeat(106))), true),
        (switch(&format!("/{}", "s".repeat(107))), false),
        (switch("switch.sock"), false),
        (switch(""), false),
        (host("0000:03:00.0"), true),
        (host("00ff:af:1f.7"), true),
        (host("0000:03:00.8"), false),
        (host("0000:03:00:0"), false),
        (host("03:00.0"), false),
        (host("0000:03:00.0,x=y"), false),
        (host("0000:0G:00.0"), false),
        (host(""), false),
    ];
    for (carrier, fits) in rows {
        let device = NetworkDevicePlan {
            carrier,
            ..device(1)
        };
        assert_eq!(device.check().is_ok(), fits, "{:?}", device.carrier);
    }
}

fn handoff(id: &str, taps: usize, vhost: usize) -> NetworkDeviceHandoff {
    let open = |_| OwnedFd::from(std::io::pipe().expect("a pipe").0);
    NetworkDeviceHandoff {
        id: id.to_owned(),
        descriptors: (0..taps).map(open).collect(),
        vhost: (0..vhost).map(open).collect(),
    }
}

/// The names of devices with the numbers of their descriptors.
type Handed = &'static [(&'static str, usize, usize)];

#[test]
fn what_is_handed_over_fits_the_plan() {
    let several = NetworkDevicePlan {
        queues: 2,
        ..device(2)
    };
    let plan = plan(vec![device(1), several]);
    let rows: [(Handed, bool); 8] = [
        (&[("nic1", 1, 0), ("nic2", 2, 2)], true),
        (&[("nic1", 1, 1), ("nic2", 2, 0)], true),
        (&[("nic2", 2, 2), ("nic1", 1, 0)], false),
        (&[("nic1", 1, 0)], false),
        (&[], false),
        (&[("nic1", 1, 0), ("nic2", 2, 0), ("nic3", 1, 0)], false),
        (&[("nic1", 1, 0), ("nic2", 1, 0)], false),
        (&[("nic1", 1, 0), ("nic2", 2, 1)], false),
    ];
    for (devices, fits) in rows {
        let handed = devices.iter();
        let handoffs = Handoffs {
            network_devices: handed
                .map(|(id, taps, vhost)| handoff(id, *taps, *vhost))
                .collect(),
            ..Handoffs::default()
        };
        let checked = handoffs.check_network_devices(&plan);
        assert_eq!(checked.is_ok(), fits, "{devices:?}");
    }
}

//! A directory that looks like sysfs, with a kernel that does what is written to it. No device of the
//! host is touched; that a machine can open what is bound is not tried here.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::json;

use super::{as_seen, carry_out};
use crate::sysfs::Sysfs;
use crate::testing::{Ledger, Place};
use crate::undo::{Undo, record, undo_all_of};
use crate::view::{Device, View};
use crate::{Config, Connection, ErrorKind, Plan, plan, scan};

const DEVICE: &str = "0000:03:00.0";
const OTHER: &str = "0000:03:00.1";
const BRIDGE: &str = "0000:00:01.0";

/// The directory, what was written, and how many writes it lives on.
struct Fake {
    folder: tempfile::TempDir,
    log: Mutex<Vec<String>>,
    left: Mutex<usize>,
}

impl Fake {
    fn new() -> Self {
        let fake = Self {
            folder: tempfile::tempdir().expect("a folder"),
            log: Mutex::default(),
            left: Mutex::new(usize::MAX),
        };
        for folder in ["bus/pci/devices", "kernel/iommu_groups/7/devices"] {
            fs::create_dir_all(fake.path(folder)).expect("a folder");
        }
        for driver in ["ixgbe", "pcieport", "vfio-pci"] {
            fs::create_dir_all(fake.path("bus/pci/drivers").join(driver)).expect("a folder");
        }
        fake.add(DEVICE, "0x020000", Some("ixgbe"));
        fake.add(OTHER, "0x020000", None);
        fake.add(BRIDGE, "0x060400", Some("pcieport"));
        fake
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn device(&self, address: &str) -> PathBuf {
        self.path("bus/pci/devices").join(address)
    }

    fn add(&self, address: &str, class: &str, driver: Option<&str>) {
        let device = self.device(address);
        fs::create_dir(&device).expect("a folder");
        fs::write(device.join("class"), format!("{class}\n")).expect("a file");
        fs::write(device.join("driver_override"), "(null)\n").expect("a file");
        symlink(
            "../../../../kernel/iommu_groups/7",
            device.join("iommu_group"),
        )
        .expect("a link");
        symlink(
            format!("../../../../bus/pci/devices/{address}"),
            self.path("kernel/iommu_groups/7/devices").join(address),
        )
        .expect("a link");
        if let Some(driver) = driver {
            self.bind(address, driver);
        }
    }

    fn bind(&self, address: &str, driver: &str) {
        let link = self.device(address).join("driver");
        symlink(format!("../../drivers/{driver}"), link).expect("a link");
    }

    fn driver(&self, address: &str) -> Option<String> {
        let link = fs::read_link(self.device(address).join("driver")).ok()?;
        Some(link.file_name()?.to_str()?.to_owned())
    }

    fn only(&self, address: &str) -> Option<String> {
        let text = fs::read_to_string(self.device(address).join("driver_override"));
        let text = text.expect("a file").trim().to_owned();
        Some(text).filter(|text| text != "(null)")
    }

    /// A sysfs that goes on so long.
    fn with<T>(&self, writes: usize, work: impl FnOnce(&Sysfs<'_>) -> T) -> T {
        *self.left.lock().expect("a lock") = writes;
        let write = |path: &Path, text: &str| self.write(path, text);
        work(&Sysfs::at(self.folder.path(), &write))
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let dead = || io::Error::other("whoever writes is dead");
        let mut left = self.left.lock().expect("a lock");
        *left = left.checked_sub(1).ok_or_else(dead)?;
        let below = path
            .strip_prefix(self.folder.path())
            .expect("a path of sysfs");
        let below = below.to_str().expect("text");
        self.log
            .lock()
            .expect("a lock")
            .push(format!("{below} <- {text:?}"));
        let text = text.trim();
        match below.split('/').collect::<Vec<_>>().as_slice() {
            ["bus", "pci", "devices", address, "driver_override"] => {
                let text = if text.is_empty() { "(null)" } else { text };
                fs::write(
                    self.device(address).join("driver_override"),
                    format!("{text}\n"),
                )
            }
            ["bus", "pci", "drivers", driver, "unbind"] => {
                if self.driver(text).as_deref() != Some(driver) {
                    return Err(io::Error::from_raw_os_error(libc::ENODEV));
                }
                fs::remove_file(self.device(text).join("driver"))
            }
            ["bus", "pci", "drivers", driver, "bind"] => {
                fs::metadata(path.parent().expect("a folder"))?;
                let fits = self.only(text).is_none_or(|only| only == *driver);
                if !fits || self.driver(text).is_some() {
                    return Err(io::Error::from_raw_os_error(libc::ENODEV));
                }
                self.bind(text, driver);
                Ok(())
            }
            ["bus", "pci", "drivers_probe"] => {
                let driver = self.only(text).unwrap_or_else(|| "ixgbe".to_owned());
                if self.driver(text).is_none() {
                    self.bind(text, &driver);
                }
                Ok(())
            }
            _ => panic!("nobody writes to {below}"),
        }
    }

    fn state(&self) -> Vec<(Option<String>, Option<String>)> {
        let all = [DEVICE, OTHER, BRIDGE];
        all.map(|one| (self.driver(one), self.only(one))).to_vec()
    }

    /// What is seen of a namespace with an interface of the device.
    fn view(&self) -> View {
        let mut view: View = serde_json::from_value(json!({
            "namespace": {"path": "/nowhere/at/all", "device": 4, "inode": 7, "cookie": 7},
            "links": [{
                "index": 6, "name": "enp3s0", "mac": "02:00:5e:10:00:06", "mtu": 1500, "up": true,
                "device": {"bus": "pci", "name": DEVICE}
            }],
            "addresses": [{"link": 6, "address": "192.0.6.2/24"}]
        }))
        .expect("a view");
        view.links[0].device = Some(self.seen());
        view
    }

    fn seen(&self) -> Device {
        Device {
            bus: "pci".to_owned(),
            name: DEVICE.to_owned(),
            pci: self.with(0, |sysfs| sysfs.look(DEVICE).ok()),
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.view(), &Config::default()).expect("a plan")
    }
}

/// As a plan is applied: each change is entered before it is made.
fn apply(plan: &Plan, ledger: &Ledger, sysfs: &Sysfs<'_>) -> Result<(), crate::Error> {
    as_seen(plan, sysfs)?;
    for effect in &plan.endpoints[0].effects {
        let change = Undo::Change {
            namespace: plan.namespace.clone(),
            change: effect.clone(),
        };
        record(ledger, &plan.namespace.path, &change)?;
        carry_out(effect, sysfs)
            .map_err(|source| crate::Error::link(effect.verb(), effect.target(), source))?;
    }
    Ok(())
}

#[test]
fn what_is_written_and_in_which_order() {
    let fake = Fake::new();
    let before = fake.state();
    let ledger = Ledger::new();
    let plan = fake.plan();
    let vfio = Connection::Vfio {
        address: DEVICE.to_owned(),
    };
    assert_eq!(plan.endpoints[0].connection, vfio);
    assert!(!plan.endpoints[0].vhost);
    fake.with(usize::MAX, |sysfs| apply(&plan, &ledger, sysfs))
        .expect("it is bound");
    assert_eq!(fake.driver(DEVICE).as_deref(), Some("vfio-pci"));
    fake.with(usize::MAX, |sysfs| undo_all_of(&ledger.backwards(), sysfs))
        .expect("it is bound back");
    assert_eq!(fake.state(), before);
    let expected = [
        r#"bus/pci/drivers/ixgbe/unbind <- "0000:03:00.0""#,
        r#"bus/pci/devices/0000:03:00.0/driver_override <- "vfio-pci\n""#,
        r#"bus/pci/drivers_probe <- "0000:03:00.0""#,
        r#"bus/pci/drivers/vfio-pci/unbind <- "0000:03:00.0""#,
        r#"bus/pci/devices/0000:03:00.0/driver_override <- "\n""#,
        r#"bus/pci/drivers/ixgbe/bind <- "0000:03:00.0""#,
    ];
    assert_eq!(*fake.log.lock().expect("a lock"), expected);
    // The second time there is nothing left to do.
    fake.with(0, |sysfs| undo_all_of(&ledger.backwards(), sysfs))
        .expect("nothing to undo");
}

#[test]
fn whoever_binds_and_whoever_binds_back_dies_before_each_write() {
    for only in [None, Some("ixgbe")] {
        for bound in 0..=3 {
            for undone in 0..=3 {
                let fake = Fake::new();
                let only = only.map(|only| format!("{only}\n"));
                let file = fake.device(DEVICE).join("driver_override");
                fs::write(file, only.unwrap_or_else(|| "(null)\n".to_owned())).expect("a file");
                let before = fake.state();
                let plan = fake.plan();
                let ledger = Ledger::new();
                let died = fake
                    .with(bound, |sysfs| apply(&plan, &ledger, sysfs))
                    .is_err();
                assert_eq!(died, bound < 3);
                let entries = ledger.backwards();
                fake.with(undone, |sysfs| undo_all_of(&entries, sysfs)).ok();
                fake.with(usize::MAX, |sysfs| undo_all_of(&entries, sysfs))
                    .expect("another one ends it");
                assert_eq!(fake.state(), before, "{bound} bound, {undone} undone");
            }
        }
    }
}

#[test]
fn nothing_happens_that_was_not_written_down() {
    for room in 0..3 {
        let fake = Fake::new();
        let before = fake.state();
        let ledger = Ledger::with_room(room);
        let plan = fake.plan();
        fake.with(usize::MAX, |sysfs| apply(&plan, &ledger, sysfs))
            .expect_err("the ledger is full");
        assert_eq!(fake.log.lock().expect("a lock").len(), room);
        fake.with(usize::MAX, |sysfs| undo_all_of(&ledger.backwards(), sysfs))
            .expect("it is undone");
        assert_eq!(fake.state(), before);
    }
}

#[test]
fn what_somebody_made_of_it_since_stays() {
    let fake = Fake::new();
    let ledger = Ledger::new();
    let plan = fake.plan();
    fake.with(usize::MAX, |sysfs| apply(&plan, &ledger, sysfs))
        .expect("it is bound");
    fs::remove_file(fake.device(DEVICE).join("driver")).expect("a link");
    fs::write(fake.device(DEVICE).join("driver_override"), "pcieport\n").expect("a file");
    fake.bind(DEVICE, "pcieport");
    let before = fake.state();
    fake.with(0, |sysfs| undo_all_of(&ledger.backwards(), sysfs))
        .expect("nothing is ours");
    assert_eq!(fake.state(), before);
}

#[test]
fn a_driver_that_has_gone_is_named() {
    let fake = Fake::new();
    let ledger = Ledger::new();
    let plan = fake.plan();
    fake.with(usize::MAX, |sysfs| apply(&plan, &ledger, sysfs))
        .expect("it is bound");
    fs::remove_dir(fake.path("bus/pci/drivers/ixgbe")).expect("a folder");
    let error = fake
        .with(usize::MAX, |sysfs| undo_all_of(&ledger.backwards(), sysfs))
        .expect_err("there is no driver");
    assert!(error.to_string().contains("modprobe ixgbe"), "{error}");
}

#[test]
fn refusals() {
    type Change = fn(&Fake);
    let rows: [(Change, ErrorKind, &str); 4] = [
        (
            |fake| fs::remove_dir(fake.path("bus/pci/drivers/vfio-pci")).expect("a folder"),
            ErrorKind::Unsupported,
            "modprobe vfio-pci",
        ),
        (
            |fake| fs::remove_file(fake.device(DEVICE).join("iommu_group")).expect("a link"),
            ErrorKind::Unsupported,
            "IOMMU is off",
        ),
        (|fake| fake.bind(OTHER, "ixgbe"), ErrorKind::Busy, OTHER),
        (
            |fake| fs::remove_dir_all(fake.device(DEVICE)).expect("a folder"),
            ErrorKind::NotFound,
            "enp3s0",
        ),
    ];
    for (change, kind, word) in rows {
        let fake = Fake::new();
        let planned = fake.plan();
        change(&fake);
        let error = plan(&fake.view(), &Config::default()).expect_err("it is refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        // It may have come so since the plan was made.
        let ledger = Ledger::new();
        let late = fake.with(0, |sysfs| apply(&planned, &ledger, sysfs));
        assert_eq!(late.map_err(|error| error.kind()), Err(kind));
        assert!(ledger.entries().is_empty());
    }
}

#[test]
fn the_other_devices_of_a_group_may_be_free_machines_or_bridges() {
    let fake = Fake::new();
    fake.bind(OTHER, "vfio-pci");
    fake.plan();
    let fake = Fake::new();
    fake.bind(OTHER, "ixgbe");
    // Both are the same machine's.
    let pci = fake.seen().pci.expect("a device");
    let given = BTreeSet::from([DEVICE, OTHER]);
    plan::physical::check("enp3s0", &pci, &given).expect("it can be");
    let given = BTreeSet::from([DEVICE]);
    plan::physical::check("enp3s0", &pci, &given).expect_err("it cannot");
}

#[test]
fn a_device_with_two_interfaces_is_not_given_in_parts() {
    let fake = Fake::new();
    let mut view = fake.view();
    let mut second = view.links[0].clone();
    second.index = 7;
    second.name = "enp3s0d1".to_owned();
    view.links.push(second);
    let error = plan(&view, &Config::default()).expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("enp3s0d1"), "{error}");
}

/// The whole way, in a namespace: the link only says that it is of a device.
#[test]
fn a_machine_is_given_a_device_and_no_descriptors() {
    let fake = Fake::new();
    let place = Place::new();
    place.run(
        "ip link add name enp3s0 type veth peer name peer0
         ip address add 10.9.0.2/24 dev enp3s0",
    );
    let mut view = scan(&place.namespace).expect("a view");
    for link in view.links.iter_mut().filter(|link| link.name == "enp3s0") {
        link.kind = String::new();
        link.device = Some(fake.seen());
    }
    let plan = plan(&view, &Config::default()).expect("a plan");
    let ledger = Ledger::new();
    let applied = fake.with(usize::MAX, |sysfs| {
        crate::apply::apply_to(&plan, &place.namespace, &ledger, sysfs)
    });
    let applied = applied.expect("it is applied");
    let nic = &applied.for_machine[0];
    assert!(nic.descriptors.is_empty() && nic.vhost.is_empty());
    assert!(matches!(&nic.connection, Connection::Vfio { address } if address == DEVICE));
    assert_eq!(applied.for_guest.interfaces[0].name, "enp3s0");
    assert_eq!(ledger.entries().len(), plan.endpoints[0].effects.len());
    // This driver makes no interface, which is an error, after everything else was undone.
    let error = fake
        .with(usize::MAX, |sysfs| undo_all_of(&ledger.backwards(), sysfs))
        .expect_err("no interface comes");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(fake.driver(DEVICE).as_deref(), Some("ixgbe"));
    assert_eq!(fake.only(DEVICE), None);
    assert_eq!(fake.state(), Fake::new().state());
}
